"""Reads GTSRB: CSV tables with `Filename` or `Path` and `ClassId`, and tracks from file names.

In: CSV files. Out: a `LabelReading`.
"""

from __future__ import annotations

import posixpath
import re

from calibration.dataset.label_files.collector import Collector, class_number, wrong_schema
from calibration.dataset.label_files.csv_tables import rows_of
from calibration.dataset.records.record import Entry, LabelReading
from calibration.dataset.storage.storage import Storage

_TRACK = re.compile(r"^(?:\d+_)?(\d{5})_\d{5}$")
"""File names: CLASS_TRACK_FRAME, or TRACK_FRAME in a folder of the class."""


def recognises(storage: Storage) -> bool:
    """Whether a table begins as GTSRB's do."""
    return bool(_files(storage))


def _files(storage: Storage) -> list[str]:
    found = []
    for name in storage.with_suffix(".csv"):
        first = storage.head_text(name).split("\n", 1)[0]
        if "Roi.X1" in first and "ClassId" in first:
            found.append(name)
    return found


def read(storage: Storage) -> LabelReading:
    """Every picture of every table; the class is the number that GTSRB gives it."""
    collector = Collector(storage)
    files = _files(storage)
    if not files:
        raise wrong_schema(
            storage,
            "the folder",
            expected="a table with the columns Filename or Path, Roi.X1 and ClassId",
            found=", ".join(storage.with_suffix(".csv")[:5]) or "no CSV",
        )
    for name in files:
        collector.add_label_file(name)
        for line, row in rows_of(storage, name):
            where = f"{name}, line {line}"
            given, label = row.get("Path") or row.get("Filename") or "", row.get("ClassId", "")
            number = class_number(label)
            if number is None:
                collector.add_problem(where, f"ClassId '{label}' is no number")
                continue
            label = str(number)
            file = _picture(collector, name, given, label)
            if file is None:
                collector.add_problem(where, f"names '{given}': no such picture")
                continue
            track = _TRACK.match(posixpath.splitext(posixpath.basename(file))[0])
            collector.add_entry(
                Entry(
                    name=file,
                    file=file,
                    group=f"{label}/{track.group(1)}" if track else file,
                    label=label,
                    split=collector.part(file, name),
                )
            )
    return collector.reading()


def _picture(collector: Collector, table: str, given: str, label: str) -> str | None:
    """The picture of a line: at that path, or in a folder below the table's. Every class has
    pictures of the same names, so of several the one in the folder of the class is meant."""
    if name := collector.names.exactly(given, beside=table):
        return name
    below = collector.names.below(given, posixpath.dirname(table))
    if len(below) > 1 or any(_class_folder(name) is not None for name in below):
        below = [name for name in below if _class_folder(name) == label]
    return below[0] if len(below) == 1 else None


def _class_folder(name: str) -> str | None:
    """The class that a picture's own folder is named after ("00014"); None of other folders."""
    folder = posixpath.basename(posixpath.dirname(name))
    number = class_number(folder)
    return None if number is None else str(number)
