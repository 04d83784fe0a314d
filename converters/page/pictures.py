"""The worst frames as small JPEG pictures for the page. Draws nothing: boxes are the page's."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.dataset.frames import RoadFrame
from edge.contract.perception import BgrImage

WIDEST_PX = 800
QUALITY = 82


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
    """A frame (H, W, 3) uint8 BGR at most WIDEST_PX wide."""
    height, width = image.shape[:2]
    scale = min(1.0, WIDEST_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", shrunk, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Picture(base64.b64encode(np.asarray(data).tobytes()).decode("ascii"), width, height)
