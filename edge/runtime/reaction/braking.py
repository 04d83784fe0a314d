"""The braking that an action gives on a road: the microcontroller's limits and the tyres' grip.

In: an action and the deceleration that is asked for. Out: what is applied, dry and wet. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action
from firmware_bridge.protocol.stopping_distance import stopping_distance_m

GRAVITY_MPS2 = 9.81

FRICTION = {"dry": 0.8, "wet": 0.5}
"""Peak friction of tyres on asphalt, the lower ends of 0.8 to 0.9 dry and 0.5 to 0.7 wet: J. Y.
Wong, Theory of Ground Vehicles, average values of road adhesion (after J. J. Taborek, 1957)."""


@dataclass(frozen=True)
class Braking:
    """Deceleration and jerk on one road."""

    deceleration_mps2: float
    jerk_mps3: float

    def stop_m(self, speed_mps: float, *, delay_s: float) -> float:
        """Metres from `speed_mps` to standstill, with the delay before the braking begins."""
        return stopping_distance_m(
            speed_mps,
            deceleration_mps2=self.deceleration_mps2,
            jerk_mps3=self.jerk_mps3,
            delay_s=delay_s,
        )


def applied_mps2(action: Action, asked_mps2: float) -> float:
    """The deceleration that the microcontroller applies where a rule asks for this one."""
    limits = LIMITS.action[action]
    least, most = limits.deceleration_min_cmps2 / 100.0, limits.deceleration_max_cmps2 / 100.0
    return min(max(asked_mps2, least), most)


def braking_on(road: str, action: Action, asked_mps2: float) -> Braking:
    """The braking of an action on a road of FRICTION."""
    grip_mps2 = FRICTION[road] * GRAVITY_MPS2
    jerk_mps3 = LIMITS.action[action].jerk_cmps3 / 100.0
    return Braking(min(applied_mps2(action, asked_mps2), grip_mps2), jerk_mps3)
