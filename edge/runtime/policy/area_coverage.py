"""How much of a zone a label covers in a label map.

In: a label map, a label, and a zone as a polygon in shares of frame width and height. Out: shares
of the zone's cells, 0..1. Pure. Never counts a cell below the confidence as free of the label.
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
    """Shares of a zone, 0..1.

    Attributes:
        sure: cells that have the label with enough confidence.
        possible: those, and all cells without enough confidence.
    """

    sure: float
    possible: float


def cover_of(
    areas: LabelMap, label: int, *, confidence: float, zone: Sequence[Point] = WHOLE
) -> Cover:
    """How much of `zone` the label (its index) covers with at least this softmax share."""
    cells = _cells(
        tuple((float(x), float(y)) for x, y in zone),
        areas.frame_size,
        areas.x_px.tobytes(),
        areas.y_px.tobytes(),
    )
    labels, shares = areas.labels.ravel()[cells], areas.shares.ravel()[cells]
    known, same = shares >= confidence, labels == label
    return Cover(float((known & same).mean()), float((~known | same).mean()))


@lru_cache(maxsize=64)
def _cells(
    zone: tuple[Point, ...], frame_size: tuple[int, int], x_px: bytes, y_px: bytes
) -> NDArray[np.int64]:
    """Flat indices of the cells whose middle lies in the zone (even-odd rule) and in the frame.

    For a zone too small to hold a middle, the cell in the frame that is nearest to the mean of its
    corners: every zone has a cell, and padding is never one.
    """
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
