"""Pairs text label files with pictures, where each picture has a label file of its own.

In: names of files. Out: label file -> picture. They have the same path but for a folder of labels
in place of one of images (YOLO, KITTI), or a stem that only one picture has.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict

from calibration.dataset.storage.storage import Storage

_LABELS = re.compile(r"labels?(_\d+)?|annotations?|annots?|gts?")
_PROSE = re.compile(r"readme|licen[sc]e|notice|changelog", re.IGNORECASE)
_IMAGES = re.compile(r"images?(_\d+)?|imgs?|pictures?|frames?|jpegimages")


def text_files(storage: Storage) -> dict[str, str | None]:
    """Text file -> its picture, or None where it lies among labels and no picture has its name.

    Two pictures of one name but for the suffix belong to none.
    """
    by_place: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in storage.pictures:
        folders, stem = _parts(name)
        by_place[_without(folders, _IMAGES), stem].append(name)
        by_stem[stem].append(name)
    found: dict[str, str | None] = {}
    for name in storage.with_suffix(".txt"):
        folders, stem = _parts(name)
        if _PROSE.match(stem):
            continue
        beside = [one for one in by_stem[stem] if _parts(one)[0] == folders]
        same = beside or by_place.get((_without(folders, _LABELS), stem), []) or by_stem[stem]
        if len(same) == 1:
            found[name] = same[0]
        elif same or any(_LABELS.fullmatch(folder.lower()) for folder in folders):
            found[name] = None
    return found


def _parts(name: str) -> tuple[tuple[str, ...], str]:
    *folders, file = name.split("/")
    return tuple(folders), posixpath.splitext(file)[0]


def _without(folders: tuple[str, ...], kind: re.Pattern[str]) -> tuple[str, ...]:
    """The folders without the last one of a kind."""
    for row in reversed(range(len(folders))):
        if kind.fullmatch(folders[row].lower()):
            return (*folders[:row], *folders[row + 1 :])
    return folders
