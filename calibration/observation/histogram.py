"""Histograms of float32 magnitudes that need no range in advance and can be merged.

In: float32 arrays. Out: a `Histogram` of fixed size. The upper half of a float32 without its sign
(exponent and 7 bits of mantissa) is the number of its bucket, whose width is 2^-8 to 2^-7 of its
value: 32,768 buckets hold every magnitude.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 15
FIRST_NOT_FINITE = 0x7F80
"""Bucket of infinity; NaNs lie at and above it."""

ENOUGH = 1 << 15
"""At most so many values of an array are counted. A layer of one frame may have millions: a part of
them says as much about a range, and counting all takes as long as computing the layer."""

RUN = 1 << 8
"""Neighbours that are counted or skipped together: 1 kB, whole cache lines."""

EXACT = 1 << 24
"""Counts up to this are exact in float32, the type that calcHist counts in."""

CHUNK = 1 << 17
"""Values processed at a time, so that they stay in the cache: whole RUNs."""

WINDOW = 1 << 12
"""Buckets counted below the largest magnitude: 32 octaves, and 16 kB that stay in the L1 cache.
calcHist is four times slower over all buckets."""

ZEROS = 16
"""Zeros are spread over so many buckets: increments of one bucket wait for each other."""

MANY_ZEROS = 16
"""Zeros are spread where more than one value in so many is 0, since spreading needs a copy."""


class NotFinite(ValueError):
    """A value was NaN or infinite."""


class ArrayCounts(NamedTuple):
    """The counts of one array.

    Attributes:
        first: bucket of the first count.
        counts: (buckets,) float32, bucket by bucket.
        zeros: further counts of bucket 0.
        lowest, highest: exact extremes; inf and -inf of an empty array.
        values: number of values counted.
    """

    first: int
    counts: NDArray[np.float32]
    zeros: int
    lowest: float
    highest: float
    values: int


def count(
    values: NDArray[np.float32], room: NDArray[np.uint16] | None = None, *, turn: int = 0
) -> ArrayCounts:
    """Counts a float32 array of any shape. Thread-safe.

    Counts every value of at most ENOUGH. Of a larger array it counts every k-th RUN, beginning at
    `turn` modulo k, with the smallest k that gives at most ENOUGH values. Extremes are those of all
    values.

    Args:
        room: memory for ENOUGH values, to be reused; its content is undefined afterwards.
        turn: the first RUN to count; another one samples other values of a similar array.

    Raises:
        NotFinite: it holds NaN or infinity.
    """
    flat = np.ascontiguousarray(values, "<f4").reshape(-1)
    every = max(1, -(-flat.size // ENOUGH))
    room = np.empty(min(flat.size, ENOUGH), np.uint16) if room is None else room
    lower = np.empty(room.size, np.uint16)
    lowest, highest, counted = float("inf"), float("-inf"), 0
    for start in range(0, flat.size, CHUNK):
        chunk = flat[start : start + CHUNK]
        low, high = float(chunk.min()), float(chunk.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise NotFinite("NaN or infinity")
        lowest, highest = min(lowest, low), max(highest, high)
        runs = _runs(chunk, every, turn - start // RUN)
        if not runs.size:
            continue
        # OpenCV separates the halves in a third of the time of a strided copy.
        into = [half[counted:][: runs.size].reshape(runs.shape) for half in (lower, room)]
        cv2.split(runs.view("<u2").reshape(*runs.shape, 2), into)
        counted += runs.size
    if not counted:
        return ArrayCounts(0, np.zeros(0, np.float32), 0, lowest, highest, 0)
    buckets = room[:counted]
    buckets &= np.uint16(BUCKETS - 1)
    end = 1 + _bucket(max(abs(lowest), abs(highest)))
    return ArrayCounts(*_occupied(buckets, end), lowest, highest, counted)


def _runs(chunk: NDArray[np.float32], every: int, turn: int) -> NDArray[np.float32]:
    """(runs, RUN): the values of a chunk that are counted."""
    if every == 1:
        return chunk.reshape(1, -1)
    return chunk[: chunk.size // RUN * RUN].reshape(-1, RUN)[turn % every :: every]


def _occupied(buckets: NDArray[np.uint16], end: int) -> tuple[int, NDArray[np.float32], int]:
    """First bucket, counts and zeros of bucket numbers below `end`. Nearly all numbers but zeros
    lie in the WINDOW below it.
    """
    first = max(end - WINDOW, ZEROS)
    zeros = buckets.size - int(np.count_nonzero(buckets))
    if zeros == buckets.size:
        return 0, np.zeros(0, np.float32), zeros
    if end > first:
        if zeros * MANY_ZEROS <= buckets.size:
            counts = _counts(buckets, first, end)
        else:
            counts = _counts(_spread(buckets, first - ZEROS), first - ZEROS, end)[ZEROS:]
        if int(counts.sum()) + zeros == buckets.size:
            return first, counts, zeros
    return 0, np.bincount(buckets).astype(np.float32), 0


_TURNS: NDArray[np.uint16] = np.resize(np.arange(ZEROS, dtype=np.uint16), ENOUGH)


def _spread(buckets: NDArray[np.uint16], lowest: int) -> NDArray[np.uint16]:
    """Numbers below `lowest` are moved to it and the ZEROS - 1 after it, in turn."""
    found: NDArray[np.uint16] = np.maximum(buckets, _TURNS[: buckets.size] + np.uint16(lowest))
    return found


def _counts(buckets: NDArray[np.uint16], first: int, end: int) -> NDArray[np.float32]:
    """Counts of the bucket numbers from `first` to below `end`; others are not counted."""
    # As one row: calcHist is four times slower on a column.
    row = buckets.reshape(1, -1)
    found = cv2.calcHist([row], [0], None, [end - first], [first, end])
    return np.asarray(found, np.float32).reshape(-1)


def _bucket(magnitude: float) -> int:
    return int(np.float32(magnitude).view(np.uint32)) >> 16


def _no_counts() -> NDArray[np.int64]:
    return np.zeros(BUCKETS, np.int64)


@dataclass
class Histogram:
    """Counts by bucket, with exact extremes beside them.

    Attributes:
        counts: (32768,) int64, of |value| by bucket, ascending; `count` says of which values.
        lowest, highest: exact extremes of all values; inf and -inf of an empty histogram.
    """

    counts: NDArray[np.int64] = field(default_factory=_no_counts)
    lowest: float = float("inf")
    highest: float = float("-inf")

    @property
    def total(self) -> int:
        """The number of values that were counted."""
        return int(self.counts.sum())

    @property
    def amax(self) -> float:
        """The exact largest magnitude; 0 of an empty histogram."""
        return max(abs(self.lowest), abs(self.highest)) if self.total else 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Counts a float32 array of any shape, as `count` does.

        Raises:
            NotFinite: it holds NaN or infinity; nothing is added then.
        """
        counted = count(values)
        self.counts[counted.first :][: counted.counts.size] += counted.counts.astype(np.int64)
        self.counts[0] += counted.zeros
        self.lowest = min(self.lowest, counted.lowest)
        self.highest = max(self.highest, counted.highest)

    def merge(self, other: Histogram) -> None:
        """Adds the counts of another histogram."""
        self.counts += other.counts
        self.lowest = min(self.lowest, other.lowest)
        self.highest = max(self.highest, other.highest)


class Tally:
    """Adds to a histogram from several threads, in float32 while that is exact: a quarter of the
    cost of int64. The histogram is complete after `settle`.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._recent = np.zeros(BUCKETS, np.float32)
        self._values = 0
        self._lock = threading.Lock()

    def add(self, counted: ArrayCounts) -> None:
        """Adds the counts of an array."""
        with self._lock:
            if self._values + counted.values > EXACT:
                self._settle()
            self._recent[counted.first :][: counted.counts.size] += counted.counts
            self._recent[0] += counted.zeros
            self._values += counted.values
            seen = self._histogram
            seen.lowest = min(seen.lowest, counted.lowest)
            seen.highest = max(seen.highest, counted.highest)

    def settle(self) -> None:
        """Completes the histogram with all counts that were added."""
        with self._lock:
            self._settle()

    def _settle(self) -> None:
        if self._values:
            self._histogram.counts += self._recent.astype(np.int64)
            self._recent[:] = 0.0
            self._values = 0


def upper_edge(bucket: int) -> float:
    """The smallest magnitude above every value of a bucket."""
    edge = np.array([(bucket + 1) << 16], np.uint32).view(np.float32)
    return float(edge[0])
