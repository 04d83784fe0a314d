"""How often each label and each condition occurs, and where the holes are.

Counts only; how few is too few is for `checks_balance.py` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from calibration.dataset.checks.inspection import believed
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
        said: axes on which metadata says a word of at least one record.
    """

    cells: dict[Key, Cell]
    words: dict[str, tuple[str, ...]]
    said: tuple[str, ...]

    def total(self, axis: str, word: str) -> int:
        """Records with this word on this axis."""
        place = tuple(AXES).index(axis)
        return sum(cell.count for key, cell in self.cells.items() if key[place] == word)

    def holes(self) -> list[tuple[str, ...]]:
        """Combinations of words on the axes said that no record has."""
        places = [list(AXES).index(axis) for axis in self.said]
        there = {tuple(key[place] for place in places) for key in self.cells}
        wanted: list[tuple[str, ...]] = [()]
        for axis in self.said:
            wanted = [(*start, word) for start in wanted for word in AXES[axis]]
        return [combination for combination in wanted if combination not in there]


def matrix_of(records: Sequence[Record]) -> Matrix:
    """The matrix of what is believed of each record; see `believed`."""
    count: Counter[Key] = Counter()
    measured: Counter[Key] = Counter()
    example: dict[Key, str] = {}
    for record in records:
        belief = believed(record)
        found = belief.conditions
        key = (found.weather or UNKNOWN, found.light or UNKNOWN, found.road or UNKNOWN)
        count[key] += 1
        measured[key] += bool(belief.measured)
        example.setdefault(key, record.name)
    words = {}
    for place, (axis, own) in enumerate(AXES.items()):
        unknown = any(key[place] == UNKNOWN for key in count)
        words[axis] = (*own, UNKNOWN) if unknown else own
    cells = {key: Cell(count[key], measured[key], example[key]) for key in count}
    said = tuple(
        axis
        for axis in AXES
        if any(getattr(record.conditions, axis) is not None for record in records)
    )
    return Matrix(cells, words, said)
