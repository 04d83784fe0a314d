"""A histogram of float32 magnitudes that needs no range in advance, and that merges.

The upper half of a float32 (sign, exponent, 7 bits of mantissa) is the number of a bucket whose
width is between 2^-8 and 2^-7 of its value: 65,536 buckets hold every float32 there is. Memory is
fixed, whatever is added. Never chooses a range: that is `methods.py`.
"""

from __future__ import annotations

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
"""Values counted a call: calcHist counts in float32, exact up to 2^24."""

FEW = 1 << 15
"""Up to so many values `bincount` is faster than the fixed cost of calcHist's many buckets."""


class NotFinite(ValueError):
    """A value was NaN or infinite."""


class Counted(NamedTuple):
    """One array, counted: buckets up to the last occupied one, and exact extremes."""

    counts: NDArray[np.int64]
    lowest: float
    highest: float


NOTHING = Counted(np.zeros(0, np.int64), float("inf"), float("-inf"))


def count(values: NDArray[np.float32]) -> Counted:
    """Counts every value of a float32 array of any shape. Threads may call it side by side.

    Raises:
        NotFinite: it holds NaN or infinity.
    """
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    if not flat.size:
        return NOTHING
    lowest, highest = float(flat.min()), float(flat.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise NotFinite("NaN or infinity")
    halves = np.empty(min(flat.size, BLOCK), np.uint16)
    # -0.0 is no less than 0.0, so a bucket beyond the extremes' own may hold negative zeros.
    last = max(int(_bucket(lowest)), int(_bucket(highest)), MAGNITUDES if lowest <= 0.0 else 0)
    counts = np.zeros(last + 1, np.int64)
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK].view("<u4")
        upper = np.right_shift(block, 16, out=halves[: block.size], casting="unsafe")
        if block.size <= FEW:
            counts += np.bincount(upper, minlength=counts.size)
            continue
        # As one row: calcHist is four times slower on a column.
        row = upper.reshape(1, -1)
        found = cv2.calcHist([row], [0], None, [counts.size], [0, counts.size])
        counts += found.reshape(-1).astype(np.int64)
    return Counted(counts, lowest, highest)


def _bucket(value: float) -> np.uint32:
    bits: np.uint32 = np.float32(value).view(np.uint32) >> np.uint32(16)
    return bits


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
        self.add_counted(count(values))

    def add_counted(self, counted: Counted) -> None:
        """Adds what `count` found in an array."""
        self.counts[: counted.counts.size] += counted.counts
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


def upper_edge(bucket: int) -> float:
    """The least magnitude above every value of a magnitude bucket."""
    edge = np.array([(bucket + 1) << 16], np.uint32).view(np.float32)
    return float(edge[0])
