"""Stopping distance of a vehicle for a given speed, deceleration, jerk and delay. Pure."""

from __future__ import annotations

import math


def stopping_distance_m(
    speed_mps: float, *, deceleration_mps2: float, jerk_mps3: float, delay_s: float = 0.0
) -> float:
    """Metres from `speed_mps` to standstill.

    The vehicle keeps its speed for `delay_s`; then braking grows by `jerk_mps3` from 0 to
    `deceleration_mps2` and stays. All positive. Plain kinematics: assumes that brakes and road
    give this deceleration.
    """
    rise_s = deceleration_mps2 / jerk_mps3
    lost_mps = deceleration_mps2 * rise_s / 2
    if lost_mps >= speed_mps:  # it stands before the braking reaches its full value
        rise_s = math.sqrt(2 * speed_mps / jerk_mps3)
        return speed_mps * (delay_s + rise_s) - jerk_mps3 * rise_s**3 / 6
    rise_m = speed_mps * rise_s - jerk_mps3 * rise_s**3 / 6
    return speed_mps * delay_s + rise_m + (speed_mps - lost_mps) ** 2 / (2 * deceleration_mps2)
