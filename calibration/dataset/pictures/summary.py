"""Summarizes a picture: size, descriptors, and a hash and thumbnail to find near duplicates by.

In: a picture. Out: a `PictureSummary`, of some hundred bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from calibration.dataset.pictures.blank import Emptiness, emptiness
from calibration.dataset.pictures.descriptors import Descriptors, describe
from edge.perception.values import BgrImage

THUMB_PX = 16


@dataclass(frozen=True)
class PictureSummary:
    """What is remembered of a picture.

    Attributes:
        measured: see `Descriptors`.
        gradient_hash: 64 bits, whether luma rises from each cell of a 9 x 8 grid to its right
            neighbour ("dHash", N. Krawetz, "Kind of Like That", 2013).
        thumb: THUMB_PX x THUMB_PX luma uint8, row by row, to confirm what the hash proposes.
        empty: why it shows nothing; None where it shows something.
    """

    width_px: int
    height_px: int
    measured: Descriptors
    gradient_hash: int
    thumb: bytes
    empty: Emptiness | None


def summarize(image: BgrImage) -> PictureSummary:
    """The summary of a picture, (H, W, 3) uint8 BGR."""
    luma = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    grid = cv2.resize(luma, (9, 8), interpolation=cv2.INTER_AREA)
    rises = np.packbits(grid[:, 1:] > grid[:, :-1])
    return PictureSummary(
        width_px=image.shape[1],
        height_px=image.shape[0],
        measured=describe(image),
        gradient_hash=int.from_bytes(rises.tobytes(), "big"),
        thumb=cv2.resize(luma, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA).tobytes(),
        empty=emptiness(image),
    )
