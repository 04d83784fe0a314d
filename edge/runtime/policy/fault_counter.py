"""Counters for faults that flap: they rise while the fault is there and recover at a quarter of
that speed, so that a fault every other frame still fires, and what it fired does not flap with it
(in the manner of PX4).

Pure values; never read a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

_RECOVERY = 0.25


@dataclass(frozen=True)
class FaultCounter:
    """Counts results. Fires at `limit` and stays active until it has recovered to zero.

    Never rises above the limit, so that recovery takes four times `limit` good results at most.
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
    """Counts time. Active at once, and until four times as long as the fault was there.

    Never rises above `limit_ns`, so that recovery takes four times that at most.
    """

    limit_ns: int
    level_ns: float = 0.0
    at_ns: int | None = None
    active: bool = False

    def after(self, now_ns: int, *, bad: bool) -> FaultTime:
        """The counter at `now_ns`, where the fault is there or not."""
        elapsed_ns = 0 if self.at_ns is None else now_ns - self.at_ns
        change_ns = elapsed_ns if bad else -_RECOVERY * elapsed_ns
        level_ns = min(float(self.limit_ns), max(0.0, self.level_ns + change_ns))
        return FaultTime(self.limit_ns, level_ns, now_ns, bad or level_ns > 0.0)
