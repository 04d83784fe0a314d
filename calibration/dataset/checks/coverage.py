"""Counts records by weather, light and road, and finds the combinations that no record has.

In: records of a data set. Out: a `Matrix` of counts. `coverage_checks.py` says how few is too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from calibration.dataset.checks.inspection import filled_conditions
from calibration.dataset.records.record import Record
from edge.perception.conditions import LIGHTS, ROADS, WEATHERS

UNKNOWN = "unknown"
AXES: dict[str, tuple[str, ...]] = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Cell:
    """Records of one weather, light and road.

    Attributes:
        count: all of them.
        measured: those of which at least one word was only measured.
        example: name of one of them, "" where there is none.
    """

    count: int = 0
    measured: int = 0
    example: str = ""


@dataclass(frozen=True)
class Matrix:
    """weather x light x road.

    Attributes:
        cells: the cells that hold records.
        words: for each axis its words, and "unknown" last where a record has none.
        named_axes: axes on which metadata says a word of at least one record.
    """

    cells: dict[Key, Cell]
    words: dict[str, tuple[str, ...]]
    named_axes: tuple[str, ...]

    def total(self, axis: str, word: str) -> int:
        """Records with this word on this axis."""
        place = tuple(AXES).index(axis)
        return sum(cell.count for key, cell in self.cells.items() if key[place] == word)

    def holes(self) -> list[tuple[str, ...]]:
        """Combinations of words on `named_axes` that no record has."""
        places = [list(AXES).index(axis) for axis in self.named_axes]
        there = {tuple(key[place] for place in places) for key in self.cells}
        wanted: list[tuple[str, ...]] = [()]
        for axis in self.named_axes:
            wanted = [(*start, word) for start in wanted for word in AXES[axis]]
        return [combination for combination in wanted if combination not in there]


def matrix_of(records: Sequence[Record]) -> Matrix:
    """The matrix of `filled_conditions` of every record."""
    count: Counter[Key] = Counter()
    measured: Counter[Key] = Counter()
    example: dict[Key, str] = {}
    for record in records:
        filled = filled_conditions(record)
        found = filled.conditions
        key = (found.weather or UNKNOWN, found.light or UNKNOWN, found.road or UNKNOWN)
        count[key] += 1
        measured[key] += bool(filled.measured)
        example.setdefault(key, record.name)
    words = {}
    for place, (axis, own) in enumerate(AXES.items()):
        unknown = any(key[place] == UNKNOWN for key in count)
        words[axis] = (*own, UNKNOWN) if unknown else own
    cells = {key: Cell(count[key], measured[key], example[key]) for key in count}
    named_axes = tuple(
        axis
        for axis in AXES
        if any(getattr(record.conditions, axis) is not None for record in records)
    )
    return Matrix(cells, words, named_axes)
