"""The MSE method: the range with the smallest mean square error of rounding and clipping together.

Source: the error of a symmetric uniform quantizer, sum over levels of the integral of (x - level)^2
over its cell plus that of (x - amax)^2 above, minimised over the clipping point; see Choukroun et
al., "Low-bit Quantization of Neural Networks for Efficient Inference", ICCVW 2019. The sums
come from prefix sums of 1 and x.
"""

from __future__ import annotations

import numpy as np

from calibration.observation.histogram import Histogram
from calibration.ranges.methods.cumulative_histogram import EDGES, CumulativeHistogram, Float64s
from edge.engine.calibration_cache import INT8_LEVELS

OCTAVES = 6
"""Thresholds go down to amax / 64: below, clipping costs more than any rounding it saves."""

STRIDE = 2
"""Every second bucket edge: thresholds at most 2^-6 apart, where the error is flat."""


def least_square_error(histogram: Histogram, percentile: float) -> float:
    """The threshold with the smallest mean square error; `percentile` is not used."""
    amax, cumulative = histogram.amax, CumulativeHistogram(histogram)
    if cumulative.total <= 0.0:
        return amax
    lowest = max(cumulative.last - OCTAVES * 128, 0)
    thresholds = EDGES[cumulative.last + 1 : lowest : -STRIDE]
    best = int(np.argmin(square_errors(cumulative, thresholds)))
    return min(float(thresholds[best]), amax)


def square_errors(cumulative: CumulativeHistogram, thresholds: Float64s) -> Float64s:
    """Sum of (x - quantized x)^2 for each amax in `thresholds`, (N,), above 0."""
    scale = thresholds / INT8_LEVELS
    levels = np.arange(1, INT8_LEVELS + 1)
    # A value is one level higher for every cell's lower bound that it lies above. So with the
    # count C and sum T of what lies below each bound, the sum of x * level is sum (T_all - T), and
    # the sum of level^2 is sum (2 level - 1) (C_all - C).
    count, total = cumulative.moments(scale[:, None] * (levels - 0.5))
    every_count, every_total = cumulative.moments(EDGES[[cumulative.last + 1]])
    products = (every_total - total).sum(axis=1)
    squares = ((every_count - count) * (2 * levels - 1)).sum(axis=1)
    found: Float64s = cumulative.squares - 2.0 * scale * products + scale**2 * squares
    return found
