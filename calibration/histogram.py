"""A histogram of float32 magnitudes that needs no range in advance, and that merges.

The upper half of a float32 (sign, exponent, 7 bits of mantissa) is the number of a bucket whose
width is between 2^-8 and 2^-7 of its value: 65,536 buckets hold every float32 there is. Memory is
fixed, whatever is added. Never chooses a range: that is `methods.py`.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 16
MAGNITUDES = 1 << 15
FIRST_NOT_FINITE = 0x7F80
"""Magnitude bucket of infinity; NaNs lie at and above it."""

BLOCK = 1 << 22
"""Values counted a call."""

EXACT = 1 << 24
"""So many counts add up exactly in float32, the type that calcHist counts in."""

CHUNK = 1 << 16
"""Values looked at in one go while they lie in the cache."""

FEW = 1 << 15
"""Up to so many values `bincount` is faster than the fixed cost of calcHist's many buckets."""


class NotFinite(ValueError):
    """A value was NaN or infinite."""


class Counted(NamedTuple):
    """One array, counted.

    Attributes:
        blocks: (buckets,) float32 for each BLOCK of it, up to the last bucket it can occupy.
        lowest, highest: exact extremes; inf and -inf of an empty array.
        values: how many there were.
    """

    blocks: tuple[NDArray[np.float32], ...]
    lowest: float
    highest: float
    values: int


def count(values: NDArray[np.float32]) -> Counted:
    """Counts every value of a float32 array of any shape. Threads may call it side by side.

    Raises:
        NotFinite: it holds NaN or infinity.
    """
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    upper = np.empty(flat.size, np.uint16)
    lowest, highest = float("inf"), float("-inf")
    for start in range(0, flat.size, CHUNK):
        chunk = flat[start : start + CHUNK]
        low, high = float(chunk.min()), float(chunk.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NotFinite("NaN or infinity")
        lowest, highest = min(lowest, low), max(highest, high)
        into = upper[start : start + CHUNK]
        into[:] = chunk.view("<u2")[1::2]
    if not flat.size:
        return Counted((), lowest, highest, 0)
    # -0.0 is no less than 0.0, so a bucket beyond the extremes' own may hold negative zeros.
    buckets = 1 + max(_bucket(lowest), _bucket(highest), MAGNITUDES if lowest <= 0.0 else 0)
    blocks = tuple(
        _counts(upper[start : start + BLOCK], buckets) for start in range(0, flat.size, BLOCK)
    )
    return Counted(blocks, lowest, highest, flat.size)


def _counts(upper: NDArray[np.uint16], buckets: int) -> NDArray[np.float32]:
    if upper.size <= FEW:
        return np.bincount(upper, minlength=buckets).astype(np.float32)
    # As one row: calcHist is four times slower on a column.
    found = cv2.calcHist([upper.reshape(1, -1)], [0], None, [buckets], [0, buckets])
    return np.asarray(found, np.float32).reshape(-1)


def _bucket(value: float) -> int:
    return int(np.float32(value).view(np.uint32)) >> 16


def _no_counts() -> NDArray[np.int64]:
    return np.zeros(BUCKETS, np.int64)


@dataclass
class Histogram:
    """Counts by bucket, with exact extremes beside them.

    Attributes:
        counts: (65536,) int64, by the upper 16 bits of the value; the upper half is negative.
        lowest, highest: exact extremes; inf and -inf while nothing was added.
    """

    counts: NDArray[np.int64] = field(default_factory=_no_counts)
    lowest: float = float("inf")
    highest: float = float("-inf")

    @property
    def total(self) -> int:
        """How many values were added."""
        return int(self.counts.sum())

    @property
    def amax(self) -> float:
        """The largest magnitude, exact; 0 while nothing was added."""
        return max(abs(self.lowest), abs(self.highest)) if self.total else 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Counts every value of a float32 array of any shape.

        Raises:
            NotFinite: it holds NaN or infinity; nothing is added then.
        """
        counted = count(values)
        for block in counted.blocks:
            self.counts[: block.size] += block.astype(np.int64)
        self.lowest = min(self.lowest, counted.lowest)
        self.highest = max(self.highest, counted.highest)

    def merge(self, other: Histogram) -> None:
        """Adds what another histogram counted."""
        self.counts += other.counts
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)

    def magnitudes(self) -> NDArray[np.int64]:
        """(32768,) int64: counts of |value|, ascending."""
        return self.counts[:MAGNITUDES] + self.counts[MAGNITUDES:]


class Tally:
    """Adds to a histogram from several threads, in float32 while that is exact: a quarter of the
    cost of adding in int64. The histogram is whole after `settle`.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._recent = np.zeros(BUCKETS, np.float32)
        self._values = 0
        self._lock = threading.Lock()

    def add(self, counted: Counted) -> None:
        """Adds what `count` found in an array."""
        with self._lock:
            for block in counted.blocks:
                if self._values + BLOCK > EXACT:
                    self._settle()
                self._recent[: block.size] += block
                self._values += min(counted.values, BLOCK)
            seen = self._histogram
            seen.lowest = min(seen.lowest, counted.lowest)
            seen.highest = max(seen.highest, counted.highest)

    def settle(self) -> None:
        """Brings the histogram up to what was added."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        if self._values:
            self._histogram.counts += self._recent.astype(np.int64)
            self._recent[:] = 0.0
            self._values = 0


def upper_edge(bucket: int) -> float:
    """The least magnitude above every value of a magnitude bucket."""
    edge = np.array([(bucket + 1) << 16], np.uint32).view(np.float32)
    return float(edge[0])
