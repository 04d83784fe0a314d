"""Paints weather and camera effects over a picture: rain, flakes, a low sun and its veil, blur,
exposure, grain.

In: a picture (H, W, 3) uint8 BGR and its air. Out: the picture as the camera delivers it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air, Colour
from edge.scenes.painting.brush import Brush
from edge.scenes.world import CAMERA_HEIGHT_M, Camera

_MARGIN_PX = 128
_GRAIN = {"day": 5.0, "glare": 4.0, "dusk": 7.0, "night": 11.0, "tunnel": 8.0}
"""Standard deviation of the camera's noise by light: the sensor's gain rises as light falls."""
VEIL = 150.0
"""Grey levels that a low sun adds at its own place."""


def precipitation(image: BgrImage, air: Air, *, random: np.random.Generator) -> None:
    """Streaks of rain or flakes of snow. None in a tunnel."""
    height, width = image.shape[:2]
    variant, left, top = (int(value) for value in random.integers(0, (3, _MARGIN_PX, _MARGIN_PX)))
    if air.conditions.light == "tunnel" or air.conditions.weather not in ("rain", "snow"):
        return
    bright = max(air.airlight) / 255.0
    if air.conditions.weather == "rain":
        tile = _streaks(variant, width, height)[top : top + height, left : left + width]
        cv2.add(image, cv2.merge([cv2.convertScaleAbs(tile, alpha=bright)] * 3), dst=image)
    else:
        tile = _flakes(variant, width, height)[top : top + height, left : left + width]
        lit = min(1.0, bright * 1.15)
        cv2.max(image, cv2.merge([cv2.convertScaleAbs(tile, alpha=lit)] * 3), dst=image)


@lru_cache(maxsize=6)
def _streaks(variant: int, width: int, height: int) -> NDArray[np.uint8]:
    """Rain in one exposure: thin slanted lines."""
    random = np.random.default_rng([variant, 0xA1])
    tile = np.zeros((height + _MARGIN_PX, width + _MARGIN_PX), np.uint8)
    count = tile.size // 1400
    slant = float(random.uniform(-0.25, 0.25))
    for x, y, long, lit in random.random((count, 4)):
        start = (int(x * tile.shape[1]), int(y * tile.shape[0]))
        run = int((0.02 + 0.05 * long) * height)
        end = (start[0] + int(slant * run), start[1] + run)
        cv2.line(tile, start, end, int(18 + 44 * lit), 1, cv2.LINE_AA)
    return tile


@lru_cache(maxsize=6)
def _flakes(variant: int, width: int, height: int) -> NDArray[np.uint8]:
    """Flakes near and far: many small ones, some large and soft."""
    random = np.random.default_rng([variant, 0xF1])
    tile = np.zeros((height + _MARGIN_PX, width + _MARGIN_PX), np.uint8)
    for count, radius in ((tile.size // 700, 0.004), (tile.size // 5000, 0.009)):
        for x, y, lit in random.random((count, 3)):
            centre = (int(x * tile.shape[1] * 16), int(y * tile.shape[0] * 16))
            size = max(6, int(radius * height * 16 * (0.4 + 0.6 * lit)))
            cv2.circle(tile, centre, size, int(200 + 50 * lit), -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(tile, (3, 3), 0), np.uint8)


@dataclass(frozen=True)
class Glare:
    """A low sun ahead.

    Attributes:
        place_px: its place in the picture.
        veil: (H, W) uint8, the light that it adds to every pixel by scatter in lens and windscreen.
    """

    place_px: tuple[float, float]
    veil: NDArray[np.uint8]


def glare_of(air: Air, *, look: np.random.Generator, width: int, height: int) -> Glare | None:
    """The low sun of these conditions, or None where there is none."""
    across, up = float(look.uniform(0.2, 0.8)), float(look.uniform(0.12, 0.36))
    if air.conditions.light != "glare":
        return None
    strength = VEIL if air.conditions.weather in ("clear", "snow") else 0.75 * VEIL
    y, x = np.mgrid[0:36, 0:60].astype(np.float32)
    away = np.hypot((x / 59.0 - across) * 1.6, y / 35.0 - up)
    small = (strength * np.exp(-((away / 0.26) ** 1.1))).astype(np.uint8)
    veil = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return Glare((across * width, up * height), np.asarray(veil, np.uint8))


def paint_sun(image: BgrImage, camera: Camera, air: Air, glare: Glare | None) -> None:
    """The sun's disc in the sky; objects in front of it are painted later."""
    if glare is None:
        return
    brush = Brush(image, camera, air, x_m=0.0, z_m=100.0)
    thick = air.conditions.weather in ("rain", "fog", "snow")
    x = (glare.place_px[0] - camera.width_px / 2.0) / brush.px_per_m
    high = CAMERA_HEIGHT_M + (camera.horizon_px - glare.place_px[1]) / brush.px_per_m
    bright: Colour = (120, 120, 120) if thick else (235, 250, 255)
    brush.glow(x, high, 0.11 * camera.height_px / brush.px_per_m, bright)
    if not thick:
        brush.round(glare.place_px, 0.025 * camera.height_px / brush.px_per_m, (250, 255, 255))


def expose(
    image: BgrImage,
    air: Air,
    *,
    soft: bool,
    glare: Glare | None,
    random: np.random.Generator,
) -> BgrImage:
    """The picture as the camera delivers it: with veil, exposure and grain, and slightly blurred
    where `soft`."""
    height, width = image.shape[:2]
    left, top = (int(value) for value in random.integers(0, _MARGIN_PX, 2))
    if glare is not None:
        veil = glare.veil
        warm = cv2.merge(
            [cv2.convertScaleAbs(veil, alpha=0.86), cv2.convertScaleAbs(veil, alpha=0.96), veil]
        )
        cv2.add(image, warm, dst=image)
    if soft:
        image = np.asarray(cv2.GaussianBlur(image, (3, 3), 0), np.uint8)
    grain = _noise(width, height)[top : top + height, left : left + width]
    share = _GRAIN[air.conditions.light or "day"] / 32.0
    return np.asarray(cv2.addWeighted(image, air.exposure, grain, share, -128.0 * share), np.uint8)


@lru_cache(maxsize=4)
def _noise(width: int, height: int) -> NDArray[np.uint8]:
    """Normal noise around 128 with a standard deviation of 32, larger than a picture."""
    random = np.random.default_rng(0x9015E)
    size = (height + _MARGIN_PX, width + _MARGIN_PX, 3)
    return np.clip(random.normal(128.0, 32.0, size), 0.0, 255.0).astype(np.uint8)
