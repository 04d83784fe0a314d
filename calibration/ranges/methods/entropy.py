"""The entropy method: the threshold whose quantization to 128 levels loses the least information.

Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017: over thresholds of a histogram of
2,048 bins, the least Kullback-Leibler divergence between the clipped distribution and its
quantization to 128 levels. Both are sums over levels, so prefix sums give all thresholds at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.observation.histogram import Histogram
from calibration.ranges.methods.cumulative_histogram import CumulativeHistogram, Float64s

BINS = 2048
LEVELS = 128
THRESHOLDS = np.arange(LEVELS, BINS + 1)
"""In bins: every threshold from one bin per level to the whole range."""

WIDEST = BINS // LEVELS
"""Bins of the widest level."""


def _levels() -> NDArray[np.intp]:
    """(thresholds, 128): the number of the span of bins, by first bin and width, of each level."""
    bounds = -(-THRESHOLDS[:, None] * np.arange(LEVELS + 1)[None, :] // LEVELS)
    found: NDArray[np.intp] = bounds[:, :-1] * WIDEST + np.diff(bounds, axis=1) - 1
    return found


SPANS = _levels()
"""Levels of neighbouring thresholds share spans: 32,768 logarithms serve 245,888 levels."""

SPAN_END: NDArray[np.intp] = np.minimum(
    np.arange(BINS)[:, None] + np.arange(1, WIDEST + 1)[None, :], BINS
)


def least_divergence(histogram: Histogram, percentile: float) -> float:
    """The threshold with the smallest divergence, of equals the largest; `percentile` is unused."""
    amax, cumulative = histogram.amax, CumulativeHistogram(histogram)
    if cumulative.total <= 0.0:
        return amax
    below = cumulative.count(np.linspace(0.0, amax, BINS + 1))
    bins = np.diff(below)
    bins[-1] += cumulative.total - below[-1]
    found = divergences(bins)
    best = int(THRESHOLDS.size - 1 - np.argmin(found[::-1]))
    return float(amax * THRESHOLDS[best] / BINS)


def divergences(bins: Float64s) -> Float64s:
    """The divergence in nats for each of THRESHOLDS, from counts in 2,048 equal bins of magnitude.

    Values above a threshold count in the last bin below it. The divergence is infinite where that
    bin is empty otherwise, since its quantization has no counts.
    """
    total = bins.sum()
    filled = bins > 0.0
    below = np.concatenate(([0.0], np.cumsum(bins)))
    filled_below = np.concatenate(([0], np.cumsum(filled)))
    information = np.concatenate(([0.0], np.cumsum(_x_log_x(bins))))

    inside = below[THRESHOLDS]
    clipped = total - inside
    last = bins[THRESHOLDS - 1]
    of_reference = information[THRESHOLDS] - _x_log_x(last) + _x_log_x(last + clipped)

    mass = below[SPAN_END] - below[:-1, None]
    width = filled_below[SPAN_END] - filled_below[:-1, None]
    height = np.zeros_like(mass)
    np.log(np.divide(mass, width, where=width > 0, out=np.ones_like(mass)), out=height)
    of_levels = np.take(mass * height, SPANS).sum(axis=1)
    of_levels += clipped * np.take(height, SPANS[:, -1])

    with np.errstate(divide="ignore"):
        found: Float64s = (of_reference - of_levels) / total - np.log(total) + np.log(inside)
    found[(clipped > 0.0) & (last <= 0.0)] = np.inf
    return found


def _x_log_x(x: Float64s) -> Float64s:
    return x * np.log(np.where(x > 0.0, x, 1.0))
