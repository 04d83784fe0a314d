"""A small sample of a camera picture, on which every check of pictures works.

A `Picture` in any format goes in; a `Sample` comes out. Reads a fixed share of the picture, never
all of it, and never converts more than it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.pixel_formats import Picture, to_bgr

COLUMNS = 160
"""About so many columns are kept. Details of a picture smaller than a hundred-sixtieth of its width
are judged on `lines` only."""

LINES = 24
"""About so many whole rows are kept, from the middle third of the picture."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """What is kept of one picture.

    Attributes:
        size_px: width and height of the picture.
        luma: (H, about COLUMNS) uint8: every row, columns at equal distances. Of a BGR picture the
            green channel.
        colour: (about COLUMNS * H / W, about COLUMNS, 3) uint8, BGR, at equal distances.
        lines: (about LINES, W) uint8: whole rows of luma.
    """

    size_px: tuple[int, int]
    luma: Bytes
    colour: Bytes
    lines: Bytes


def sample(picture: Picture) -> Sample:
    """The sample of a picture. A picture narrower than COLUMNS is kept whole."""
    width, height = picture.width_px, picture.height_px
    step = max(1, width // COLUMNS)
    luma = _luma(picture)
    band = luma[height // 3 : max(height * 2 // 3, height // 3 + 1)]
    return Sample(
        size_px=(width, height),
        luma=np.ascontiguousarray(luma[:, step // 2 :: step]),
        colour=np.ascontiguousarray(_rows_as_bgr(picture, step)[:, step // 2 :: step]),
        lines=np.ascontiguousarray(band[:: max(1, len(band) // LINES)]),
    )


def _luma(picture: Picture) -> Bytes:
    data = picture.data
    if picture.pixel_format == "bgr":
        return data[:, :, 1]
    return data[: picture.height_px] if picture.pixel_format == "nv12" else data[:, :, 0]


def _rows_as_bgr(picture: Picture, step: int) -> Bytes:
    """Every step-th row as BGR. In NV12 two rows share their chroma and are converted together."""
    data, height = picture.data, picture.height_px
    if picture.pixel_format != "nv12":
        return to_bgr(Picture(data[step // 2 :: step], picture.pixel_format))
    pairs = np.arange(step // 2, height, step) // 2
    rows = np.concatenate([np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel(), height + pairs])
    return to_bgr(Picture(data[rows], "nv12"))[::2]
