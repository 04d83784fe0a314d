"""How old the newest perceived frame may be: by the camera's period, and never beyond a bound in
milliseconds.

A mission or a clip that names a slow rate makes nothing old by periods alone; the bounds hold
whatever both say. Pure arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import (
    COMFORT_STOP_AT_MOST_MS,
    SLOW_DOWN_AT_MOST_MS,
    UNKNOWN_AT_MOST_MS,
)


@dataclass(frozen=True, kw_only=True)
class Ages:
    """From which age on the newest perceived frame makes perception Unknown, slows the vehicle and
    stops it, in nanoseconds; ascending."""

    unknown_after_ns: int
    slow_down_after_ns: int
    comfort_stop_after_ns: int

    @staticmethod
    def of(mission: Mission, *, fps: float) -> Ages:
        """Ages for a source of `fps` frames a second. A period is the longer one of the mission's
        camera and of the source, which may be a slower clip.

        Unknown is never below what the mission's own budget makes of a healthy loop, one period and
        the end-to-end budget (docs/runtime.md), and never above its bound.
        """
        period_ms = 1e3 / min(fps, mission.camera.fps)
        fallbacks = mission.policy.fallbacks
        stop_ms = min(fallbacks.comfort_stop_after_periods * period_ms, COMFORT_STOP_AT_MOST_MS)
        slow_ms = min(fallbacks.slow_down_after_periods * period_ms, SLOW_DOWN_AT_MOST_MS)
        healthy_ms = mission.budget.end_to_end_ms + period_ms
        unknown_ms = max(fallbacks.unknown_after_periods * period_ms, healthy_ms)
        return Ages(
            unknown_after_ns=round(min(unknown_ms, slow_ms, UNKNOWN_AT_MOST_MS) * 1e6),
            slow_down_after_ns=round(slow_ms * 1e6),
            comfort_stop_after_ns=round(stop_ms * 1e6),
        )
