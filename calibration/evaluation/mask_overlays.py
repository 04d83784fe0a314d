"""Renders label masks as small PNG pictures: as labels, to store, or in colours, over a frame."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from calibration.dataset.masks.masks import Ids
from edge.perception.label_colors import label_colors

WIDEST_PX = 640
"""Longer side of a stored mask, which has a few kilobytes then."""

OPAQUE = 150
"""Of 255: the frame shows through."""


def small_mask(mask: Ids) -> bytes:
    """A mask (H, W) uint8 as a grey PNG, at most WIDEST_PX wide and high, without mixing labels."""
    scale = min(1.0, WIDEST_PX / max(mask.shape))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    shrunk = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    _, data = cv2.imencode(".png", shrunk)
    return data.tobytes()


def overlay(png: bytes, count: int) -> str:
    """A PNG of `small_mask` in the colours of `count` labels, as a base64 PNG; other pixels are
    transparent."""
    mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    colours = np.zeros((256, 4), np.uint8)
    colours[:count, :3] = label_colors(count)
    colours[:count, 3] = OPAQUE
    _, data = cv2.imencode(".png", colours[mask])
    return base64.b64encode(data.tobytes()).decode()


def colour_words(count: int) -> list[str]:
    """Each label's colour as CSS has it."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for blue, green, red in label_colors(count).tolist()]
