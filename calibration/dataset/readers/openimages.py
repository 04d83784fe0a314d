"""Reads Open Images: a table of boxes with `ImageID`, `LabelName` and corners as shares.

In: CSV files: boxes, and a table of class descriptions (/m/0k4j,Car). Out: a `LabelReading`; boxes
of a group (`IsGroupOf`) become ignored boxes.
"""

from __future__ import annotations

import posixpath

from calibration.dataset.label_files.collector import Collector, wrong_schema
from calibration.dataset.label_files.csv_tables import rows_of
from calibration.dataset.label_files.table_text import split_cells
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

CORNERS = ("XMin", "YMin", "XMax", "YMax")
NOT_SAID = "-1"
"""The value of `IsGroupOf` where nobody has decided it."""


def recognises(storage: Storage) -> bool:
    """Whether a table begins as Open Images' do."""
    return any(_has(storage, name, CORNERS) for name in storage.with_suffix(".csv"))


def _has(storage: Storage, name: str, columns: tuple[str, ...]) -> bool:
    first = storage.head_text(name).split("\n", 1)[0]
    return all(column in first for column in ("ImageID", "LabelName", *columns))


def read(storage: Storage) -> LabelReading:
    """Every picture of every table of boxes."""
    collector = Collector(storage)
    files = [name for name in storage.with_suffix(".csv") if _has(storage, name, CORNERS)]
    if not files:
        raise wrong_schema(
            storage,
            "the folder",
            expected=f"a table with the columns ImageID, LabelName, {', '.join(CORNERS)}",
            found=", ".join(storage.with_suffix(".csv")[:5]) or "no CSV",
        )
    classes: dict[str, str] = {}
    for name in storage.with_suffix(".csv"):
        if name in files:
            continue
        if _has(storage, name, ()):
            collector.skip_file(name, "labels of whole pictures, beside tables of boxes")
            continue
        rows = [row for row in split_cells(storage.text(name)) if len(row) == 2]
        classes |= {number: title for number, title in rows if number.startswith("/")}
        collector.add_label_file(name)
    boxes: dict[str, list[Box]] = {}
    tables: dict[str, str] = {}
    for name in files:
        collector.add_label_file(name)
        for line, row in rows_of(storage, name):
            where = f"{name}, line {line}"
            file = collector.picture(row["ImageID"], label_file=name, where=where)
            corners = collector.numbers([row[key] for key in CORNERS], 4, where=where)
            if file is None or corners is None:
                continue
            tables.setdefault(file, name)
            label = row["LabelName"].strip()
            said = {key: "" if value == NOT_SAID else value for key, value in row.items()}
            boxes.setdefault(file, [])
            boxes[file] += collector.box(
                classes.get(label, label),
                corners,
                where=where,
                ignored=collector.is_ignored(said, where=where),
            )
    for file, own in boxes.items():
        collector.add_entry(
            Entry(
                name=file,
                file=file,
                group=file,
                boxes=tuple(own),
                boxes_are_shares=True,
                split=collector.part(file, posixpath.basename(tables[file])),
            )
        )
    collector.add_unlabelled()
    return collector.reading()
