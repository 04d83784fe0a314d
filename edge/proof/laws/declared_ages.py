"""The ages and times that docs/runtime.md derives from a mission, computed a second time.

In: a mission and the settings that the loop would use. Out: what differs, in words. It judges
edge/contract/mission/frame_ages.py and edge/runtime/policy/settings.py, and so uses neither.
"""

from __future__ import annotations

import math

from edge.contract.mission.schema import Mission
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.limits import LIMITS


def age_faults(mission: Mission, settings: PolicySettings) -> list[str]:
    """R-RUN-1, R-RUN-2, R-RUN-3, R-LINK-2, and the steps of late commands."""
    period_ms, fallbacks = 1000.0 / mission.camera.fps, mission.policy.fallbacks
    link = mission.link
    slow_ms = min(period_ms * fallbacks.slow_down_after_periods, 1000.0)
    stop_ms = min(period_ms * fallbacks.comfort_stop_after_periods, 2000.0)
    known_ms = max(
        period_ms * fallbacks.unknown_after_periods, period_ms + mission.budget.end_to_end_ms
    )
    must = {
        "unknown_after_ns": min(known_ms, slow_ms, 500.0) * 1e6,
        "slow_down_after_ns": slow_ms * 1e6,
        "comfort_stop_after_ns": stop_ms * 1e6,
        "commands_a_step": max(math.ceil(link.rate_hz * link.acknowledge_within_ms / 1e3), 1),
        "valid_for_ms": link.valid_for_ms,
    }
    wrong = [
        f"{name} is {getattr(settings, name)}, must be {value:g}"
        for name, value in must.items()
        if abs(getattr(settings, name) - value) > 0.6  # nanoseconds are rounded
    ]
    if settings.valid_for_ms > LIMITS.command_valid_max_ms:
        wrong.append(f"a command lives {settings.valid_for_ms} ms")
    if settings.labels != mission.model.labels or settings.policy != mission.policy:
        wrong.append("labels or rules are not those of the mission")
    return wrong
