"""One labelled picture from a seed or from a list of things: bit-identical for the same input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.contract.perception import BgrImage
from edge.scenes import paint
from edge.scenes.world import SCENE_LABELS, Camera, Thing, random_things

MIN_HEIGHT_SHARE = 0.05
"""Objects less tall than this share of the picture carry no label: nobody could tell them."""
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
    """

    image: BgrImage
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    distance_m: NDArray[np.float32]


TRAINING, CALIBRATION, UNSEEN = 0, 1, 2
"""Purposes of stills: the same number gives another scene for each, so that unseen is unseen."""


def seed_of(purpose: int, number: int) -> int:
    """The seed of still `number` (below 10^8) for a purpose; ranges never meet."""
    return purpose * 100_000_000 + number


def still(seed: int, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> LabelledScene:
    """A random road scene: same seed, same pixels."""
    random = np.random.default_rng([seed, 0x5CE0E])
    camera = Camera(width_px, height_px, height_px * float(random.uniform(0.40, 0.50)))
    things = random_things(random)
    return render(
        camera, things, look_seed=int(random.integers(0, 1 << 31)), travelled_m=random.uniform(0, 9)
    )


def render(
    camera: Camera,
    things: Sequence[Thing],
    *,
    look_seed: int,
    travelled_m: float,
    noise_seed: int = 0,
) -> LabelledScene:
    """The picture of `things`, far ones first; `look_seed` fixes colours, light and clutter."""
    look = np.random.default_rng(look_seed)
    light = float(look.uniform(0.55, 1.15))
    image = np.zeros((camera.height_px, camera.width_px, 3), np.uint8)
    paint.road(image, camera, look=look, travelled_m=travelled_m)
    far_first = sorted(things, key=lambda thing: -thing.z_m)
    owner = np.zeros((camera.height_px, camera.width_px), np.uint8)
    for number, thing in enumerate(far_first, start=1):
        paint.shadow(image, camera, thing)
        paint.PAINTERS[thing.kind](image, camera, thing)
        x1, y1, x2, y2 = np.round(thing.box_px(camera)).astype(int)
        cv2.rectangle(owner, (x1, y1), (x2 - 1, y2 - 1), number, -1)
    image = _expose(image, light, np.random.default_rng([look_seed, noise_seed]))
    return _label(image, camera, far_first, owner)


def _expose(image: BgrImage, light: float, random: np.random.Generator) -> BgrImage:
    lit = cv2.convertScaleAbs(image, alpha=light, beta=0.0)
    grain = random.integers(0, 9, image.shape, dtype=np.uint8)
    grainy = cv2.subtract(cv2.add(lit, grain), np.full_like(grain, 4))
    return np.asarray(grainy, np.uint8)


def _label(
    image: BgrImage, camera: Camera, things: Sequence[Thing], owner: NDArray[np.uint8]
) -> LabelledScene:
    rows: list[tuple[NDArray[np.float32], int, float]] = []
    limit = np.array([camera.width_px, camera.height_px] * 2, np.float32)
    for number, thing in enumerate(things, start=1):
        box = thing.box_px(camera)
        clipped = np.clip(box, 0.0, limit)
        whole = float(np.prod(box[2:] - box[:2]))
        x1, y1, x2, y2 = np.round(clipped).astype(int)
        seen = int(np.count_nonzero(owner[y1:y2, x1:x2] == number))
        tall = float(clipped[3] - clipped[1]) >= MIN_HEIGHT_SHARE * camera.height_px
        if tall and seen >= MIN_VISIBLE * whole:
            rows.append((clipped, SCENE_LABELS.index(thing.kind), thing.z_m))
    return LabelledScene(
        image=image,
        boxes=np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        labels=np.array([row[1] for row in rows], np.int64),
        distance_m=np.array([row[2] for row in rows], np.float32),
    )
