"""Reads a folder of pictures, with CSV tables of their labels or without.

In: the files of a data set. Out: a `LabelReading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from calibration.dataset.label_files.collector import Collector, group_of
from calibration.dataset.label_files.part_names import PART_WORDS
from calibration.dataset.label_files.table_text import FILE_COLUMNS, NoTable, rows
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage
from firmware_bridge.errors import UsageError

LABEL_COLUMNS = ("label", "class", "category", "class_name", "classid", "class_id")
SPLIT_COLUMNS = ("split", "subset", "part")
BOX_COLUMNS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
BESIDE = ("class_names.csv",)
"""Tables that name classes, not pictures."""
TABLES = (".csv", ".tsv")


def recognises(storage: Storage) -> bool:
    """Whether there is any picture."""
    return bool(storage.pictures)


def read(storage: Storage) -> LabelReading:
    """Every picture: first the rows of tables, then pictures that no table names.

    A row names its picture in a column of FILE_COLUMNS, or in the first. Several rows of one
    picture are its boxes.
    """
    collector = Collector(storage)
    files = {
        name: name.rsplit("/", 1)[-1].lower() in BESIDE for name in storage.with_suffix(*TABLES)
    }
    classes: dict[str, str] = {}
    for name in (name for name, beside in files.items() if beside):
        collector.add_label_file(name)
        classes |= class_names(storage, name)
    for name in (name for name, beside in files.items() if not beside):
        collector.add_label_file(name)
        _collect(collector, name, classes)
    collector.add_unlabelled()
    return collector.reading()


def rows_of(storage: Storage, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a CSV with a header; absent cells are "". See `table_text.py`.

    Raises:
        UsageError: the file is not text, has no header, or is not a table.
    """
    try:
        yield from rows(storage.text(name))
    except NoTable as error:
        raise UsageError(
            f"{name} in {storage.location} is not a table",
            expected="a CSV with a header",
            found=str(error),
            remedy="correct it, or take it out of the folder",
        ) from error


def class_names(storage: Storage, name: str) -> dict[str, str]:
    """Number -> name from a table of classes: number first, name second. Raises as `rows_of`."""
    found = {}
    for _, row in rows_of(storage, name):
        number, title = (*list(row.values()), "", "")[:2]
        if number.strip() and title.strip():
            found[number.strip()] = title.strip()
    return found


@dataclass(frozen=True)
class _Columns:
    """Which columns of a table say what; None where no column does."""

    file: str
    label: str | None
    split: str | None
    box: list[str] | None


def _collect(collector: Collector, name: str, classes: dict[str, str]) -> None:
    lines = list(rows_of(collector.storage, name))
    columns = _columns_of(collector, name, [row for _, row in lines])
    entries: dict[str, Entry] = {}
    boxes: dict[str, list[Box]] = {}
    for line, row in lines:
        where = f"{name}, line {line}"
        file = collector.picture(row[columns.file], label_file=name, where=where)
        if file is None:
            continue
        label = _label(collector, row, columns, classes, where=where)
        if columns.box:
            cells = [row[column] for column in columns.box]
            own = boxes.setdefault(file, [])
            own += _boxes(collector, row, cells, label, where=where)
        elif file in entries:
            collector.add_problem(where, f"names '{row[columns.file]}' a second time")
            continue
        part = row[columns.split].lower() if columns.split else ""
        entries[file] = Entry(
            name=file,
            file=file,
            group=group_of(row, file),
            label=None if columns.box else label,
            boxes=tuple(boxes[file]) if columns.box else None,
            conditions=collector.conditions(row),
            split=PART_WORDS.get(part, part) or collector.part(name, file),
        )
    for entry in entries.values():
        collector.add_entry(entry)


def _columns_of(collector: Collector, name: str, lines: list[dict[str, str]]) -> _Columns:
    """The columns by their names, whatever their case. Refuses a table of something else."""
    header = list(lines[0]) if lines else []
    lower = {column.lower(): column for column in header}

    def first(words: tuple[str, ...]) -> str | None:
        return next((lower[word] for word in words if word in lower), None)

    file = first(FILE_COLUMNS) or (header[0] if header else None)
    _require_pictures(collector, name, lines, file)
    assert file is not None
    boxes = (words for words in BOX_COLUMNS if all(word in lower for word in words))
    return _Columns(
        file=file,
        label=first(LABEL_COLUMNS),
        split=first(SPLIT_COLUMNS),
        box=next(([lower[word] for word in words] for words in boxes), None),
    )


def _label(
    collector: Collector,
    row: dict[str, str],
    columns: _Columns,
    classes: dict[str, str],
    *,
    where: str,
) -> str | None:
    """The label of a line; a number becomes its name where classes are named."""
    label = row[columns.label] or None if columns.label else None
    if classes and label is not None and label.isdecimal() and label not in classes:
        collector.add_problem(where, f"class {label} has no name")
    return None if label is None else classes.get(label, label)


def _boxes(
    collector: Collector, row: dict[str, str], cells: list[str], label: str | None, *, where: str
) -> list[Box]:
    """The box of a line; none where its cells are empty or no numbers."""
    corners = collector.numbers(cells, 4, where=where) if any(cells) else None
    ignored = collector.is_ignored(row, where=where)
    if corners is None:
        return []
    return collector.box(label or "object", corners, where=where, ignored=ignored)


def _require_pictures(
    collector: Collector, name: str, lines: list[dict[str, str]], column: str | None
) -> None:
    """Refuses a table of something else, and one whose first line is a picture and no header."""
    names = collector.names
    given = [row[column] for row in lines] if column is not None else []
    known = any(names.has_bare(one) for one in given)
    if column is not None and column.lower() in FILE_COLUMNS:  # a stem is enough there
        known = known or any(names.find(one, beside=name)[0] for one in given)
    columns = list(lines[0]) if lines else []
    headless = next((one for one in columns if names.has_bare(one)), "")
    if not known or headless:
        raise UsageError(
            f"{name} in {collector.storage.location} "
            + (f"has no header: it begins with {headless}" if headless else "names no picture"),
            expected=f"a table with a header and a column of picture files (one of "
            f"{', '.join(FILE_COLUMNS)}, or the first column)",
            found=f"columns: {', '.join(columns) or 'none'}; {len(lines)} lines",
            remedy="correct the table, or take it out of the folder",
        )
