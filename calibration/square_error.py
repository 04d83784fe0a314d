"""The range of least mean square error, rounding and clipping taken together.

Source: the error of a symmetric uniform quantizer, sum over levels of the integral of (x - level)^2
over its cell plus that of (x - amax)^2 above, minimised over the clipping point; see Choukroun et
al., "Low-bit Quantization of Neural Networks for Efficient Inference", ICCVW 2019. The cell sums
come from prefix sums of 1, x and x^2.
"""

from __future__ import annotations

import numpy as np

from calibration.cumulated import EDGES, Cumulated, Floats
from calibration.histogram import Histogram

LEVELS = 127
OCTAVES = 6
"""Thresholds reach down to amax / 64: below, clipping outweighs any rounding it saves."""

STRIDE = 2
"""Every second bucket edge: thresholds at most 2^-6 apart, where the error is flat."""


def least_square_error(seen: Histogram, percentile: float) -> float:
    """The threshold of least mean square error; `percentile` is not used."""
    amax = seen.amax
    if amax <= 0.0:
        return amax
    cumulated = Cumulated(seen)
    lowest = max(cumulated.last - OCTAVES * 128, 0)
    thresholds = EDGES[cumulated.last + 1 : lowest : -STRIDE]
    best = int(np.argmin(square_errors(cumulated, thresholds)))
    return min(float(thresholds[best]), amax)


def square_errors(cumulated: Cumulated, thresholds: Floats) -> Floats:
    """Sum of (x - quantized x)^2 for each amax in `thresholds`, (N,), above 0."""
    scale = thresholds[:, None] / LEVELS
    # Cells: [0, 1/2), [1/2, 3/2), ... and from 126 1/2 on everything, clipped to level 127.
    bounds = np.concatenate(([0.0], np.arange(LEVELS) + 0.5))
    end = EDGES[cumulated.last + 1]
    cells = np.concatenate((scale * bounds, np.full((thresholds.size, 1), end)), axis=1)
    below = cumulated.moments(np.minimum(cells, end))
    count, total, squares = (np.maximum(np.diff(sums, axis=1), 0.0) for sums in below)
    levels = scale * np.arange(LEVELS + 1)
    found: Floats = (squares - 2.0 * levels * total + levels**2 * count).sum(axis=1)
    return found
