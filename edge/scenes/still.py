"""One labelled picture from a seed or from a list of things: bit-identical for the same input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.conditions import Conditions
from edge.contract.perception import BgrImage
from edge.scenes import paint
from edge.scenes.air import CLEAR_DAY, Air, air_of, drawn_conditions, plain
from edge.scenes.world import SCENE_LABELS, Camera, Thing, random_things

MIN_HEIGHT_SHARE = 0.05
"""Objects less tall than this share of the picture carry no label: nobody could tell them."""
MIN_CLEAR = 0.05
"""Objects of whose own colour fog leaves less than this carry no label."""
MIN_VISIBLE = 0.4
"""Objects of which less than this share is visible carry no label."""

WIDTH_PX, HEIGHT_PX = 640, 384


@dataclass(frozen=True)
class LabelledScene:
    """A picture with its truth.

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


TRAINING, CALIBRATION, UNSEEN = 0, 1, 2
"""Purposes of stills: the same number gives another scene for each, so that unseen is unseen."""


def seed_of(purpose: int, number: int) -> int:
    """The seed of still `number` (below 10^8) for a purpose; ranges never meet."""
    return purpose * 100_000_000 + number


def drawn_in(seed: int) -> Conditions:
    """The conditions that `still` draws for a seed where none are given."""
    return drawn_conditions(_random(seed), None)


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
    conditions = drawn_conditions(random, conditions)
    camera = Camera(width_px, height_px, round(height_px * float(random.uniform(0.40, 0.50))))
    things = random_things(random)
    return render(
        camera,
        [replace(thing, id=number) for number, thing in enumerate(things)],
        conditions=conditions,
        look_seed=int(random.integers(0, 1 << 31)),
        travelled_m=random.uniform(0, 9),
    )


def render(
    camera: Camera,
    things: Sequence[Thing],
    *,
    look_seed: int,
    travelled_m: float,
    conditions: Conditions = CLEAR_DAY,
    noise_seed: int = 0,
    closing_mps: Mapping[int, float] | None = None,
) -> LabelledScene:
    """The picture of `things`, far ones first; `look_seed` fixes colours, light and clutter.

    `closing_mps` gives the speed at which a thing, by its id, comes nearer; 0 where not given.
    """
    look = np.random.default_rng(look_seed)
    air = air_of(plain(conditions), look)
    image = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
    paint.road(image, camera, air, look=look, travelled_m=travelled_m)
    far_first = sorted(things, key=lambda thing: -thing.z_m)
    owner = np.zeros((camera.height_px, camera.width_px), np.uint8)
    for number, thing in enumerate(far_first, start=1):
        paint.shadow(image, camera, air, thing)
        paint.PAINTERS[thing.kind](image, camera, air, thing)
        x1, y1, x2, y2 = np.round(thing.box_px(camera)).astype(int)
        cv2.rectangle(owner, (x1, y1), (x2 - 1, y2 - 1), number, -1)
    noise = np.random.default_rng([look_seed, noise_seed])
    paint.weather(image, air, noise)
    paint.glare(image, air, look)
    image = _expose(image, air.exposure, noise)
    return _label(image, camera, air, far_first, owner=owner, closing_mps=closing_mps or {})


def _expose(image: BgrImage, light: float, random: np.random.Generator) -> BgrImage:
    lit = cv2.convertScaleAbs(image, alpha=light, beta=0.0)
    grain = random.integers(0, 9, image.shape, dtype=np.uint8)
    grainy = cv2.subtract(cv2.add(lit, grain), np.full_like(grain, 4))
    return np.asarray(grainy, np.uint8)


def _label(
    image: BgrImage,
    camera: Camera,
    air: Air,
    things: Sequence[Thing],
    *,
    owner: NDArray[np.uint8],
    closing_mps: Mapping[int, float],
) -> LabelledScene:
    kept: list[tuple[NDArray[np.float32], Thing]] = []
    limit = np.array([camera.width_px, camera.height_px] * 2, np.float32)
    for number, thing in enumerate(things, start=1):
        box = thing.box_px(camera)
        clipped = np.clip(box, 0.0, limit)
        whole = float(np.prod(box[2:] - box[:2]))
        x1, y1, x2, y2 = np.round(clipped).astype(int)
        seen = int(np.count_nonzero(owner[y1:y2, x1:x2] == number))
        tall = float(clipped[3] - clipped[1]) >= MIN_HEIGHT_SHARE * camera.height_px
        through = air.clear_share(thing.z_m) >= MIN_CLEAR
        if tall and through and seen >= MIN_VISIBLE * whole:
            kept.append((clipped, thing))
    speeds = [closing_mps.get(thing.id, 0.0) for _, thing in kept]
    return LabelledScene(
        image=image,
        boxes=np.array([box for box, _ in kept], np.float32).reshape(-1, 4),
        labels=np.array([SCENE_LABELS.index(thing.kind) for _, thing in kept], np.int64),
        distance_m=np.array([thing.z_m for _, thing in kept], np.float32),
        time_to_contact_s=np.array(
            [
                thing.z_m / speed if speed > 1e-6 else np.inf
                for (_, thing), speed in zip(kept, speeds, strict=True)
            ],
            np.float32,
        ),
        ids=np.array([thing.id for _, thing in kept], np.int64),
        conditions=air.conditions,
        road_condition=air.road_condition,
    )
