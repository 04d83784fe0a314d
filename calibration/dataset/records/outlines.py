"""Outlines of labelled objects, finer than the boxes around them: values, and where readers put
them for whoever asks.

Never draws them (`drawing.py`), and never stands in a lock: there an object is its box.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from calibration.dataset.records.record import Box, Problem

LEAST_POINTS = 3
"""Points that a polygon has at least."""


@dataclass(frozen=True)
class Polygons:
    """Rings of x1 y1 x2 y2 ..., of which the object is the union; pixels or shares as the boxes of
    the same entry. In one ring the rule is even-odd."""

    rings: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Disc:
    """A circle with all that is in it, in pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Runs:
    """Numbers of pixels, column by column, of background and object in turn; for a picture of this
    very size alone."""

    counts: tuple[int, ...]
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Stamp:
    """A PNG whose pixels other than 0 are the object, its upper left pixel at (x_px, y_px)."""

    png: bytes = field(repr=False)
    x_px: int
    y_px: int
    width_px: int
    height_px: int


Shape = Polygons | Disc | Runs | Stamp


@dataclass(frozen=True)
class Outline:
    """One object as a person or a tool has outlined it.

    Attributes:
        where: file and line, annotation or shape that it comes from.
        box: its label, whether it is not to be judged by, and the box around it.
    """

    where: str
    box: Box
    shape: Shape


class Outlines:
    """The outlines that a reader found, beside what it reads for everybody."""

    def __init__(self) -> None:
        self.of_picture: dict[str, list[Outline]] = defaultdict(list)
        self.problems: list[Problem] = []

    def add(self, picture: str, box: Box, shape: Shape | str, *, where: str) -> None:
        """Takes one object, or notes why it has no outline.

        A region that is not to be judged needs none: its box says what is left out.
        """
        if isinstance(shape, str):
            if not box.ignored:
                self.problems.append(Problem(where, shape))
                return
            shape = rectangle(box.x1, box.y1, box.x2, box.y2)
        self.of_picture[picture].append(Outline(where, box, shape))


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Polygons:
    """The outline of a box."""
    return Polygons(((x1, y1, x2, y1, x2, y2, x1, y2),))
