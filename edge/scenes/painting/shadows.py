"""Paints an actor's shadow on the road, and on a wet road its reflection."""

from __future__ import annotations

import cv2
import numpy as np

from edge.scenes.painting.brush import Brush
from edge.scenes.world import Actor


def paint_shadow(brush: Brush, actor: Actor) -> None:
    """A soft dark patch, so that the actor stands instead of floating. None under a plate."""
    if actor.lift_m > 0.0:
        return
    deep = 0.35 if actor.kind == "pedestrian" else 1.3
    wide = actor.width_m * (0.5 if actor.kind == "pedestrian" else 0.56)
    x1, y1 = brush.place((-wide, 0.0, deep))
    x2, _ = brush.place((wide, 0.0, deep))
    _, y2 = brush.place((0.0, 0.0, -0.25 * min(deep, 0.8)))
    left, top = max(int(x1), 0), max(int(y1), 0)
    right = min(int(x2) + 1, brush.camera.width_px)
    low = min(int(y2) + 2, brush.camera.height_px)
    if right - left < 2 or low - top < 2:
        return
    sunny = brush.air.conditions.weather == "clear" and brush.air.conditions.light in (
        "day",
        "glare",
    )
    dark = 0.62 if sunny else 0.42
    patch = brush.image[top:low, left:right]
    mask = np.zeros(patch.shape, np.uint8)
    centre = (round(((x1 + x2) / 2.0 - left) * 16), round(((y1 + y2) / 2.0 - top) * 16))
    size = (max(8, round((x2 - x1) * 8)), max(8, round((y2 - y1) * 8)))
    grey = round(255 * dark)
    cv2.ellipse(mask, centre, size, 0.0, 0.0, 360.0, (grey, grey, grey), -1, cv2.LINE_AA, 4)
    cv2.multiply(patch, cv2.bitwise_not(mask), dst=patch, scale=1.0 / 255.0)


def paint_reflection(brush: Brush) -> None:
    """The painted actor upside down below its foot, smeared along the line of sight."""
    x1, y1, x2, y2 = (round(float(value)) for value in brush.reach)
    left, right = max(x1, 0), min(x2, brush.camera.width_px)
    tall = min(y2 - max(y1, 0), brush.camera.height_px - y2, y2)
    if right - left < 2 or tall < 4:
        return
    above = brush.image[y2 - tall : y2, left:right][::-1]
    smeared = cv2.blur(np.ascontiguousarray(above), (3, max(3, tall // 6 | 1)))
    fade = np.linspace(110.0, 0.0, tall).astype(np.uint8)
    share = np.repeat(np.repeat(fade[:, None, None], right - left, 1), 3, 2)
    below = brush.image[y2 : y2 + tall, left:right]
    ours = cv2.multiply(smeared, share, scale=1.0 / 255.0)
    rest = cv2.multiply(below, cv2.bitwise_not(share), scale=1.0 / 255.0)
    cv2.add(ours, rest, dst=below)
