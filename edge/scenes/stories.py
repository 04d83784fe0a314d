"""The table of stories: where actors and the camera are over time. Draws nothing.

In: seconds into a story and a number for looks. Out: a `Moment`. The camera never reacts to
commands: a story is a recording. A seed changes the looks, never times or places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge.scenes.world import (
    AWAY,
    LEFTWARDS,
    RIGHTWARDS,
    TOWARDS,
    Actor,
    pedestrian,
    sign,
    vehicle,
)

FPS = 25.0
WALK_MPS = 1.4


@dataclass(frozen=True)
class Moment:
    """The actors at one time, and how far the camera has driven."""

    actors: tuple[Actor, ...]
    travelled_m: float


@dataclass(frozen=True)
class Story:
    """One row of the table. `at`: seconds into the story and a number for looks -> a Moment."""

    help: str
    seconds: float
    at: Callable[[float, int], Moment]

    def closing_mps(self, time_s: float, cast: int) -> dict[int, float]:
        """Actor's id -> speed at which it comes nearer: the central difference of its distance."""
        step_s = 1e-4
        before = {actor.id: actor.z_m for actor in self.at(time_s - step_s, cast).actors}
        after = {actor.id: actor.z_m for actor in self.at(time_s + step_s, cast).actors}
        return {id_: (before[id_] - after[id_]) / (2.0 * step_s) for id_ in before.keys() & after}


def _stride(walked_m: float) -> float:
    return math.sin(2.0 * math.pi * 0.9 * walked_m / WALK_MPS) if walked_m > 0.0 else 0.2


def _ahead(*actors: Actor) -> tuple[Actor, ...]:
    """Those that are in front of the camera and near enough to matter."""
    return tuple(actor for actor in actors if 3.0 < actor.z_m < 90.0)


def _clear_road(time_s: float, cast: int) -> Moment:
    """12 m/s behind a vehicle that stays far ahead; signs pass."""
    travelled = 12.0 * time_s
    ahead = vehicle(0.1, 45.0 + 3.0 * math.sin(time_s), look=41 + cast)
    signs = [
        replace(sign(3.4, place - travelled, look=place + cast), id=place)
        for place in range(20, 200, 34)
    ]
    return Moment((ahead, *(s for s in signs if 3.0 < s.z_m < 60.0)), travelled)


STEPS_OUT_AT_S = 2.0
KERB_M = 3.6


def _pedestrian_steps_out(time_s: float, cast: int) -> Moment:
    """The camera rolls to a stop in front of a pedestrian who crosses from right to left."""
    near, gap, settle_s = 11.0, 22.0, 1.6
    distance = near + gap * math.exp(-time_s / settle_s)
    walked = WALK_MPS * max(0.0, time_s - STEPS_OUT_AT_S)
    person = pedestrian(
        KERB_M - walked,
        distance,
        look=1237 + cast,
        stride=_stride(walked),
        facing=LEFTWARDS if walked > 0.0 else TOWARDS,
    )
    parked = replace(vehicle(-3.6, distance + 14.0, look=18 + cast), id=1)
    plate = replace(sign(3.6, distance + 9.0, look=4 + cast), id=2)
    return Moment((person, parked, plate), near + gap - distance)


CRUISE_MPS = 14.0
LEAD_BRAKES_AT_S, LEAD_BRAKES_MPS2 = 2.0, 5.0
DRIVER_BRAKES_AT_S, DRIVER_BRAKES_MPS2 = 3.2, 6.0


def _driven_m(time_s: float, brakes_at_s: float, brakes_mps2: float) -> float:
    """Metres from CRUISE_MPS to a stop, when the brakes are put on at that time."""
    braked_s = min(max(0.0, time_s - brakes_at_s), CRUISE_MPS / brakes_mps2)
    free_s = min(time_s, brakes_at_s)
    return CRUISE_MPS * (free_s + braked_s) - 0.5 * brakes_mps2 * braked_s**2


def _vehicle_brakes(time_s: float, cast: int) -> Moment:
    """The vehicle 20 m ahead brakes to a stop; the camera's driver brakes later, and harder."""
    travelled = _driven_m(time_s, DRIVER_BRAKES_AT_S, DRIVER_BRAKES_MPS2)
    gap = 20.0 + _driven_m(time_s, LEAD_BRAKES_AT_S, LEAD_BRAKES_MPS2) - travelled
    lead = vehicle(0.1, gap, look=5 + cast, braking=time_s > LEAD_BRAKES_AT_S)
    other = replace(vehicle(-3.5, gap + 25.0, look=18 + cast), id=1)
    return Moment((lead, other), travelled)


def _vehicle_cuts_in(time_s: float, cast: int) -> Moment:
    """A vehicle passes on the left, cuts in at 2 s and then slows down in front of the camera."""
    slowing = max(0.0, time_s - 4.0)
    gap = 7.0 + 3.0 * time_s - 1.2 * slowing**2
    share = min(max((time_s - 2.0) / 1.8, 0.0), 1.0)
    aside = -3.6 * (1.0 - share * share * (3.0 - 2.0 * share))
    other = vehicle(aside, gap, look=16 + 4 * cast, braking=slowing > 0.0)
    return Moment((other,), 16.0 * time_s)


def _approach_sign(time_s: float, cast: int) -> Moment:
    """11 m/s towards a sign on the right, and past it."""
    travelled = 11.0 * time_s
    plate = sign(3.3, 62.0 - travelled, look=cast)
    second = replace(sign(-6.2, 74.0 - travelled, look=cast + 5), id=1)
    return Moment(_ahead(plate, second), travelled)


def _pedestrian_crosses_far(time_s: float, cast: int) -> Moment:
    """6 m/s towards a pedestrian who crosses far ahead and is gone in time."""
    distance, walked = 50.0 - 6.0 * time_s, WALK_MPS * max(0.0, time_s - 0.5)
    person = pedestrian(
        KERB_M - walked,
        distance,
        look=1238 + cast,
        stride=_stride(walked),
        facing=LEFTWARDS if walked > 0.0 else TOWARDS,
    )
    return Moment((person,), 6.0 * time_s)


def _leaving(time_s: float, cast: int) -> Moment:
    """A vehicle ahead drives away faster and faster."""
    lead = vehicle(0.0, 9.0 + 0.9 * max(time_s, 0.0) ** 2 + 0.5 * time_s, look=33 + cast)
    return Moment((lead,), 5.0 * time_s)


def _vehicle_crosses(time_s: float, cast: int) -> Moment:
    """The camera rolls towards a junction that a vehicle crosses from the left to the right."""
    other = vehicle(-17.0 + 7.0 * time_s, 34.0 - 4.0 * time_s, look=24 + cast, facing=RIGHTWARDS)
    return Moment((other,), 4.0 * time_s)


def _oncoming(time_s: float, cast: int) -> Moment:
    """Three vehicles come towards the camera and pass on the left."""
    travelled = 10.0 * time_s
    coming = [
        replace(
            vehicle(-3.5, start - travelled - 12.0 * time_s, look=number + cast, facing=TOWARDS),
            id=number,
        )
        for number, start in enumerate((60.0, 90.0, 125.0))
    ]
    ahead = replace(vehicle(0.0, 38.0, look=56 + cast, facing=AWAY), id=3)
    return Moment(_ahead(*coming, ahead), travelled)


STORIES: dict[str, Story] = {
    "clear_road": Story("an open road behind a far vehicle", 8.0, _clear_road),
    "pedestrian_steps_out": Story(
        "a pedestrian steps from the right kerb and crosses", 13.0, _pedestrian_steps_out
    ),
    "vehicle_brakes": Story("the vehicle ahead brakes to a stop", 7.0, _vehicle_brakes),
    "vehicle_cuts_in": Story("a vehicle cuts in from the left and slows", 7.0, _vehicle_cuts_in),
    "vehicle_crosses": Story("a vehicle crosses from left to right", 6.0, _vehicle_crosses),
    "oncoming": Story("three vehicles come towards the camera and pass", 5.5, _oncoming),
    "approach_sign": Story("a sign comes nearer and passes", 6.0, _approach_sign),
    "pedestrian_crosses_far": Story("a pedestrian crosses far ahead", 7.0, _pedestrian_crosses_far),
    "leaving": Story("the vehicle ahead drives away", 6.0, _leaving),
}
