"""A folder of pictures, with CSV tables that tell their labels, or with none."""

from __future__ import annotations

from collections.abc import Iterator

from calibration.dataset.label_files.collector import Gathering, group_of
from calibration.dataset.label_files.part_names import PART_WORDS
from calibration.dataset.label_files.table_text import FILE_COLUMNS, NoTable, rows
from calibration.dataset.records.record import Box, Entry, Reading
from calibration.dataset.storage import Storage
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


def read(storage: Storage) -> Reading:
    """Every picture: rows of tables, then those that no table names.

    A table's picture is in a column of FILE_COLUMNS, or the first. Several rows of one picture are
    its boxes.
    """
    gathering = Gathering(storage)
    files = {
        name: name.rsplit("/", 1)[-1].lower() in BESIDE for name in storage.with_suffix(*TABLES)
    }
    classes: dict[str, str] = {}
    for name in (name for name, beside in files.items() if beside):
        gathering.label_file(name)
        classes |= class_names(storage, name)
    for name in (name for name, beside in files.items() if not beside):
        gathering.label_file(name)
        _gather(gathering, name, classes)
    gathering.unlabelled()
    return gathering.reading()


def rows_of(storage: Storage, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of a CSV with a header; absent cells are "". See `table_text.py`.

    Raises:
        UsageError: no text, no header, or not a table.
    """
    try:
        yield from rows(storage.text(name))
    except NoTable as error:
        raise UsageError(
            f"{name} in {storage.given} is not a table",
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


def _gather(gathering: Gathering, name: str, classes: dict[str, str]) -> None:
    lines = list(rows_of(gathering.storage, name))
    columns = list(lines[0][1]) if lines else []
    lower = {column.lower(): column for column in columns}
    file_column = next((lower[word] for word in FILE_COLUMNS if word in lower), None)
    file_column = file_column or (columns[0] if columns else None)
    _require_pictures(gathering, name, [row for _, row in lines], file_column)
    assert file_column is not None
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
    for line, row in lines:
        where = f"{name}, line {line}"
        file = gathering.picture(row[file_column], label_file=name, where=where)
        if file is None:
            continue
        label = row[label_column] or None if label_column else None
        if classes and label is not None and label.isdecimal() and label not in classes:
            gathering.problem(where, f"class {label} has no name")
        label = None if label is None else classes.get(label, label)
        if box_columns:
            own = boxes.setdefault(file, [])
            cells = [row[column] for column in box_columns]
            corners = gathering.numbers(cells, 4, where=where) if any(cells) else None
            ignored = gathering.flagged(row, where=where)
            if corners is not None:
                own += gathering.box(label or "object", corners, where=where, ignored=ignored)
        elif file in entries:
            gathering.problem(where, f"names '{row[file_column]}' a second time")
            continue
        said = row[split_column].lower() if split_column else ""
        entries[file] = Entry(
            name=file,
            file=file,
            group=group_of(row, file),
            label=None if box_columns else label,
            boxes=tuple(boxes[file]) if box_columns else None,
            conditions=gathering.conditions(row),
            split=PART_WORDS.get(said, said) or gathering.part(name, file),
        )
    for entry in entries.values():
        gathering.entry(entry)


def _require_pictures(
    gathering: Gathering, name: str, lines: list[dict[str, str]], column: str | None
) -> None:
    """Refuses a table of something else, and one whose first line is a picture and no header."""
    names = gathering.names
    given = [row[column] for row in lines] if column is not None else []
    known = any(names.has_bare(one) for one in given)
    if column is not None and column.lower() in FILE_COLUMNS:  # there a stem is enough
        known = known or any(names.find(one, beside=name)[0] for one in given)
    columns = list(lines[0]) if lines else []
    headless = next((one for one in columns if names.has_bare(one)), "")
    if not known or headless:
        raise UsageError(
            f"{name} in {gathering.storage.given} "
            + (f"has no header: it begins with {headless}" if headless else "names no picture"),
            expected=f"a table with a header and a column of picture files (one of "
            f"{', '.join(FILE_COLUMNS)}, or the first column)",
            found=f"columns: {', '.join(columns) or 'none'}; {len(lines)} lines",
            remedy="correct the table, or take it out of the folder",
        )
