"""Computes how old the newest perceived frame may be, from periods of the camera and fixed bounds.

A mission and a source's rate go in; ages in nanoseconds come out. The bounds in milliseconds hold
also where mission or clip state a slow rate. Pure arithmetic.
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
class FrameAges:
    """Ages of the newest perceived frame, in nanoseconds and ascending, from which perception is
    Unknown, the vehicle slows down, and it stops."""

    unknown_after_ns: int
    slow_down_after_ns: int
    comfort_stop_after_ns: int

    @staticmethod
    def of(mission: Mission, *, fps: float) -> FrameAges:
        """Ages for a source of `fps` frames a second; a period is the longer one of the mission's
        camera and of the source, which may be a slower clip.

        `unknown_after_ns` is at least one period and the mission's end-to-end budget, the age that
        a healthy loop reaches (docs/runtime.md), and at most its bound.
        """
        period_ms = 1e3 / min(fps, mission.camera.fps)
        fallbacks = mission.policy.fallbacks
        stop_ms = min(fallbacks.comfort_stop_after_periods * period_ms, COMFORT_STOP_AT_MOST_MS)
        slow_ms = min(fallbacks.slow_down_after_periods * period_ms, SLOW_DOWN_AT_MOST_MS)
        healthy_ms = mission.budget.end_to_end_ms + period_ms
        unknown_ms = max(fallbacks.unknown_after_periods * period_ms, healthy_ms)
        return FrameAges(
            unknown_after_ns=round(min(unknown_ms, slow_ms, UNKNOWN_AT_MOST_MS) * 1e6),
            slow_down_after_ns=round(slow_ms * 1e6),
            comfort_stop_after_ns=round(stop_ms * 1e6),
        )
