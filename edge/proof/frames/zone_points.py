"""Points and cells of the frame by the zones that hold them.

In: the zones that rules ask for. Out: for a zone the lowest point that few other zones hold, one
outside it, and the cells of a label map inside it. By the real `inside`, on a grid and at the
zones' corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.contract.mission.sections.policy import Policy
from edge.runtime.policy.zones import inside

GRID = 64
"""Cells of a label map, and points of the grid, in a row and in a column."""

Point = tuple[float, float]


class ZonePoints:
    """Points of the frame, each with the zones that hold it."""

    def __init__(self, policy: Policy) -> None:
        used = {rule.when.zone for rule in policy.rules}
        zones = {name: corners for name, corners in policy.zones.items() if name in used}
        middles = [float(at) for at in (np.arange(GRID) + 0.5) / GRID]
        points: list[Point] = [(x, y) for y in middles for x in middles]
        points += [(float(x), float(y)) for corners in zones.values() for x, y in corners]
        self._held = {
            point: frozenset(name for name, corners in zones.items() if inside(point, corners))
            for point in points
        }

    def cells(self, zone: str | None) -> NDArray[np.int64]:
        """(row, column) of the cells whose middle a zone holds; all where it holds none."""
        held = [zone is None or zone in zones for zones in self._held.values()][: GRID * GRID]
        return np.argwhere(np.array(held).reshape(GRID, GRID) | (not any(held)))

    def least(self, zone: str | None, *, height: float) -> list[Point]:
        """The lowest point of each set of zones that holds `zone` and as few others as possible,
        among those at which a box of this height has room; else the lowest point of all."""
        lowest: dict[frozenset[str], Point] = {}
        for point, held in self._held.items():
            if (zone is None or zone in held) and point[1] >= height:
                lowest[held] = max(lowest.get(held, point), point, key=lambda one: one[1])
        least = [held for held in lowest if not any(other < held for other in lowest)]
        return [lowest[held] for held in least] or [max(self._held, key=lambda one: one[1])]

    def outside(self, zone: str) -> Point | None:
        """The lowest point that the zone does not hold; None where it is the whole frame."""
        out = [point for point, held in self._held.items() if zone not in held]
        return max(out, key=lambda one: one[1], default=None)
