"""Latency against its budget: a bounded histogram for each stage, and misses over a window.

In: durations in ms and the mission's [budget]. Out: percentiles and counts of misses. A percentile
is the upper edge of its bucket, so it is never lower than the true one and at most BUCKET_RATIO
times higher. Never keeps single samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.sections.device import Budget

_LOWEST_MS = 0.001
_DECADES = 8
_BUCKETS_A_DECADE = 40
BUCKET_RATIO = 10.0 ** (1.0 / _BUCKETS_A_DECADE)
"""Width of one bucket: upper edge / lower edge, about 1.06."""

END_TO_END = "end_to_end"
TO_ACKNOWLEDGE = "to_acknowledge"

LATE_WINDOW = 50
"""Number of results over which the share of late ones is computed: 2 s at 25 frames a second."""


class Histogram:
    """Durations from 1 microsecond to 100 s in log-spaced buckets. One writer; any reader."""

    def __init__(self) -> None:
        self._counts = [0] * (_DECADES * _BUCKETS_A_DECADE + 1)
        self.count = 0
        self.max_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Counts one duration; one outside the range counts in the first or the last bucket."""
        place = math.log10(max(value_ms, _LOWEST_MS) / _LOWEST_MS) * _BUCKETS_A_DECADE
        # A value on an edge belongs to the bucket that the edge closes.
        self._counts[min(math.ceil(place - 1e-9), len(self._counts) - 1)] += 1
        self.count += 1
        self.max_ms = max(self.max_ms, value_ms)

    def percentile_ms(self, percent: float) -> float | None:
        """The upper edge of the bucket in which `percent` of all durations is reached, and the
        largest duration at most; None while empty."""
        if self.count == 0:
            return None
        wanted = percent / 100.0 * self.count
        reached = 0
        for bucket, count in enumerate(self._counts):
            reached += count
            if reached >= wanted and count:
                edge_ms = _LOWEST_MS * 10.0 ** (bucket / _BUCKETS_A_DECADE)
                return float(min(edge_ms, self.max_ms))
        return self.max_ms


class Stopwatch:
    """Durations in ms of stages that follow one another, the first of them already measured."""

    def __init__(self, *, grab_ms: float) -> None:
        self.ms: dict[str, float] = {"grab": grab_ms}
        self._last_s = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Ends a stage, which began where the one before ended."""
        now_s = time.perf_counter()
        self.ms[stage] = (now_s - self._last_s) * 1e3
        self._last_s = now_s


class MissWindow:
    """The share of misses among the last LATE_WINDOW results."""

    def __init__(self, size: int = LATE_WINDOW) -> None:
        self._bits = [False] * size
        self._next = 0
        self._filled = 0
        self._misses = 0
        self.worst_share = 0.0

    def add(self, *, missed: bool) -> None:
        """Counts one result."""
        self._misses += missed - self._bits[self._next]
        self._bits[self._next] = missed
        self._next = (self._next + 1) % len(self._bits)
        self._filled = min(self._filled + 1, len(self._bits))
        self.worst_share = max(self.worst_share, self.share or 0.0)

    @property
    def share(self) -> float | None:
        """Misses / results; None until the window is full once."""
        if self._filled < len(self._bits):
            return None
        return self._misses / len(self._bits)


@dataclass(frozen=True)
class Summary:
    """One row of the latency table. None where nothing was measured or nothing is budgeted."""

    budget_ms: float | None
    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    misses: int | None


class Budgets:
    """Histogram and misses of each stage, of END_TO_END and of TO_ACKNOWLEDGE."""

    def __init__(self, budget: Budget) -> None:
        self._limits: dict[str, float | None] = {s: budget.stage_ms(s) for s in STAGES}
        self._limits[END_TO_END] = budget.end_to_end_ms
        self._limits[TO_ACKNOWLEDGE] = None
        self._histograms = {name: Histogram() for name in self._limits}
        self._misses = dict.fromkeys(self._limits, 0)
        self.window = MissWindow()

    def add(self, name: str, value_ms: float) -> None:
        """Counts one duration of a stage, of END_TO_END or of TO_ACKNOWLEDGE."""
        limit = self._limits[name]
        missed = limit is not None and value_ms > limit
        self._histograms[name].add(value_ms)
        self._misses[name] += missed
        if name == END_TO_END:
            self.window.add(missed=missed)

    def histogram(self, name: str) -> Histogram:
        """The histogram of a stage, of END_TO_END or of TO_ACKNOWLEDGE."""
        return self._histograms[name]

    def summaries(self) -> Mapping[str, Summary]:
        """The latency table: stages in their order, then END_TO_END and TO_ACKNOWLEDGE."""
        return {name: self._summary(name) for name in self._limits}

    def _summary(self, name: str) -> Summary:
        limit = self._limits[name]
        misses = None if limit is None else self._misses[name]
        return _summary(self._histograms[name], budget_ms=limit, misses=misses)


class DeviceTimes:
    """A histogram of each stage on the device, in the order in which they were first measured."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}

    def add(self, stage_ms: Mapping[str, float]) -> None:
        """Counts the stages of one inference."""
        for stage, value_ms in stage_ms.items():
            self._histograms.setdefault(stage, Histogram()).add(value_ms)

    def summaries(self) -> Mapping[str, Summary]:
        """The table; nothing is budgeted here, since `infer` is."""
        return {stage: _summary(histogram) for stage, histogram in self._histograms.items()}


def _summary(
    histogram: Histogram, *, budget_ms: float | None = None, misses: int | None = None
) -> Summary:
    return Summary(
        budget_ms=budget_ms,
        count=histogram.count,
        p50_ms=histogram.percentile_ms(50.0),
        p95_ms=histogram.percentile_ms(95.0),
        p99_ms=histogram.percentile_ms(99.0),
        max_ms=histogram.max_ms if histogram.count else None,
        misses=misses,
    )
