"""Of all active demands one command: the most severe action with the lowest ceiling and the hardest
braking, and the stop that is held until it may be released. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.contract.mission.policy_checks import STOPS
from edge.runtime.policy.facts import Demand
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Reason, SafetyCommand

_NO_CEILING_MPS = LIMITS.speed_ceiling_max_cmps / 100.0


def held_stop(
    held: Demand | None, demands: Sequence[Demand], *, may_release: bool
) -> Demand | None:
    """The stop to be held: a graver one replaces it, and braking that was asked for stays. It ends
    where nothing asks for a stop and release is permitted."""
    stops = [d for d in demands if d.action in STOPS]
    if not stops:
        return None if may_release else held
    gravest = max(stops, key=lambda d: d.action)
    if held is not None:
        stops.append(held)
        gravest = held if held.action > gravest.action else gravest
    return replace(gravest, deceleration_mps2=max(d.deceleration_mps2 for d in stops))


def with_held(held: Demand, demands: Sequence[Demand]) -> list[Demand]:
    """The demands with the held stop in the place of the one it came from, or behind them."""
    source = (held.kind, held.name, held.action)
    kept = [held if (d.kind, d.name, d.action) == source else d for d in demands]
    return kept if held in kept else [*kept, held]


def command_of(demands: Sequence[Demand], *, may_release: bool, valid_for_ms: int) -> SafetyCommand:
    """The command of demands that are sorted, most severe first. Takes the hardest braking and the
    lowest ceiling that anything asks for: a graver demand never makes the vehicle brake softer than
    a milder one would alone."""
    action = demands[0].action if demands else Action.NONE
    ceilings = [d.speed_ceiling_mps for d in demands if d.speed_ceiling_mps is not None]
    hardest = max((d.deceleration_mps2 for d in demands), default=0.0)
    stop = action in STOPS
    return SafetyCommand(
        action=action,
        release=may_release and not stop,
        speed_ceiling_mps=0.0 if stop else min(ceilings, default=_NO_CEILING_MPS),
        deceleration_limit_mps2=_within(action, hardest),
        valid_for_ms=valid_for_ms,
        reason=demands[0].reason if demands else Reason.CLEAR,
    )


def _within(action: Action, deceleration_mps2: float) -> float:
    """A deceleration clipped to what the microcontroller does under this action."""
    limits = LIMITS.action[action]
    lowest, highest = limits.deceleration_min_cmps2 / 100.0, limits.deceleration_max_cmps2 / 100.0
    return min(max(deceleration_mps2, lowest), highest)
