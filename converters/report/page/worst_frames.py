"""The worst frames as small JPEG pictures for the page, without boxes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from edge.perception.values import BgrImage

SIZES = ((800, 82), (800, 65), (640, 50), (480, 40), (320, 30))
"""Widest in pixels and JPEG quality, tried in turn until the picture is small enough."""
MOST_BYTES = 120_000
"""Twelve pictures of this size keep the page well under 3 MB, whatever the road looks like."""


@dataclass(frozen=True)
class Picture:
    """A frame made small.

    Attributes:
        jpeg: the bytes, in base64.
        width_px, height_px: of the frame itself, in whose pixels boxes are.
    """

    jpeg: str
    width_px: int
    height_px: int


def pictures_of(frames: Iterable[RoadFrame], names: set[str]) -> Mapping[str, Picture]:
    """The frames of these names, by name."""
    return {frame.name: small(frame.read()) for frame in frames if frame.name in names}


def small(image: BgrImage) -> Picture:
    """A frame (H, W, 3) uint8 BGR as a JPEG of at most MOST_BYTES, or the smallest of SIZES."""
    height, width = image.shape[:2]
    data = b""
    for widest_px, quality in SIZES:
        scale = min(1.0, widest_px / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        _, coded = cv2.imencode(".jpg", shrunk, [cv2.IMWRITE_JPEG_QUALITY, quality])
        data = np.asarray(coded).tobytes()
        if len(data) <= MOST_BYTES:
            break
    return Picture(base64.b64encode(data).decode("ascii"), width, height)
