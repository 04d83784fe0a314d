"""Open Images: a table of boxes with `ImageID`, `LabelName` and corners as shares of the picture.

Boxes of a group (`IsGroupOf`) are ignored. Names of classes come from a table of descriptions
(/m/0k4j,Car) beside it.
"""

from __future__ import annotations

import posixpath

from calibration.dataset.label_files.collector import Gathering, wrong_schema
from calibration.dataset.label_files.csv_tables import rows_of
from calibration.dataset.label_files.table_text import separated
from calibration.dataset.records.record import Box, Entry, Reading
from calibration.dataset.storage import Storage

CORNERS = ("XMin", "YMin", "XMax", "YMax")
NOT_SAID = "-1"
"""What stands where nobody has said whether a box is one of a group."""


def recognises(storage: Storage) -> bool:
    """Whether a table begins as Open Images' do."""
    return any(_has(storage, name, CORNERS) for name in storage.with_suffix(".csv"))


def _has(storage: Storage, name: str, columns: tuple[str, ...]) -> bool:
    first = storage.head_text(name).split("\n", 1)[0]
    return all(column in first for column in ("ImageID", "LabelName", *columns))


def read(storage: Storage) -> Reading:
    """Every picture of every table of boxes."""
    gathering = Gathering(storage)
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
            gathering.passed_over(name, "labels of whole pictures, beside tables of boxes")
            continue
        rows = [row for row in separated(storage.text(name)) if len(row) == 2]
        classes |= {number: title for number, title in rows if number.startswith("/")}
        gathering.label_file(name)
    boxes: dict[str, list[Box]] = {}
    tables: dict[str, str] = {}
    for name in files:
        gathering.label_file(name)
        for line, row in rows_of(storage, name):
            where = f"{name}, line {line}"
            file = gathering.picture(row["ImageID"], label_file=name, where=where)
            corners = gathering.numbers([row[key] for key in CORNERS], 4, where=where)
            if file is None or corners is None:
                continue
            tables.setdefault(file, name)
            label = row["LabelName"].strip()
            said = {key: "" if value == NOT_SAID else value for key, value in row.items()}
            boxes.setdefault(file, [])
            boxes[file] += gathering.box(
                classes.get(label, label),
                corners,
                where=where,
                ignored=gathering.flagged(said, where=where),
            )
    for file, own in boxes.items():
        gathering.entry(
            Entry(
                name=file,
                file=file,
                group=file,
                boxes=tuple(own),
                boxes_are_shares=True,
                split=gathering.part(file, posixpath.basename(tables[file])),
            )
        )
    gathering.unlabelled()
    return gathering.reading()
