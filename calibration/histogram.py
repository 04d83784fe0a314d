"""A histogram of float32 magnitudes that needs no range in advance, and that merges.

The upper half of a float32 (sign, exponent, 7 bits of mantissa) is the number of a bucket whose
width is between 2^-8 and 2^-7 of its value: 65,536 buckets hold every float32 there is. Memory is
fixed, whatever is added. Never chooses a range: that is `methods.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 16
MAGNITUDES = 1 << 15
FIRST_NOT_FINITE = 0x7F80
"""Magnitude bucket of infinity; NaNs lie at and above it."""

BLOCK = 1 << 22
"""Values counted a call: calcHist counts in float32, exact up to 2^24."""


class NotFinite(ValueError):
    """A value was NaN or infinite."""


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
        flat = np.ascontiguousarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        lowest, highest = float(flat.min()), float(flat.max())
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise NotFinite("NaN or infinity")
        # Little-endian: the upper half is the second of each pair. Copied out, since calcHist is
        # several times slower on a strided view.
        halves = flat.astype("<f4", copy=False).view("<u2")[1::2]
        for start in range(0, halves.size, BLOCK):
            block = np.ascontiguousarray(halves[start : start + BLOCK])
            counted = cv2.calcHist([block], [0], None, [BUCKETS], [0, BUCKETS])
            self.counts += counted.reshape(-1).astype(np.int64)
        self.lowest = min(self.lowest, lowest)
        self.highest = max(self.highest, highest)

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
