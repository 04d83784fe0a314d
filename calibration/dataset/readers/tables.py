"""A folder of pictures, with CSV tables that tell their labels, or with none."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import (
    SPLIT_WORDS,
    Gathering,
    boxed,
    group_of,
    split_of,
)
from calibration.dataset.records import Box, Entry, Reading
from firmware_bridge.errors import UsageError

FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "name", "frame")
LABEL_COLUMNS = ("label", "class", "category", "class_name", "classid", "class_id")
SPLIT_COLUMNS = ("split", "subset", "part")
BOX_COLUMNS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
BESIDE = ("class_names.csv",)
"""Tables that name classes, not pictures."""


def recognises(place: Place) -> bool:
    """Whether there is any picture."""
    return bool(place.pictures)


def read(place: Place) -> Reading:
    """Every picture: rows of tables, then those that no table names.

    A table's picture is in a column of FILE_COLUMNS, or the first. Several rows of one picture are
    its boxes.
    """
    gathering = Gathering(place)
    for name in place.with_suffix(".csv"):
        if name.rsplit("/", 1)[-1].lower() not in BESIDE:
            gathering.label_file(name)
            _gather(gathering, name)
    gathering.unlabelled()
    return gathering.reading()


def rows_of(place: Place, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a CSV with a header, separated by comma, semicolon or tab; absent cells are "".

    Raises:
        UsageError: no text, no header, or not a table.
    """
    text = place.text(name)
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        for row in reader:
            yield (
                reader.line_num,
                {str(key).strip(): str(value or "") for key, value in row.items() if key},
            )
    except csv.Error as error:
        raise UsageError(
            f"{name} in {place.given} is not a table",
            expected="a CSV with a header",
            found=str(error),
            remedy="correct it, or take it out of the folder",
        ) from error


def class_names(place: Place, name: str) -> dict[str, str]:
    """Number -> name from a table of classes: number first, name second. Raises as `rows_of`."""
    found = {}
    for _, row in rows_of(place, name):
        number, title = (*list(row.values()), "", "")[:2]
        if number.strip() and title.strip():
            found[number.strip()] = title.strip()
    return found


def _gather(gathering: Gathering, name: str) -> None:
    rows = list(rows_of(gathering.place, name))
    columns = list(rows[0][1]) if rows else []
    lower = {column.lower(): column for column in columns}
    file_column = next((lower[word] for word in FILE_COLUMNS if word in lower), None)
    file_column = file_column or (columns[0] if columns else None)
    bare = {picture.rsplit("/", 1)[-1] for picture in gathering.place.pictures}
    if file_column is None or not any(
        row[file_column].replace("\\", "/").rsplit("/", 1)[-1].strip() in bare for _, row in rows
    ):
        raise UsageError(
            f"{name} in {gathering.place.given} names no picture",
            expected=f"a table with a header and a column of picture files (one of "
            f"{', '.join(FILE_COLUMNS)}, or the first column)",
            found=f"columns: {', '.join(columns) or 'none'}; {len(rows)} lines",
            remedy="correct the table, or take it out of the folder",
        )
    label_column = next((lower[word] for word in LABEL_COLUMNS if word in lower), None)
    split_column = next((lower[word] for word in SPLIT_COLUMNS if word in lower), None)
    box_columns = next(
        (
            [lower[word] for word in words]
            for words in BOX_COLUMNS
            if all(word in lower for word in words)
        ),
        None,
    )
    entries: dict[str, Entry] = {}
    boxes: dict[str, list[Box]] = {}
    for line, row in rows:
        where = f"{name}, line {line}"
        file = gathering.picture(row[file_column], label_file=name, where=where)
        if file is None:
            continue
        label = row[label_column].strip() or None if label_column else None
        if box_columns:
            own = boxes.setdefault(file, [])
            cells = [row[column].strip() for column in box_columns]
            corners = gathering.numbers(cells, 4, where=where) if any(cells) else None
            if corners is not None:
                own.append(boxed(label or "object", corners))
        elif file in entries:
            gathering.problem(where, f"names '{row[file_column]}' a second time")
            continue
        said = row[split_column].strip().lower() if split_column else ""
        entries[file] = Entry(
            name=file,
            file=file,
            group=group_of(row, file),
            label=None if box_columns else label,
            boxes=tuple(boxes[file]) if box_columns else None,
            conditions=gathering.conditions(row),
            split=SPLIT_WORDS.get(said, said) or split_of(name) or split_of(file),
        )
    for entry in entries.values():
        gathering.entry(entry)
