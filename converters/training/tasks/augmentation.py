"""Augmentation of training pictures against overfitting.

Every function takes a picture of network size and a generator of random numbers, and returns a new
picture of that size.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.corruptions import corrupt
from edge.perception.values import BgrImage

Boxes = NDArray[np.float32]


def change_light(image: BgrImage, random: np.random.Generator, *, strength: float) -> BgrImage:
    """Changes exposure, contrast and tint by up to half, at full strength."""
    gain = 1.0 + strength * random.uniform(-0.5, 0.5)
    tint = 1.0 + strength * random.uniform(-0.08, 0.08, 3)
    lift = 255.0 * strength * random.uniform(-0.1, 0.1)
    values = np.arange(256, dtype=np.float32)[:, None] * (gain * tint)[None, :] + lift
    table = np.clip(values, 0.0, 255.0).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None, :]), np.uint8)


def mirror(image: BgrImage, boxes: Boxes) -> tuple[BgrImage, Boxes]:
    """Exchanges left and right, with boxes (N, 4) xyxy in pixels."""
    flipped = boxes.copy()
    flipped[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    return np.ascontiguousarray(image[:, ::-1]), flipped


def warp(image: BgrImage, random: np.random.Generator, *, strength: float) -> BgrImage:
    """Rotates by up to 20 degrees, scales by up to 30 %, shifts by up to 15 %, at full strength."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(
        (width / 2.0, height / 2.0),
        strength * random.uniform(-20.0, 20.0),
        1.0 + strength * random.uniform(-0.3, 0.3),
    )
    turn[0, 2] += width * strength * random.uniform(-0.15, 0.15)
    turn[1, 2] += height * strength * random.uniform(-0.15, 0.15)
    out = cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(out, np.uint8)


def blur(image: BgrImage, random: np.random.Generator, *, strength: float) -> BgrImage:
    """Sometimes blurs a little, as motion or focus do."""
    if random.random() >= strength * 0.5:
        return image
    return np.asarray(cv2.GaussianBlur(image, (3, 3), random.uniform(0.4, 1.2)), np.uint8)


CORRUPTED_MOST = 3
"""Highest severity in training; 4 and 5 are for evaluation."""


def sometimes_corrupt(
    image: BgrImage, random: np.random.Generator, *, names: Sequence[str]
) -> BgrImage:
    """Half of the time applies one of the named corruptions, severity 1 to CORRUPTED_MOST."""
    if not names or random.random() >= 0.5:
        return image
    name = names[int(random.integers(len(names)))]
    severity = int(random.integers(1, CORRUPTED_MOST + 1))
    return corrupt(image, name, severity, seed=int(random.integers(1 << 31)))
