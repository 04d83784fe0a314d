"""The microcontroller's compiled limits: one definition, generated into C, hashed into every Hello.

A change here changes the limits hash, so the host refuses a firmware built from other numbers.
Never read at run time to allow more than the microcontroller does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from firmware_bridge.protocol.codec import u24
from firmware_bridge.protocol.messages import Action


@dataclass(frozen=True, kw_only=True)
class ActionLimits:
    """Braking of one action: the range to which a deceleration is clipped, and the jerk."""

    deceleration_min_cmps2: int
    deceleration_default_cmps2: int
    deceleration_max_cmps2: int
    jerk_cmps3: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times, speeds and counts that the firmware is compiled with."""

    command_valid_max_ms: int
    heartbeat_timeout_ms: int
    escalation_ms: int
    healthy_heartbeats_to_release: int
    frame_age_max_ms: int
    standstill_cmps: int
    speed_ceiling_max_cmps: int
    slow_down_ceiling_cmps: int
    status_period_ms: int
    greeting_period_ms: int
    refused_shown_ms: int
    action: tuple[ActionLimits, ...]


def _braking(lowest: int, default: int, highest: int, *, jerk: int) -> ActionLimits:
    return ActionLimits(
        deceleration_min_cmps2=lowest,
        deceleration_default_cmps2=default,
        deceleration_max_cmps2=highest,
        jerk_cmps3=jerk,
    )


# A graver action never brakes softer than a milder one: every column grows, or stays, from row to
# row. A comfort stop's 1.0 m/s2 is Autoware's default (mrm_comfortable_stop_operator), and 2.0 is
# well below the 4.0 that UN R157, 5.5.1, allows a minimal risk manoeuvre; its jerk is no lower than
# SLOW_DOWN's, which it often follows. An emergency stop brakes with at least the 5.0 m/s2 that
# UN R152, 5.2.1.2, asks of emergency braking; 8.0 is what dry asphalt gives with some reserve. Its
# jerk of 15 m/s3 reaches 8.0 m/s2 in 0.53 s: UN R13-H, annex 3, asks for the prescribed braking
# within 0.6 s of an emergency actuation.
_BRAKING = {
    Action.NONE: _braking(0, 0, 0, jerk=60),
    Action.NOTIFY: _braking(0, 0, 0, jerk=60),
    Action.CAP_SPEED: _braking(30, 100, 200, jerk=60),
    Action.SLOW_DOWN: _braking(50, 100, 200, jerk=60),
    Action.COMFORT_STOP: _braking(50, 100, 200, jerk=60),
    Action.EMERGENCY_STOP: _braking(500, 500, 800, jerk=1500),
}

# Times are this link's own declaration (docs/link.md).
LIMITS = Limits(
    command_valid_max_ms=300,
    heartbeat_timeout_ms=300,
    escalation_ms=1000,
    healthy_heartbeats_to_release=3,
    frame_age_max_ms=1000,
    standstill_cmps=10,
    speed_ceiling_max_cmps=6000,
    slow_down_ceiling_cmps=500,
    status_period_ms=20,
    greeting_period_ms=100,
    refused_shown_ms=1000,
    action=tuple(_BRAKING[action] for action in Action),
)


def canonical_limits(limits: Limits = LIMITS) -> str:
    """The limits as text for hashing, one number a line."""
    lines = [f"{f.name}={getattr(limits, f.name)}" for f in fields(limits) if f.name != "action"]
    for action, braking in zip(Action, limits.action, strict=True):
        lines += [f"{action.name}.{f.name}={getattr(braking, f.name)}" for f in fields(braking)]
    return "\n".join(lines) + "\n"


def limits_hash(limits: Limits = LIMITS) -> int:
    """The value of Hello's `limits_hash`: 24 bits of the canonical limits' sha256."""
    return u24(canonical_limits(limits))
