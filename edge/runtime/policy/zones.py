"""Where an object stands, and whether that is inside a zone.

In: a track's box in pixels, and zones as polygons in shares of frame width and height. Out: a point
in such shares; True or False. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.runtime.tracking.track import Track

Point = tuple[float, float]
Polygon = Sequence[Point]


def inside(point: Point, polygon: Polygon) -> bool:
    """True when `point` lies in the polygon (even-odd rule).

    Its edge counts as inside: a pedestrian exactly on the line must cause the stop.
    """
    x, y = point
    within = False
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if _on_segment(x, y, (x1, y1), (x2, y2)):
            return True
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            within = not within
    return within


def standing_point(track: Track, frame_width_px: int, frame_height_px: int) -> Point:
    """Middle of the box's lower edge, as shares: where the object touches the road."""
    x1, _, x2, y2 = track.box
    return ((x1 + x2) / 2.0 / frame_width_px, y2 / frame_height_px)


def _on_segment(x: float, y: float, a: Point, b: Point) -> bool:
    """True when (x, y) lies on the line between `a` and `b`, to a millionth of the frame."""
    cross = (x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0])
    length = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
    return (
        abs(cross) <= 1e-6 * max(length, 1e-6)
        and min(a[0], b[0]) - 1e-6 <= x <= max(a[0], b[0]) + 1e-6
        and min(a[1], b[1]) - 1e-6 <= y <= max(a[1], b[1]) + 1e-6
    )
