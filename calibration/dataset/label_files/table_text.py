"""Tables as people's tools write them: separated by comma, semicolon or tab, with a byte order
mark, a line `sep=;`, comments above the header, spaces around cells, empty lines. The one reader of
every table. Pure.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

SEPARATORS = ",;\t"
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "name", "frame")
"""Columns that name a picture, the first that is there; else a table's first column does."""


class NoTable(ValueError):
    """The text is no table; the message says why."""


def separated(text: str) -> Iterator[list[str]]:
    """The cells of every line that has any, without spaces around them. Raises NoTable."""
    for _, cells in _lines(text):
        yield cells


def rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> cell) below the header; cells that a line lacks are "".

    Raises:
        NoTable: two columns of one name, a line with more cells than the header, or no CSV.
    """
    lines = _lines(text)
    _, columns = next(lines, (0, []))
    named = [column for column in columns if column]
    if len(set(named)) < len(named):
        twice = sorted({column for column in named if named.count(column) > 1})
        raise NoTable(f"the column '{twice[0]}' twice")
    for number, cells in lines:
        if any(cells[len(columns) :]):
            raise NoTable(f"{len(cells)} cells in line {number}, {len(columns)} in the header")
        filled = [*cells, *[""] * (len(columns) - len(cells))]
        yield number, {name: cell for name, cell in zip(columns, filled, strict=False) if name}


def columns_of(text: str) -> list[str]:
    """The header's columns; none of an empty table. Raises NoTable."""
    return next(separated(text), [])


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the header and of every line that says something."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    separator, skipped = "", 0
    for line in lines:
        bare = line.strip()
        if bare.lower().startswith("sep=") and len(bare) <= len("sep=;"):
            separator = bare[4:] or "\t"
        elif bare and not bare.startswith("#"):
            break
        skipped += 1
    header = lines[skipped] if skipped < len(lines) else ""
    reader = csv.reader(
        lines[skipped:],
        delimiter=separator or max(SEPARATORS, key=header.count),
        skipinitialspace=True,
        strict=True,
    )
    try:
        for cells in reader:
            bare_cells = [cell.strip() for cell in cells]
            if any(bare_cells):
                yield reader.line_num + skipped, bare_cells
    except csv.Error as error:
        raise NoTable(f"line {reader.line_num + skipped}: {error}") from error
