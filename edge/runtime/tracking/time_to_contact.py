"""Time to contact of one track from how fast it grows: tau = size / (d size / dt).

In: boxes with their times. Out: sizes of its sides, and from closing rates seconds to contact.
Needs neither camera calibration nor speed. Never reports a slope that jitter of the sizes may have
made.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

from edge.runtime.tracking.closing_rate import (
    ClosingSettings,
    History,
    Rate,
    Sample,
    closing_rates,
    weighted_mean,
)

Box = tuple[float, float, float, float]

NOT_CLOSING = math.inf

Evidence = Literal["pixels", "boxes", "both"]
"""What a time to contact was measured from: the pixels, the sizes of the boxes, or both."""

BOX_SETTINGS = ClosingSettings()
"""For the sizes of detected boxes."""


@dataclass(frozen=True)
class Contact:
    """Seconds until the object is at the camera; inf where it does not surely come closer."""

    time_s: float
    measured_from: Evidence


class SizeHistory:
    """The box sizes of one track over the window, widths and heights apart."""

    def __init__(self, settings: ClosingSettings = BOX_SETTINGS) -> None:
        self._settings = settings
        self._widths: deque[Sample] = deque()
        self._heights: deque[Sample] = deque()
        self.sides = (History(self._heights, settings), History(self._widths, settings))
        """Heights and widths, for `closing_rates`; they grow with the history."""

    def add(self, box: Box, at_ns: int, *, frame_size: tuple[int, int]) -> None:
        """Adds a detected box, x1 y1 x2 y2 in pixels of a frame of (width, height). A time that
        goes back begins a new history."""
        at_s = at_ns / 1e9
        for sizes, low, high, limit in (
            (self._widths, box[0], box[2], frame_size[0]),
            (self._heights, box[1], box[3], frame_size[1]),
        ):
            margin = self._settings.edge_margin * limit
            if low <= margin or high >= limit - margin or high - low < 1.0:
                continue
            if sizes and at_s < sizes[-1][0]:
                sizes.clear()
            if sizes and at_s - sizes[-1][0] < self._settings.step_min_s:
                continue
            sizes.append((at_s, high - low))
            drop_old_sizes(sizes, at_s, self._settings)

    def time_to_contact_s(self, now_ns: int) -> float:
        """Seconds from `now_ns` until contact; inf where the size does not surely grow."""
        return time_of(fuse_sides(*closing_rates(self.sides, now_ns / 1e9)), self._settings)


def drop_old_sizes(sizes: deque[Sample], at_s: float, settings: ClosingSettings) -> None:
    """Drops sizes from before the window; of a slow camera, keeps as many as a line needs."""
    while sizes[0][0] < at_s - settings.window_s and (
        len(sizes) > settings.samples_kept or sizes[0][0] < at_s - settings.window_max_s
    ):
        sizes.popleft()


def time_of(rate: Rate | None, settings: ClosingSettings) -> float:
    """Seconds to contact at this rate; NOT_CLOSING where the rate is not significant."""
    if rate is None or rate.value <= settings.significance * math.sqrt(rate.variance):
        return NOT_CLOSING
    return 1.0 / rate.value


def fuse_sides(height: Rate | None, width: Rate | None) -> Rate | None:
    """The mean of both sides weighted by their variances; where they disagree, the height, which
    neither a turn nor swinging legs change."""
    if height is None or width is None:
        return height or width
    return weighted_mean(height, width) or height
