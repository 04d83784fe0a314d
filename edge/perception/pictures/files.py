"""Lists the picture files of a folder: one list of suffixes, one order, one rule for links.

A folder goes in; names with sizes in bytes come out. The same for `run`, `data`, `calibrate`,
`evaluate` and training. Never opens a file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from firmware_bridge.errors import UsageError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of picture files, lower case. The content decides the format (`header.py`)."""

_SHOWN = 5

MOST_LINKED_FOLDERS = 1000
"""At most so many nested links are followed; a few circular ones make millions of names."""


def is_picture(name: str) -> bool:
    """Whether a file of this name counts as a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def natural_order(name: str) -> tuple[tuple[tuple[str, int, str], ...], ...]:
    """The sort key of names in natural order: frame_2 before frame_10.

    Folder by folder; digits count as a number. Names of equal numbers (2 and 02) sort by their
    characters, so that the order is the same on every machine.
    """
    return tuple(
        tuple(_piece(piece) for piece in re.split(r"([0-9]+)", part) if piece)
        for part in name.split("/")
    )


def _piece(piece: str) -> tuple[str, int, str]:
    # A number sorts in the place of its first digit: before letters, behind "!".
    return ("0", int(piece), piece) if piece.isascii() and piece.isdigit() else (piece, 0, piece)


def files_below(root: Path, *, deep: bool, pictures_only: bool = False) -> dict[str, int]:
    """Names relative to `root` ("/" between parts) and sizes in bytes, in natural order.

    Hidden files and folders are left out. Links to targets below `root` are followed, except a link
    to a folder that contains it, which would be a loop. `deep`: also the folders below.

    Raises:
        UsageError: links that leave `root` or lead nowhere, all of them named.
        OSError: a folder that cannot be read.
    """
    found: dict[str, int] = {}
    strange: list[str] = []
    top = root.resolve()
    for name, path in _walk(root, "", (top,), deep=deep, strange=strange, linked=[]):
        if pictures_only and not is_picture(name):
            continue
        if path.is_symlink() and (fault := _fault_of_link(path, top)):
            strange.append(f"{name} ({fault})")
        elif path.is_file():
            found[name] = path.stat().st_size
    if strange:
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        raise UsageError(
            f"{len(strange)} links in {root} do not lead to a file below it",
            expected="files, and links to what lies below the same folder",
            found=", ".join(sorted(strange, key=natural_order)[:_SHOWN]) + more,
            remedy="copy what they lead to (cp -rL FOLDER COPY), or give the folder that holds "
            "both links and files",
        )
    return dict(sorted(found.items(), key=lambda item: natural_order(item[0])))


def _walk(
    folder: Path,
    below: str,
    inside: tuple[Path, ...],
    *,
    deep: bool,
    strange: list[str],
    linked: list[str],
) -> Iterator[tuple[str, Path]]:
    """(name, path) of the files; `inside` holds the real folders from the root to this one."""
    with os.scandir(folder) as entries:
        paths = sorted(folder / entry.name for entry in entries if not entry.name.startswith("."))
    for path in paths:
        name = below + path.name
        if not path.is_dir():
            yield name, path
            continue
        if not deep:
            continue
        if path.is_symlink():
            if fault := _fault_of_link(path, inside[0]):
                strange.append(f"{name} ({fault})")
                continue
            linked.append(name)
            if len(linked) > MOST_LINKED_FOLDERS:
                raise UsageError(
                    f"over {MOST_LINKED_FOLDERS} folders are reached through links",
                    expected="folders whose links do not lead round in circles",
                    found=f"among them {name}",
                    remedy="remove links between folders, or give a folder further down",
                )
        real = path.resolve()
        if real not in inside:
            yield from _walk(
                path, f"{name}/", (*inside, real), deep=deep, strange=strange, linked=linked
            )


def _fault_of_link(path: Path, top: Path) -> str:
    """Why a link cannot be followed; "" where it can."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # the latter of a loop of links before Python 3.13
        return "leads nowhere"
    return "" if target.is_relative_to(top) else f"leads to {path.readlink()}"
