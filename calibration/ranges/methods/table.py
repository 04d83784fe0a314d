"""Ranges from a histogram: pure functions, one table. Never reads data, never rounds to a scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from calibration.observation.histogram import Histogram, upper_edge
from calibration.ranges.methods.entropy import least_divergence
from calibration.ranges.methods.mean_square_error import least_square_error


def largest(seen: Histogram, percentile: float) -> float:
    """The largest magnitude seen; `percentile` is not used."""
    return seen.amax


def covering(seen: Histogram, percentile: float) -> float:
    """The smallest bucket edge that at least `percentile` percent of the magnitudes lie under.

    At most 2^-7 above the exact percentile, and never above the largest magnitude. Where so many
    values are 0 that nothing is left, the largest magnitude: a range of 0 quantizes nothing.
    """
    if not seen.total:
        return 0.0
    cumulated = np.cumsum(seen.counts)
    # Exact: in floats 99.9 percent of 20,000 are 19,980.000000000002.
    wanted = max(1, math.ceil(Fraction(str(percentile)) * seen.total / 100))
    bucket = int(np.searchsorted(cumulated, wanted))
    return min(upper_edge(bucket), seen.amax) if bucket > 0 else seen.amax


METHODS: dict[str, Callable[[Histogram, float], float]] = {
    "max": largest,
    "percentile": covering,
    "entropy": least_divergence,
    "mse": least_square_error,
}
"""Name in the mission's `[calibration]` -> (histogram, percentile) -> amax."""
