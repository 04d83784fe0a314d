"""The table of calibration methods, which compute the range of a tensor from its histogram."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from calibration.observation.histogram import Histogram, upper_edge
from calibration.ranges.methods.entropy import least_divergence
from calibration.ranges.methods.mean_square_error import least_square_error


def largest(histogram: Histogram, percentile: float) -> float:
    """The largest magnitude; `percentile` is not used."""
    return histogram.amax


def percentile_edge(histogram: Histogram, percentile: float) -> float:
    """The smallest bucket edge above at least `percentile` percent of the magnitudes.

    It is at most 2^-7 above the exact percentile, and never above the largest magnitude. Where so
    many values are 0 that it would be 0, it is the largest magnitude: a range of 0 is useless.
    """
    if not histogram.total:
        return 0.0
    cumulative = np.cumsum(histogram.counts)
    # Exact: in floats 99.9 percent of 20,000 are 19,980.000000000002.
    wanted = max(1, math.ceil(Fraction(str(percentile)) * histogram.total / 100))
    bucket = int(np.searchsorted(cumulative, wanted))
    return min(upper_edge(bucket), histogram.amax) if bucket > 0 else histogram.amax


METHODS: dict[str, Callable[[Histogram, float], float]] = {
    "max": largest,
    "percentile": percentile_edge,
    "entropy": least_divergence,
    "mse": least_square_error,
}
"""Name in the mission's `[calibration]` -> (histogram, percentile) -> amax."""
