"""The table of JetPack releases: which L4T, Ubuntu, Python, C library and CUDA each brings.

A JetPack number or an L4T release goes in; a `JetPack` comes out. Sources: NVIDIA's release notes
of JetPack 6.0 to 6.2 (L4T 36.2 to 36.5) and 7.0 to 7.2 (L4T 38.2 to 39.2). Reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JetPack:
    """One row.

    Attributes:
        major: 6 for JetPack 6.0 to 6.2.
        l4t: major numbers of its L4T (Jetson Linux) releases.
        ubuntu: release of its Ubuntu.
        python: version of its `python3`, of Ubuntu.
        glibc: version of its C library, which bounds the wheels that it can load.
        cuda: major number of its CUDA.
    """

    major: int
    l4t: tuple[int, ...]
    ubuntu: str
    python: tuple[int, int, int]
    glibc: tuple[int, int]
    cuda: int


JETPACKS: dict[int, JetPack] = {
    6: JetPack(6, (36,), "22.04", (3, 10, 12), (2, 35), 12),
    7: JetPack(7, (38, 39), "24.04", (3, 12, 3), (2, 39), 13),
}
"""JetPack 5 (L4T 35) has Python 3.8, which is too old for this program."""


def jetpack_of(l4t_major: int) -> JetPack | None:
    """The JetPack of an L4T release; None where the table has none."""
    return next((row for row in JETPACKS.values() if l4t_major in row.l4t), None)
