"""Measures brightness, contrast, blur and haze of a picture, and guesses conditions from them.

In: a picture. Out: `Descriptors`, and `Conditions` where the numbers are clear. A guess never
overwrites what metadata says.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage

SIDE_PX = 640
"""Pictures are measured at most this large (longer side), so that cameras compare."""

SMALLEST_PX = 160
"""Below this longer side nothing is guessed: a crop shows an object, not its weather."""

PATCH_PX = 15
"""Patch of the dark channel. Source: He, Sun & Tang, "Single Image Haze Removal Using Dark Channel
Prior", CVPR 2009, section 3."""

FOG_HAZE = 0.38
"""From this haze on the guess is fog. Below there is none: haze does not tell clear air, clouds,
rain and snow apart. docs/data.md says how often the guess is right."""

NIGHT_BRIGHTNESS = 45.0
"""Below this mean luma the guess is night, else day; dusk, tunnel and glare are not guessed."""


@dataclass(frozen=True)
class Descriptors:
    """Measured at SIDE_PX.

    Attributes:
        brightness: mean luma (BT.601), 0..255.
        contrast: root mean square contrast, the standard deviation of luma, 0..127.5.
        blur: variance of the Laplacian of luma; low is blurred (Pech-Pacheco et al. 2000).
        haze: mean of the dark channel in the middle third of the rows, around the horizon, where
            the air is deepest, 0..1; near 0 where it is clear (He et al. 2009).
    """

    brightness: float
    contrast: float
    blur: float
    haze: float


def describe(image: BgrImage) -> Descriptors:
    """Descriptors of a picture, (H, W, 3) uint8 BGR, rounded for reading."""
    small = shrink(image, SIDE_PX)
    luma = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    mean, deviation = cv2.meanStdDev(luma)
    _, edges = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_64F))
    patch = np.ones((min(PATCH_PX, *small.shape[:2]),) * 2, np.uint8)
    blue, green, red = cv2.split(small)
    dark = np.asarray(cv2.erode(cv2.min(cv2.min(blue, green), red), patch), np.uint8)
    third = len(dark) // 3
    return Descriptors(
        brightness=round(float(mean[0, 0]), 1),
        contrast=round(float(deviation[0, 0]), 1),
        blur=round(float(edges[0, 0]) ** 2, 1),
        haze=round(float(dark[third : len(dark) - third].mean()) / 255.0, 3),
    )


def shrink(image: BgrImage, side_px: int) -> BgrImage:
    """The picture with its longer side at most `side_px`; never enlarged."""
    height, width = image.shape[:2]
    if max(height, width) <= side_px:
        return image
    scale = side_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def guess_conditions(measured: Descriptors, *, width_px: int, height_px: int) -> Conditions:
    """The conditions that descriptors suggest; None on an axis without a guess."""
    if max(width_px, height_px) < SMALLEST_PX:
        return Conditions()
    return Conditions(
        weather="fog" if measured.haze >= FOG_HAZE else None,
        light="night" if measured.brightness < NIGHT_BRIGHTNESS else "day",
    )
