"""Clips: what moves how on the road, frame by frame. A table of stories.

The camera does not react to what the vehicle is told: a story is a recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from edge.contract.artifact import replacing
from edge.contract.conditions import Conditions
from edge.scenes.air import CLEAR_DAY
from edge.scenes.still import HEIGHT_PX, WIDTH_PX, LabelledScene, render
from edge.scenes.world import Camera, Thing, pedestrian, sign, vehicle
from firmware_bridge.errors import DeviceFault

FPS = 25.0
WALK_MPS = 1.4


@dataclass(frozen=True)
class Moment:
    """What stands where at one time, and how far the camera has driven."""

    things: tuple[Thing, ...]
    travelled_m: float


@dataclass(frozen=True)
class Story:
    """One row of the table."""

    help: str
    seconds: float
    at: Callable[[float], Moment]


def _clear_road(time_s: float) -> Moment:
    """12 m/s behind a vehicle that stays far ahead; signs pass."""
    travelled = 12.0 * time_s
    ahead = vehicle(0.1, 45.0 + 3.0 * math.sin(time_s), look=41)
    signs = [
        replace(sign(3.4, place - travelled, look=place), id=place) for place in range(20, 200, 34)
    ]
    return Moment((ahead, *(s for s in signs if 3.0 < s.z_m < 60.0)), travelled)


STEPS_OUT_AT_S = 2.0
KERB_M = 3.6


def _pedestrian_steps_out(time_s: float) -> Moment:
    """The camera rolls to a stop in front of a pedestrian who crosses from right to left."""
    near, gap, settle_s = 11.0, 22.0, 1.6
    distance = near + gap * math.exp(-time_s / settle_s)
    travelled = near + gap - distance
    walked = WALK_MPS * max(0.0, time_s - STEPS_OUT_AT_S)
    stride = math.sin(2.0 * math.pi * 0.9 * walked / WALK_MPS) if walked > 0.0 else 0.2
    person = pedestrian(KERB_M - walked, distance, look=1237, stride=stride)
    parked = vehicle(-3.6, distance + 14.0, look=18)
    plate = sign(3.6, distance + 9.0, look=4)
    return Moment((person, replace(parked, id=1), replace(plate, id=2)), travelled)


CRUISE_MPS = 14.0
LEAD_BRAKES_AT_S, LEAD_BRAKES_MPS2 = 2.0, 5.0
DRIVER_BRAKES_AT_S, DRIVER_BRAKES_MPS2 = 3.2, 6.0


def _driven_m(time_s: float, brakes_at_s: float, brakes_mps2: float) -> float:
    """Metres from CRUISE_MPS to a stop, when the brakes are put on at that time."""
    braked_s = min(max(0.0, time_s - brakes_at_s), CRUISE_MPS / brakes_mps2)
    free_s = min(time_s, brakes_at_s)
    return CRUISE_MPS * (free_s + braked_s) - 0.5 * brakes_mps2 * braked_s**2


def _vehicle_brakes(time_s: float) -> Moment:
    """The vehicle 20 m ahead brakes to a stop; the camera's driver brakes later, and harder."""
    travelled = _driven_m(time_s, DRIVER_BRAKES_AT_S, DRIVER_BRAKES_MPS2)
    gap = 20.0 + _driven_m(time_s, LEAD_BRAKES_AT_S, LEAD_BRAKES_MPS2) - travelled
    other = replace(vehicle(-3.5, gap + 25.0, look=18), id=1)
    return Moment((vehicle(0.1, gap, look=5), other), travelled)


STORIES: dict[str, Story] = {
    "clear_road": Story("an open road behind a far vehicle", 8.0, _clear_road),
    "pedestrian_steps_out": Story(
        "a pedestrian steps from the right kerb and crosses", 13.0, _pedestrian_steps_out
    ),
    "vehicle_brakes": Story("the vehicle ahead brakes to a stop", 7.0, _vehicle_brakes),
}


def clip(
    story: str,
    *,
    seed: int = 0,
    conditions: Conditions = CLEAR_DAY,
    width_px: int = WIDTH_PX,
    height_px: int = HEIGHT_PX,
) -> Iterator[LabelledScene]:
    """The frames of a story at FPS; `seed` fixes colours, light and clutter.

    Time to contact is distance over closing speed, from the story's own motion.

    Raises:
        KeyError: no such story in STORIES.
    """
    told = STORIES[story]
    camera = Camera(width_px, height_px, height_px * 0.45)
    for index in range(round(told.seconds * FPS)):
        moment = told.at(index / FPS)
        yield render(
            camera,
            moment.things,
            conditions=conditions,
            closing_mps=_closing_mps(told, index / FPS),
            look_seed=seed,
            travelled_m=moment.travelled_m,
            noise_seed=index,
        )


def _closing_mps(told: Story, time_s: float) -> dict[int, float]:
    """How fast each thing comes nearer: the central difference of its distance."""
    step_s = 1e-4
    before = {thing.id: thing.z_m for thing in told.at(time_s - step_s).things}
    after = {thing.id: thing.z_m for thing in told.at(time_s + step_s).things}
    return {id_: (before[id_] - after[id_]) / (2.0 * step_s) for id_ in before.keys() & after}


def write_clip(
    path: Path,
    story: str,
    *,
    seed: int = 0,
    conditions: Conditions = CLEAR_DAY,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> int:
    """Write a story as an MPEG-4 file, atomically; returns the number of frames.

    Raises:
        DeviceFault: the encoder does not open or the file cannot be written.
    """
    total = round(STORIES[story].seconds * FPS)
    with replacing(path) as temporary:
        writer = cv2.VideoWriter(
            str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH_PX, HEIGHT_PX)
        )
        if not writer.isOpened():
            raise DeviceFault(
                f"cannot write the clip {path}",
                expected="a path ending in .mp4 that OpenCV's MPEG-4 encoder can open",
                found="the encoder did not open",
                remedy="choose a name ending in .mp4 in a folder that can be written",
            )
        for done, scene in enumerate(clip(story, seed=seed, conditions=conditions), start=1):
            writer.write(scene.image)
            progress("draw", done, total)
        writer.release()
    return total
