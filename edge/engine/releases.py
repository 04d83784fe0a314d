"""The one table of the differences between TensorRT releases: flags, lowerings, DLA, parser limits.

A backend and a release go in; a `BuilderRow` comes out. Sources: the API that releases export
(`tests/edge/samples/tensorrt_api`) and NVIDIA's release notes. Never guesses: a release outside the
table is refused. Imports no TensorRT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from firmware_bridge.errors import UsageError

Backend = Literal["tensorrt", "rtx"]

Lowering = Literal["qdq", "strong", "ranges"]

LOWERINGS: dict[Lowering, str] = {
    "qdq": "Q/DQ on a float graph, INT8 and FP16 by builder flags",
    "strong": "strongly typed: Q/DQ and FP16 written into the graph",
    "ranges": "a graph without Q/DQ and a range for every tensor, from a calibration cache",
}

MODULES: dict[Backend, str] = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
"""Backend -> Python module."""


class Release(NamedTuple):
    """A TensorRT release; orders as releases do."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class BuilderRow:
    """The settings of a builder for a range of releases.

    Attributes:
        since, before: first release of the row, and the first release after it.
        network_flags: members of NetworkDefinitionCreationFlag.
        precision_flags: members of BuilderFlag that ask for INT8 and FP16.
        lowering: the lowering of the network for the GPU.
        dla_lowering: the lowering for DLA; None where the release has no DLA.
        monitor: whether IProgressMonitor exists.
        timing_cache: whether a timing cache has an effect.
        compute_capabilities: whether a build names its target GPUs (else it is this machine's GPU).
        trtexec: trtexec's flags for the same; None where the release has no trtexec.
        opset_max: the newest opset that its parser reads, where conversions also write newer ones.
        shipped_with: a JetPack that brings a release of the row.
    """

    backend: Backend
    since: Release
    before: Release
    network_flags: tuple[str, ...]
    precision_flags: tuple[str, ...]
    lowering: Lowering
    dla_lowering: Lowering | None
    monitor: bool = True
    timing_cache: bool = True
    compute_capabilities: bool = False
    trtexec: tuple[str, ...] | None = None
    opset_max: int | None = None
    shipped_with: str | None = None


WEAK, TYPED = ("INT8", "FP16"), ("STRONGLY_TYPED",)

TRTEXEC_WEAK = ("--int8", "--fp16")
"""Up to 10.11; removed in 11."""

BUILDERS: tuple[BuilderRow, ...] = (
    BuilderRow(
        "tensorrt",
        Release(8, 6, 0),
        Release(9, 0, 0),
        network_flags=("EXPLICIT_BATCH",),
        precision_flags=WEAK,
        lowering="qdq",
        dla_lowering="ranges",
        monitor=False,
        trtexec=TRTEXEC_WEAK,
        opset_max=17,
        shipped_with="JetPack 6.0: 8.6.2",
    ),
    # EXPLICIT_BATCH is still exported, but means nothing from 10 on.
    BuilderRow(
        "tensorrt",
        Release(10, 0, 0),
        Release(10, 8, 0),
        network_flags=(),
        precision_flags=WEAK,
        lowering="qdq",
        dla_lowering="ranges",
        trtexec=TRTEXEC_WEAK,
        shipped_with="JetPack 6.1 and 6.2: 10.3",
    ),
    BuilderRow(
        "tensorrt",
        Release(10, 8, 0),
        Release(10, 12, 0),
        network_flags=(),
        precision_flags=WEAK,
        lowering="qdq",
        dla_lowering=None,
        trtexec=TRTEXEC_WEAK,
    ),
    BuilderRow(
        "tensorrt",
        Release(10, 12, 0),
        Release(11, 0, 0),
        network_flags=TYPED,
        precision_flags=(),
        lowering="strong",
        dla_lowering=None,
        trtexec=("--stronglyTyped",),
        shipped_with="JetPack 7.0 and 7.1: 10.13, 7.2: 10.16.2",
    ),
    # From 11 on every network is strongly typed, and trtexec has no flag for it.
    BuilderRow(
        "tensorrt",
        Release(11, 0, 0),
        Release(11, 4, 1),
        network_flags=TYPED,
        precision_flags=(),
        lowering="strong",
        dla_lowering=None,
        trtexec=(),
    ),
    BuilderRow(
        "tensorrt",
        Release(11, 4, 1),
        Release(12, 0, 0),
        network_flags=TYPED,
        precision_flags=(),
        lowering="strong",
        dla_lowering="strong",
        trtexec=(),
        shipped_with="JetPack 7.2.2: 11.4.1",
    ),
    BuilderRow(
        "rtx",
        Release(1, 4, 0),
        Release(2, 0, 0),
        network_flags=TYPED,
        precision_flags=(),
        lowering="strong",
        dla_lowering=None,
        timing_cache=False,
        compute_capabilities=True,
    ),
)

CACHE_RELEASES = (
    Release(8, 6, 1),
    Release(8, 6, 2),  # JetPack 6.0
    Release(10, 3, 0),  # JetPack 6.1 and 6.2
    Release(10, 7, 0),  # the last with DLA before 11.4.1
)
"""Releases for which a conversion writes calibration caches. Another release rejects their header
and calibrates again."""


def parse_release(text: str) -> Release:
    """The release in a version text such as "10.3.0" or "1.7.1.116".

    Raises:
        UsageError: it is not a release.
    """
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        raise UsageError(
            f"'{text}' is no TensorRT release",
            expected="major.minor.patch, such as 10.3.0",
            found=text,
            remedy="correct the release",
        )
    return Release(int(found[1]), int(found[2]), int(found[3] or 0))


def parse_build(text: str) -> int | None:
    """The fourth number of a version text such as "1.7.1.116"; None where it has none."""
    found = re.match(r"\d+\.\d+\.\d+\.(\d+)", text)
    return int(found[1]) if found else None


def builder_row(backend: Backend, release: Release) -> BuilderRow:
    """The row of a release.

    Raises:
        UsageError: the table has no row for that release.
    """
    for row in BUILDERS:
        if row.backend == backend and row.since <= release < row.before:
            return row
    rows = [row for row in BUILDERS if row.backend == backend]
    known = ", ".join(f"{row.since} to before {row.before}" for row in rows)
    raise UsageError(
        f"{MODULES[backend]} {release} is not known to this version of brakepoint",
        expected=f"a release in: {known}",
        found=str(release),
        remedy="install a known release, or a brakepoint that knows this one",
    )
