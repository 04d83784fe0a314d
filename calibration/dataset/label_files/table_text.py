"""Parses CSV tables as tools write them; every table of a data set is read here.

In: text, separated by comma, semicolon or tab, perhaps with a byte order mark, a line `sep=;`,
comments above the header, spaces around cells and empty lines. Out: rows of cells.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

SEPARATORS = ",;\t"
FILE_COLUMNS = ("file", "filename", "file_name", "path", "image", "picture", "name", "frame")
"""Columns that name a picture, by precedence; without any, the first column does."""


class NoTable(ValueError):
    """The text is not a table; the message says why."""


def split_cells(text: str) -> Iterator[list[str]]:
    """The cells of every line that is not empty, without spaces around them. Raises NoTable."""
    for _, cells in _lines(text):
        yield cells


def rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> cell) of every line below the header; missing cells are "".

    Raises:
        NoTable: two columns of one name, a line with more cells than the header, or not CSV.
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
    return next(split_cells(text), [])


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of the header and of every line that is not empty."""
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
