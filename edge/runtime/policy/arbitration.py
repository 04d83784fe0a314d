"""Arbitration: one command from all active demands, and the stop that is held until released.

In: the demands of active rules and fallbacks. Out: a SafetyCommand with the most severe action, the
lowest speed ceiling and the hardest braking of all. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.contract.mission.checks.policy_checks import STOPS
from edge.runtime.policy.facts import Demand
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Reason, SafetyCommand

_NO_CEILING_MPS = LIMITS.speed_ceiling_max_cmps / 100.0


def held_stop(
    held: Demand | None, demands: Sequence[Demand], *, may_release: bool
) -> Demand | None:
    """The stop to hold from this turn on, or None.

    A graver stop replaces the held one; the hardest braking of both stays. It ends where nothing
    demands a stop and release is permitted.
    """
    stops = [d for d in demands if d.action in STOPS]
    if not stops:
        return None if may_release else held
    gravest = max(stops, key=lambda d: d.action)
    if held is not None:
        stops.append(held)
        gravest = held if held.action > gravest.action else gravest
    return replace(gravest, deceleration_mps2=max(d.deceleration_mps2 for d in stops))


def with_held(held: Demand, demands: Sequence[Demand]) -> list[Demand]:
    """The demands with the held stop in place of its source, or at the end where that is gone."""
    source = (held.kind, held.name, held.action)
    replaced = [held if (d.kind, d.name, d.action) == source else d for d in demands]
    return replaced if held in replaced else [*replaced, held]


def command_of(demands: Sequence[Demand], *, may_release: bool, valid_for_ms: int) -> SafetyCommand:
    """The command for demands that are sorted, most severe first.

    It has the hardest braking and the lowest ceiling of all demands: a graver demand never makes
    the vehicle brake softer than a milder one would alone.
    """
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
