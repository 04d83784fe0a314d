"""Outlines of labelled objects, finer than their boxes, and the collection that readers add to.

`polygon_masks/draw.py` draws them. A lock holds boxes alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from calibration.dataset.records.record import Box, Problem

LEAST_POINTS = 3
"""The least number of points of a polygon."""


@dataclass(frozen=True)
class Polygons:
    """Rings of x1 y1 x2 y2 ..., whose union is the object; in pixels or shares, as the boxes of
    the same entry. A ring is filled by the even-odd rule."""

    rings: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Disc:
    """A filled circle, in pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Runs:
    """Run lengths in pixels, column by column, of background and object in turn, for a picture of
    exactly this size."""

    counts: tuple[int, ...]
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Stamp:
    """A PNG whose pixels other than 0 are the object; its upper left pixel is at (x_px, y_px)."""

    png: bytes = field(repr=False)
    x_px: int
    y_px: int
    width_px: int
    height_px: int


Shape = Polygons | Disc | Runs | Stamp


@dataclass(frozen=True)
class Outline:
    """The outline of one object.

    Attributes:
        where: the file and line, annotation or shape that it comes from.
        box: its label, whether it is ignored, and the box around it.
    """

    where: str
    box: Box
    shape: Shape


class Outlines:
    """The outlines that a reader finds, by picture, and problems with others."""

    def __init__(self) -> None:
        self.of_picture: dict[str, list[Outline]] = defaultdict(list)
        self.problems: list[Problem] = []

    def add(self, picture: str, box: Box, shape: Shape | str, *, where: str) -> None:
        """Adds one object, or notes why it has no outline.

        An ignored region needs none: it is left out by its box.
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
