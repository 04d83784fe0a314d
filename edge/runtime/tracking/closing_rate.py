"""Fits a line through the inverse sizes of each of many histories: the closing rate with its
variance.

In: sizes with their times, one history for each object and side. Out: a `Rate` in 1/s for each, or
None where there are too few sizes or too old ones. At a constant closing speed the inverse of a
size is linear in time (docs/decisions/0007); distances from the line give the variance of its
slope. All histories are fitted at once, as rows of one table; the rate of each is the same to the
last bit whatever else is in the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Sample = tuple[float, float]
"""Seconds and size in pixels."""

Table = NDArray[np.float64]
"""(histories, samples), or (histories, 1)."""

Counts = NDArray[np.int64]
"""(histories,)"""


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


@dataclass(frozen=True)
class Rate:
    """1 / tau in 1/s, above 0 where closing, and its variance."""

    value: float
    variance: float


ARRIVED = Rate(1e3, 1.0)
"""For a line by which the object is at the camera already: a millisecond, beyond doubt."""


@dataclass(frozen=True)
class History:
    """Sizes of one side of one object, in order of time, in any unit."""

    sizes: Sequence[Sample]
    settings: ClosingSettings


def closing_rates(histories: Sequence[History], now_s: float) -> list[Rate | None]:
    """The closing rate of each history; None where there are too few sizes, over too short a time,
    or too old ones."""
    rates: list[Rate | None] = [None] * len(histories)
    rows = [row for row, history in enumerate(histories) if _suffices(history, now_s)]
    if rows:
        with np.errstate(all="ignore"):  # a row that gives no number gives no rate
            found = _fit([histories[row] for row in rows], now_s)
        for row, rate in zip(rows, found, strict=True):
            rates[row] = rate
    return rates


def _suffices(history: History, now_s: float) -> bool:
    sizes, settings = history.sizes, history.settings
    return (
        len(sizes) >= settings.samples_min
        and sizes[-1][0] >= now_s - settings.stale_s
        and sizes[-1][0] - sizes[0][0] >= settings.span_min_s
    )


def _fit(histories: Sequence[History], now_s: float) -> list[Rate | None]:
    """The rates of histories that are long enough."""
    counts = np.array([len(history.sizes) for history in histories])
    least, prior_jitter, prior_weight, outlier = np.array(
        [
            (
                h.settings.samples_min,
                h.settings.jitter,
                h.settings.jitter_weight,
                h.settings.outlier,
            )
            for h in histories
        ]
    ).T[:, :, None]
    most = int(counts.max())
    column = np.arange(most)
    there = column < counts[:, None]
    numbers = chain.from_iterable(chain.from_iterable(history.sizes for history in histories))
    samples = np.fromiter(numbers, np.float64).reshape(-1, 2)
    times, sizes = np.zeros(there.shape), np.ones(there.shape)
    times[there], sizes[there] = samples.T
    ago, inverse = times - now_s, 1.0 / sizes

    # The line through the medians of the first and of the last third (Tukey's resistant line): one
    # wild size in each third does not bend it. Both medians may have the same time, as of frames
    # with the same stamp: then there is no line.
    first = np.arange(len(counts)) * most  # of each row, in the flat table
    third = np.maximum(1, counts // 3)
    last = counts - third
    begin, end = _middles(times, first, third), _middles(times, first + last, third)
    early = np.sort(np.where(column < third[:, None], sizes, np.inf), axis=1)
    late = np.sort(np.where(there & (column >= last[:, None]), sizes, np.inf), axis=1)
    rise = 1.0 / _middles(late, first, third) - 1.0 / _middles(early, first, third)
    slope = rise / (end - begin)
    inverse_now = _medians(inverse - slope * ago, there, first, counts)

    expected = inverse_now + slope * ago
    distance = np.abs(1.0 - sizes * expected)
    usual = np.maximum(_medians(distance, there, first, counts), prior_jitter / 2.0)
    inliers = there & (distance <= outlier * usual)

    # The least-squares line through the inverse sizes, each weighted by the inverse square of what
    # that line expects: an inverse size jitters by the same share as the size.
    weight = np.where(inliers, 1.0 / np.maximum(expected * expected, 1e-12), 0.0)
    weighted = weight * ago
    w, wt, wtt, wq, wtq = _sums(
        np.stack([weight, weighted, weighted * ago, weight / sizes, weighted / sizes])
    )
    spread = w * wtt - wt * wt
    inverse_now, slope = (wtt * wq - wt * wtq) / spread, (w * wtq - wt * wq) / spread
    distance = np.where(inliers, 1.0 - sizes * (inverse_now + slope * ago), 0.0)
    used = np.count_nonzero(inliers, axis=1)[:, None]
    prior = prior_weight * prior_jitter**2
    jitter = (prior + _sums(distance * distance)) / (prior_weight + used - 2)

    rate = -slope / inverse_now
    # The variance of the quotient slope / now, whose errors are correlated (delta method).
    spreads = w - 2.0 * rate * wt + rate * rate * wtt
    variance = np.maximum(jitter * spreads / spread / inverse_now**2, 1e-12)
    known = (end > begin) & (used >= least) & (spread > 1e-9 * w * w)
    columns = (values.ravel().tolist() for values in (known, inverse_now <= 0.0, rate, variance))
    return [
        (ARRIVED if is_there else Rate(value, its_variance)) if is_known else None
        for is_known, is_there, value, its_variance in zip(*columns, strict=True)
    ]


def _sums(values: Table) -> Table:
    """The sum of each row, from left to right: zeros at its end change no bit of it."""
    sums: Table = np.add.accumulate(values, axis=-1)[..., -1:]
    return sums


def _medians(values: Table, there: NDArray[np.bool_], first: Counts, counts: Counts) -> Table:
    """The median of those values of each row that are there, so many."""
    return _middles(np.sort(np.where(there, values, np.inf), axis=1), first, counts)


def _middles(ordered: Table, first: Counts, counts: Counts) -> Table:
    """The medians of so many values in order, from those places of the flat table on."""
    low, high = ordered.take(first + (counts - 1) // 2), ordered.take(first + counts // 2)
    middles: Table = ((low + high) / 2.0)[:, None]
    return middles


def weighted_mean(one: Rate, other: Rate) -> Rate | None:
    """The mean of two measurements of one rate, weighted by their inverse variances; None where
    they are more than three standard deviations apart."""
    if abs(one.value - other.value) > 3.0 * math.sqrt(one.variance + other.variance):
        return None
    weights = 1.0 / one.variance, 1.0 / other.variance
    value = (one.value * weights[0] + other.value * weights[1]) / sum(weights)
    return Rate(value, 1.0 / sum(weights))
