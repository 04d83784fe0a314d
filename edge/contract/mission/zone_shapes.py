"""Checks that the corners of a zone enclose one area.

Pure geometry on polygons in shares of frame width and height. `edge/runtime/policy/zones.py`
decides which objects stand inside a zone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

Point = tuple[float, float]
Edge = tuple[Point, Point]

AREA_MIN = 1e-4
"""The least area of a zone, as a share of the frame's: 5 x 5 pixels of 640 x 384."""

MOST_CORNERS = 64

_ROUNDING = 1e-9


def shape_mistake(corners: Sequence[Point]) -> str | None:
    """What is wrong with the shape of a zone, or None.

    The area by the even-odd rule, which decides at run time, must equal the area that the outline
    encloses: corners in a wrong order cross and silently lose a part of the road. A corner given
    twice in a row (also the first again at the end) counts once.
    """
    ring = [point for row, point in enumerate(corners) if point != corners[row - 1]]
    if len(ring) < 3:
        return f"encloses nothing: {len(ring) or 1} different corners, three at least are needed"
    edges = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    crossing = next(
        (
            (row, other)
            for row, one in enumerate(edges)
            for other in range(row + 2, len(edges))
            if _cross(one, edges[other])
        ),
        None,
    )
    if crossing is not None:
        first, second = (edges[row] for row in crossing)
        return (
            f"crosses itself: the edge {_edge_text(first)} and the edge {_edge_text(second)}; "
            "give the corners in their order around the zone"
        )
    enclosed = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)) / 2.0
    if abs(enclosed - _even_odd_area(edges)) > AREA_MIN / 10.0:
        return "runs over itself: give the corners in their order around the zone, once"
    if enclosed < AREA_MIN:
        return f"has an area of {enclosed:.2g} of the frame, {AREA_MIN:g} at least are needed"
    return None


def _cross(one: Edge, other: Edge) -> bool:
    """Whether two edges cross; touching is not crossing."""
    sides = (_side(one, other[0]), _side(one, other[1]))
    others = (_side(other, one[0]), _side(other, one[1]))
    return min(sides) < -_ROUNDING < _ROUNDING < max(sides) and (
        min(others) < -_ROUNDING < _ROUNDING < max(others)
    )


def _side(edge: Edge, point: Point) -> float:
    (x1, y1), (x2, y2) = edge
    return (x2 - x1) * (point[1] - y1) - (y2 - y1) * (point[0] - x1)


def _even_odd_area(edges: Sequence[Edge]) -> float:
    """Area inside edges that do not cross: between two heights at which corners lie, the edges that
    pass through enclose trapezoids by pairs."""
    heights = sorted({y for edge in edges for _, y in edge})
    area = 0.0
    for low, high in itertools.pairwise(heights):
        middle = (low + high) / 2.0
        crossed = sorted(
            x1 + (middle - y1) * (x2 - x1) / (y2 - y1)
            for (x1, y1), (x2, y2) in edges
            if (y1 > middle) != (y2 > middle)
        )
        widths = sum(right - left for left, right in zip(crossed[::2], crossed[1::2], strict=True))
        area += widths * (high - low)
    return area


def _edge_text(edge: Edge) -> str:
    return " - ".join(f"({x:g}, {y:g})" for x, y in edge)
