"""GTSRB: CSV tables with `Filename` or `Path` and `ClassId`; tracks from file names."""

from __future__ import annotations

import posixpath
import re

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import Gathering, split_of, wrong_schema
from calibration.dataset.readers.tables import rows_of
from calibration.dataset.records import Entry, Reading

_TRACK = re.compile(r"^(?:\d+_)?(\d{5})_\d{5}$")
"""CLASS_TRACK_FRAME, or TRACK_FRAME in a folder of its class."""


def recognises(place: Place) -> bool:
    """Whether a table begins as GTSRB's do."""
    return bool(_files(place))


def _files(place: Place) -> list[str]:
    found = []
    for name in place.with_suffix(".csv"):
        first = place.head(name).split(b"\n", 1)[0]
        if b"Roi.X1" in first and b"ClassId" in first:
            found.append(name)
    return found


def read(place: Place) -> Reading:
    """Every picture of every table; the class is the number that GTSRB gives it."""
    gathering = Gathering(place)
    files = _files(place)
    if not files:
        raise wrong_schema(
            place,
            "the folder",
            expected="a table with the columns Filename or Path, Roi.X1 and ClassId",
            found=", ".join(place.with_suffix(".csv")[:5]) or "no CSV",
        )
    for name in files:
        gathering.label_file(name)
        for line, row in rows_of(place, name):
            where = f"{name}, line {line}"
            given, label = row.get("Path") or row.get("Filename") or "", row.get("ClassId", "")
            if not label.strip().isdecimal():
                gathering.problem(where, f"ClassId '{label}' is no number")
                continue
            file = gathering.picture_beside(given, label_file=name, where=where)
            if file is None:
                continue
            label = str(int(label))
            track = _TRACK.match(posixpath.splitext(posixpath.basename(file))[0])
            gathering.entry(
                Entry(
                    name=file,
                    file=file,
                    group=f"{label}/{track.group(1)}" if track else file,
                    label=label,
                    split=split_of(file) or split_of(name),
                )
            )
    return gathering.reading()
