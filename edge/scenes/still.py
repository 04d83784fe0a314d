"""Renders one labelled picture, from a seed or from a list of actors.

Out: a `LabelledScene`, identical to the bit for the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage
from edge.scenes.actor_placement import random_actors
from edge.scenes.painting.atmosphere import CLEAR_DAY, Air, air_of, draw_conditions, with_defaults
from edge.scenes.painting.brush import Brush
from edge.scenes.painting.camera_effects import expose, glare_of, paint_sun, precipitation
from edge.scenes.painting.ground import light_ground, mirror_surroundings, paint_ground, paint_sky
from edge.scenes.painting.people import paint_pedestrian
from edge.scenes.painting.roadside import lamp_places_m, paint_surroundings
from edge.scenes.painting.shadows import paint_reflection, paint_shadow
from edge.scenes.painting.signs import paint_sign
from edge.scenes.painting.vehicles.cars import paint_vehicle
from edge.scenes.visibility import VisibilityBuffer
from edge.scenes.world import SCENE_LABELS, Actor, Camera

PAINTERS: dict[str, Callable[[Brush, Actor], None]] = {
    "pedestrian": paint_pedestrian,
    "vehicle": paint_vehicle,
    "traffic sign": paint_sign,
}
"""One row for each of SCENE_LABELS."""

WIDTH_PX, HEIGHT_PX = 640, 384


@dataclass(frozen=True)
class LabelledScene:
    """A picture with its ground truth.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels, clipped to the picture.
        labels: (N,) int64, index into SCENE_LABELS.
        distance_m: (N,) float32, from the camera.
        time_to_contact_s: (N,) float32, distance over closing speed; inf where not closing.
        ids: (N,) int64; in a clip the same object keeps its number.
        conditions: weather, light and road, none of them None.
        road_condition: one of ROAD_CONDITIONS.
    """

    image: BgrImage
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    distance_m: NDArray[np.float32]
    time_to_contact_s: NDArray[np.float32]
    ids: NDArray[np.int64]
    conditions: Conditions
    road_condition: str


TRAINING, CALIBRATION, UNSEEN, DATA_SET = 0, 1, 2, 3
"""Purposes of stills: the same number gives another scene for each, so that UNSEEN stills occur in
no other purpose."""


def seed_of(purpose: int, number: int) -> int:
    """The seed of still `number` (below 10^8) for a purpose; ranges of purposes are disjoint."""
    return purpose * 100_000_000 + number


def conditions_of(seed: int) -> Conditions:
    """The conditions that `still` draws for a seed where none are given."""
    return draw_conditions(_random(seed), None)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 0x5CE0E])


def still(
    seed: int,
    *,
    width_px: int = WIDTH_PX,
    height_px: int = HEIGHT_PX,
    conditions: Conditions | None = None,
) -> LabelledScene:
    """A random road scene: same seed and conditions, same pixels.

    What `conditions` leave open is drawn from the seed.
    """
    random = _random(seed)
    conditions = draw_conditions(random, conditions)
    camera = Camera(width_px, height_px, round(height_px * float(random.uniform(0.40, 0.50))))
    return render(
        camera,
        random_actors(random, conditions),
        conditions=conditions,
        look_seed=int(random.integers(0, 1 << 31)),
        travelled_m=float(random.uniform(0.0, 500.0)),
    )


def render(
    camera: Camera,
    actors: Sequence[Actor],
    *,
    look_seed: int,
    travelled_m: float,
    conditions: Conditions = CLEAR_DAY,
    noise_seed: int = 0,
    closing_mps: Mapping[int, float] | None = None,
) -> LabelledScene:
    """The picture of `actors` with its ground truth.

    Args:
        camera: picture size and horizon.
        actors: in any order; far ones are painted first.
        look_seed: fixes colours, light and clutter.
        travelled_m: how far the camera has driven.
        conditions: those of CLEAR_DAY where they are None.
        noise_seed: of the grain, rain and flakes of one frame.
        closing_mps: an actor's id -> the speed at which it comes nearer; 0 where it is missing.
    """
    look = np.random.default_rng(look_seed)
    air = air_of(with_defaults(conditions), look)
    street, soft = int(look.integers(0, 1 << 31)), bool(look.random() < 0.3)
    size = (camera.width_px, camera.height_px)
    glare = glare_of(air, look=look, width=size[0], height=size[1])
    image: BgrImage = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
    paint_sky(image, camera, air, look=look)
    paint_sun(image, camera, air, glare)
    paint_ground(image, camera, air, look=look, travelled_m=travelled_m)
    light_ground(image, camera, air, pools_m=lamp_places_m(air, travelled_m))
    paint_surroundings(image, camera, air, street=street, travelled_m=travelled_m)
    if air.road_condition == "wet":
        mirror_surroundings(image, camera)
    buffer = VisibilityBuffer(camera)
    for actor in sorted(actors, key=lambda actor: -actor.z_m):
        _paint(image, camera, air, actor, buffer)
    random = np.random.default_rng([look_seed, noise_seed])
    precipitation(image, air, random=random)
    image = expose(image, air, soft=soft, glare=glare, random=random)
    return _labelled(image, air, buffer.visible(glare.veil if glare else None), closing_mps or {})


def _paint(
    image: BgrImage, camera: Camera, air: Air, actor: Actor, buffer: VisibilityBuffer
) -> None:
    brush = Brush(image, camera, air, x_m=actor.x_m, z_m=actor.z_m)
    paint_shadow(brush, actor)
    before = image.copy()
    PAINTERS[actor.kind](brush, actor)
    buffer.add(actor, brush.reach, before=before, after=image, gain=air.exposure)
    if air.road_condition == "wet" and actor.lift_m == 0.0:
        paint_reflection(brush)


def _labelled(
    image: BgrImage,
    air: Air,
    labelled: Sequence[tuple[Actor, NDArray[np.float32]]],
    closing_mps: Mapping[int, float],
) -> LabelledScene:
    times = [
        actor.z_m / speed if (speed := closing_mps.get(actor.id, 0.0)) > 1e-6 else np.inf
        for actor, _ in labelled
    ]
    return LabelledScene(
        image=image,
        boxes=np.array([box for _, box in labelled], np.float32).reshape(-1, 4),
        labels=np.array([SCENE_LABELS.index(actor.kind) for actor, _ in labelled], np.int64),
        distance_m=np.array([actor.z_m for actor, _ in labelled], np.float32),
        time_to_contact_s=np.array(times, np.float32),
        ids=np.array([actor.id for actor, _ in labelled], np.int64),
        conditions=air.conditions,
        road_condition=air.road_condition,
    )
