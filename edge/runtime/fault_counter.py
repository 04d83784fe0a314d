"""A counter for faults that flap: it rises by one for each bad result and recovers at a quarter of
that for each good one, so that a fault every other frame still fires (in the manner of PX4).

A pure value; never reads a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

_RECOVERY = 0.25


@dataclass(frozen=True)
class FaultCounter:
    """Fires at `limit` and stays active until it has recovered to zero.

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
