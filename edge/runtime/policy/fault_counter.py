"""Debounces faults: counters that rise with a fault and recover at a quarter of that rate.

In: whether the fault is there, at each result or moment. Out: the counter after it, as a new value.
A fault every other frame still fires, and the fallback it fires does not flap with it (as PX4's
failsafe does). Never reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

_RECOVERY = 0.25


@dataclass(frozen=True)
class FaultCounter:
    """Counts results. Active from `limit` on until it has recovered to zero.

    It never rises above the limit, so recovery takes at most four times `limit` good results.
    """

    limit: float
    level: float = 0.0
    active: bool = False

    def after(self, *, bad: bool) -> FaultCounter:
        """The counter after one more result."""
        level = min(self.limit, self.level + 1.0) if bad else max(0.0, self.level - _RECOVERY)
        active = level >= self.limit or (self.active and level > 0.0)
        return FaultCounter(self.limit, level, active)


@dataclass(frozen=True)
class FaultTime:
    """Counts time. Active at once, and after the fault for four times as long as it lasted.

    It never rises above `limit_ns`, so recovery takes at most four times that.
    """

    limit_ns: int
    level_ns: float = 0.0
    at_ns: int | None = None
    active: bool = False

    def after(self, now_ns: int, *, bad: bool) -> FaultTime:
        """The counter at `now_ns`; `bad`: the fault is there."""
        elapsed_ns = 0 if self.at_ns is None else now_ns - self.at_ns
        change_ns = elapsed_ns if bad else -_RECOVERY * elapsed_ns
        level_ns = min(float(self.limit_ns), max(0.0, self.level_ns + change_ns))
        return FaultTime(self.limit_ns, level_ns, now_ns, bad or level_ns > 0.0)
