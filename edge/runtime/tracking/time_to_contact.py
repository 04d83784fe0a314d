"""Time to contact of one track from how fast it grows: tau = size / (d size / dt).

In: boxes or sizes with their times. Out: the closing rate 1 / tau in 1/s with its variance, and
seconds to contact. Needs neither camera calibration nor speed. At a constant closing speed the
inverse of a size is linear in time, so a straight line fits the inverse sizes of the last moments
(docs/decisions/0007); their distances from the line give the variance of its slope. Never reports
a slope that jitter of the sizes may have made.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Box = tuple[float, float, float, float]
Sample = tuple[float, float]
"""Seconds and size in pixels."""

NOT_CLOSING = math.inf

Evidence = Literal["pixels", "boxes", "both"]
"""What a time to contact was measured from: the pixels, the sizes of the boxes, or both."""


@dataclass(frozen=True)
class Contact:
    """Seconds until the object is at the camera; inf where it does not surely come closer."""

    time_s: float
    measured_from: Evidence


@dataclass(frozen=True)
class ClosingSettings:
    """How a slope is fitted and when it is believed.

    Attributes:
        window_s: the line is fitted to the sizes of so long before the newest one.
        samples_kept, window_max_s: of a slow camera, at least so many of the newest sizes that are
            no older than that.
        samples_min, span_min_s: with fewer sizes, or over a shorter time, there is no rate.
        jitter: relative jitter of a side, 1 sigma, that is expected a priori.
        jitter_weight: it counts as so many observations, so that few sizes that happen to lie on a
            line do not pass for exact.
        outlier: a size further from the line than so many times the median distance is left out.
        significance: a closing rate below so many of its own standard deviations counts as none.
        edge_margin: a box side within this share of the frame's edge is cut by it and left out.
        stale_s: where the newest size is older, there is no rate.
        step_min_s: a frame that follows sooner shows the same moment and is left out: a twentieth
            of a pixel within a microsecond would be a speed.
    """

    window_s: float = 0.6
    samples_kept: int = 7
    window_max_s: float = 1.5
    samples_min: int = 5
    span_min_s: float = 0.3
    jitter: float = 0.03
    jitter_weight: float = 6.0
    outlier: float = 6.0
    significance: float = 4.0
    edge_margin: float = 0.01
    stale_s: float = 0.4
    step_min_s: float = 0.002


BOX_SETTINGS = ClosingSettings()
"""For the sizes of detected boxes."""


@dataclass(frozen=True)
class Rate:
    """1 / tau in 1/s, above 0 where closing, and its variance."""

    value: float
    variance: float


@dataclass(frozen=True)
class _Line:
    """A line through inverse sizes: 1 / size = now + slope * (t - now_s)."""

    now_s: float
    now: float
    slope: float

    def at(self, sample: Sample) -> float:
        """The line's inverse size at the time of a sample."""
        return self.now + self.slope * (sample[0] - self.now_s)

    def residual(self, sample: Sample) -> float:
        """The distance of a size from the line, as a share of the size."""
        return 1.0 - sample[1] * self.at(sample)


class SizeHistory:
    """The box sizes of one track over the window, widths and heights apart."""

    def __init__(self, settings: ClosingSettings | None = None) -> None:
        self._settings = settings or BOX_SETTINGS
        self._widths: deque[Sample] = deque()
        self._heights: deque[Sample] = deque()

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

    def rate(self, now_s: float) -> Rate | None:
        """The closing rate now, by both sides; None where there are too few sizes."""
        height = closing_rate(self._heights, now_s, self._settings)
        return _fuse_sides(height, closing_rate(self._widths, now_s, self._settings))

    def time_to_contact_s(self, now_ns: int) -> float:
        """Seconds from `now_ns` until contact; inf where the size does not surely grow."""
        return time_of(self.rate(now_ns / 1e9), self._settings)


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


def closing_rate(sizes: Sequence[Sample], now_s: float, settings: ClosingSettings) -> Rate | None:
    """The closing rate by the sizes within the window, in any unit; None where there are too few,
    over too short a time, or too old ones."""
    if len(sizes) < settings.samples_min or sizes[-1][0] < now_s - settings.stale_s:
        return None
    if sizes[-1][0] - sizes[0][0] < settings.span_min_s:
        return None
    sizes = list(sizes)  # slices below
    rough = _resistant_line(sizes, now_s)
    if rough is None:
        return None
    usual = median(abs(rough.residual(sample)) for sample in sizes)
    limit = settings.outlier * max(usual, settings.jitter / 2.0)
    inliers = [sample for sample in sizes if abs(rough.residual(sample)) <= limit]
    return _least_squares(inliers, rough, settings)


ARRIVED = Rate(1e3, 1.0)
"""For a line by which the object is at the camera already: a millisecond, beyond doubt."""


def _resistant_line(sizes: Sequence[Sample], now_s: float) -> _Line | None:
    """The line through the medians of the first and of the last third (Tukey's resistant line): one
    wild size in each third does not bend it. None where both medians have the same time, as of
    frames with the same stamp."""
    third = max(1, len(sizes) // 3)
    (t1, q1), (t2, q2) = _median_point(sizes[:third]), _median_point(sizes[-third:])
    if t2 <= t1:
        return None
    slope = (q2 - q1) / (t2 - t1)
    now = median(1.0 / size - slope * (at_s - now_s) for at_s, size in sizes)
    return _Line(now_s, now, slope)


def _median_point(sizes: Sequence[Sample]) -> tuple[float, float]:
    """Median time and median inverse size."""
    return median(at_s for at_s, _ in sizes), 1.0 / median(size for _, size in sizes)


def _least_squares(sizes: Sequence[Sample], rough: _Line, settings: ClosingSettings) -> Rate | None:
    """The rate of the least-squares line through the inverse sizes, each weighted by the inverse
    square of what the rough line expects: an inverse size jitters by the same share as the size."""
    w = wt = wtt = wq = wtq = 0.0
    for sample in sizes:
        t, expected = sample[0] - rough.now_s, rough.at(sample)
        weight = 1.0 / max(expected * expected, 1e-12)
        w += weight
        wt += weight * t
        wtt += weight * t * t
        wq += weight / sample[1]
        wtq += weight * t / sample[1]
    spread = w * wtt - wt * wt
    if len(sizes) < settings.samples_min or spread <= 1e-9 * w * w:
        return None
    line = _Line(rough.now_s, (wtt * wq - wt * wtq) / spread, (w * wtq - wt * wq) / spread)
    if line.now <= 0.0:
        return ARRIVED
    squares = sum(line.residual(sample) ** 2 for sample in sizes)
    prior = settings.jitter_weight * settings.jitter**2
    jitter = (prior + squares) / (settings.jitter_weight + len(sizes) - 2)
    rate = -line.slope / line.now
    # The variance of the quotient slope / now, whose errors are correlated (delta method).
    spreads = w - 2.0 * rate * wt + rate * rate * wtt
    return Rate(rate, max(jitter * spreads / spread / line.now**2, 1e-12))


def _fuse_sides(height: Rate | None, width: Rate | None) -> Rate | None:
    """The mean of both sides weighted by their variances; where they disagree, the height, which
    neither a turn nor swinging legs change."""
    if height is None or width is None:
        return height or width
    return weighted_mean(height, width) or height


def weighted_mean(one: Rate, other: Rate) -> Rate | None:
    """The mean of two measurements of one rate, weighted by their inverse variances; None where
    they are more than three standard deviations apart."""
    if abs(one.value - other.value) > 3.0 * math.sqrt(one.variance + other.variance):
        return None
    weights = 1.0 / one.variance, 1.0 / other.variance
    value = (one.value * weights[0] + other.value * weights[1]) / sum(weights)
    return Rate(value, 1.0 / sum(weights))
