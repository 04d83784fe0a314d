"""Places the labels of boxes on a picture so that none covers another.

Pure geometry in pixels of the picture; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Corners = tuple[float, float, float, float]
"""x1 y1 x2 y2."""

GLYPH = 0.62
"""Width of a character as a share of the font's size: a bold sans-serif's wide letters."""
LINE = 1.2
"""Height of a line as a share of the font's size."""
_LINES_AWAY = 4


@dataclass(frozen=True)
class Place:
    """Where a text stands: its left end and its baseline."""

    x: float
    baseline: float


def places(
    boxes: Sequence[tuple[Sequence[float], str]], *, size: float, width: float, height: float
) -> list[Place | None]:
    """A place for the label of each (box, text), in their order; None where none is free.

    A label stands above its box, below it, inside it, or a few lines further; never outside of the
    picture of `width` and `height`, and never over another label. `size` is the font's.
    """
    taken: list[Corners] = []
    found: list[Place | None] = []
    for box, text in boxes:
        wide, high = GLYPH * size * len(text), LINE * size
        free = (
            (x, y, x + wide, y + high)
            for x, y in _candidates(box, wide, high)
            if x >= 0.0 and x + wide <= width and y >= 0.0 and y + high <= height
        )
        spot = next((one for one in free if not any(_cross(one, other) for other in taken)), None)
        if spot is None:
            found.append(None)
            continue
        taken.append(spot)
        found.append(Place(spot[0], spot[3] - 0.25 * size))
    return found


def _candidates(box: Sequence[float], wide: float, high: float) -> Iterator[tuple[float, float]]:
    """Upper left corners, the nearest to the box first."""
    x1, y1, x2, y2 = box
    middle = (x1 + x2 - wide) / 2.0
    for away in range(_LINES_AWAY):
        for y in (y1 - high * (away + 1), y2 + high * away, y1 + high * away):
            for x in (x1, x2 - wide, middle):
                yield x, y
    for away in range(_LINES_AWAY):
        for y in (y1 + high * away, y2 - high * (away + 1)):
            for x in (x2, x1 - wide):
                yield x, y


def _cross(a: Corners, b: Corners) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
