"""Cumulative counts and sums of a histogram, so that methods need no loop over buckets.

In: a histogram. Out: count and sum of the magnitudes below any x. Values are assumed to be evenly
spread within a bucket, whose width is at most 2^-7 of its value: below one INT8 step of every range
that ends above it. Exact zeros are left out, since 0 is exact at any scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.observation.histogram import FIRST_NOT_FINITE, Histogram

Float64s = NDArray[np.float64]


def _edges() -> Float64s:
    """Lower edge of every magnitude bucket below infinity, and the end of the last one."""
    bits = np.arange(FIRST_NOT_FINITE + 1, dtype=np.uint32) << np.uint32(16)
    edges = bits.view(np.float32).astype(np.float64)
    edges[-1] = 2.0**128
    return edges


EDGES = _edges()


class CumulativeHistogram:
    """Count and sum of the magnitudes below x, for arrays of x.

    Attributes:
        last: the last occupied bucket.
        total, squares: the number of magnitudes, and the sum of their squares.
    """

    def __init__(self, histogram: Histogram) -> None:
        occupied = 1 + np.flatnonzero(histogram.counts[1:FIRST_NOT_FINITE])
        self._first, self.last = map(int, occupied[[0, -1]]) if occupied.size else (0, 0)
        counts = histogram.counts[self._first : self.last + 1].astype(np.float64)
        if self._first == 0:
            counts[0] = 0.0
        self._edges = EDGES[self._first : self.last + 2]
        low, high = self._edges[:-1], self._edges[1:]
        self.total = float(counts.sum())
        self._density = counts / (high - low)
        self._below = [
            np.concatenate(([0.0], np.cumsum(counts * moment)))
            for moment in (1.0, (low + high) / 2.0)
        ]
        self.squares = float((counts * ((low**2 + low * high + high**2) / 3.0)).sum())

    def count(self, x: Float64s) -> Float64s:
        """The number of nonzero magnitudes below x (finite, at least 0)."""
        bucket, low, end = self._split(x)
        found: Float64s = self._below[0][bucket] + self._density[bucket] * (end - low)
        return found

    def moments(self, x: Float64s) -> tuple[Float64s, Float64s]:
        """Count and sum of the magnitudes below x (finite, at least 0)."""
        bucket, low, end = self._split(x)
        mass = self._density[bucket] * (end - low)
        return self._below[0][bucket] + mass, self._below[1][bucket] + mass * (low + end) / 2.0

    def _split(self, x: Float64s) -> tuple[NDArray[np.int64], Float64s, Float64s]:
        """The bucket of each x, counted from the first occupied one, its lower edge, and x itself,
        moved to the nearest edge where it lies outside of the occupied buckets.
        """
        # The bucket is the upper half of the float. Where rounding to float32 reaches the next
        # bucket, x counts as its lower edge.
        bits = x.astype(np.float32).view(np.uint32) >> np.uint32(16)
        bucket = np.clip(bits.astype(np.int64), self._first, self.last) - self._first
        low = self._edges[bucket]
        return bucket, low, np.clip(x, low, self._edges[bucket + 1])
