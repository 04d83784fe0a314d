"""How much of a zone a label covers, and how much of the frame each label covered over a run.

Pure arithmetic of label maps; zones are polygons in shares of frame width and height. Never takes
a pixel that is not known for a "no".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import LabelMap
from edge.runtime.policy.zones import Point

WHOLE: tuple[Point, ...] = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
"""The zone of a rule that names none."""


@dataclass(frozen=True)
class Cover:
    """Shares of a zone, 0..1: what surely is of the label, and what would be if all that nobody is
    sure of were."""

    sure: float
    possible: float


def cover_of(
    seen: LabelMap, label: int, *, confidence: float, zone: Sequence[Point] = WHOLE
) -> Cover:
    """How much of `zone` the label (a row) covers with at least this softmax share."""
    cells = _cells(
        tuple((float(x), float(y)) for x, y in zone),
        seen.frame_size,
        seen.x_px.tobytes(),
        seen.y_px.tobytes(),
    )
    labels, shares = seen.labels.ravel()[cells], seen.shares.ravel()[cells]
    known, same = shares >= confidence, labels == label
    return Cover(float((known & same).mean()), float((~known | same).mean()))


@lru_cache(maxsize=64)
def _cells(
    zone: tuple[Point, ...], frame_size: tuple[int, int], x_px: bytes, y_px: bytes
) -> NDArray[np.int64]:
    """Numbers of the cells whose middle lies in the zone (even-odd rule) and in the frame. Of a
    zone between all of them the one in the frame that is nearest to its corners' mean: no zone is
    ever without one, and none is judged by padding."""
    across, down = (np.frombuffer(middles, np.float32) for middles in (x_px, y_px))
    wide, high = frame_size
    x, y = np.meshgrid(across / wide, down / high)
    within = np.zeros(x.shape, bool)
    for (x1, y1), (x2, y2) in zip(zone, (*zone[1:], zone[0]), strict=True):
        if y1 != y2:
            crosses = ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
            within ^= crosses
    frame = (x >= 0.0) & (x < 1.0) & (y >= 0.0) & (y < 1.0)
    within &= frame
    if not within.any():
        middle_x, middle_y = np.mean(np.array(zone), axis=0)
        away = np.where(frame, (x - middle_x) ** 2 + (y - middle_y) ** 2, np.inf)
        return np.array([np.argmin(away)], np.int64)
    return np.flatnonzero(within).astype(np.int64)
