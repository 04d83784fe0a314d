"""Pictures in the formats that cameras deliver: their arrays, the sizes they allow, as BGR.

One table. `Picture` holds the camera's own bytes; `to_bgr` converts them by OpenCV, which defines
what the preprocess kernel computes. Never copies a picture that is BGR already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.perception.opencv import import_opencv
from firmware_bridge.errors import UsageError

PixelFormat = Literal["bgr", "nv12", "yuyv"]


@dataclass(frozen=True)
class FormatRule:
    """One format, as OpenCV lays it out in an array.

    Attributes:
        shape: of the array behind its rows and columns.
        rows: of the array for each two rows of the picture.
        across, down: the picture's width and height are multiples of these.
        conversion: OpenCV's name of the conversion to BGR; None where there is none to do. BT.601,
            luma 16..235 and chroma 16..240; each pair of pixels has the chroma it is stored with.
        layout: in words.
    """

    shape: tuple[int, ...]
    rows: int
    across: int
    down: int
    conversion: str | None
    layout: str

    @property
    def pixel_bytes(self) -> int:
        """Bytes in a row of the array for each pixel of the picture's width."""
        return self.shape[0] if self.shape else 1


FORMATS: dict[PixelFormat, FormatRule] = {
    "bgr": FormatRule((3,), 2, 1, 1, None, "(H, W, 3): blue, green, red"),
    "nv12": FormatRule(
        (), 3, 2, 2, "COLOR_YUV2BGR_NV12", "(H * 3 / 2, W): Y, then rows of U and V pairs"
    ),
    "yuyv": FormatRule((2,), 2, 2, 1, "COLOR_YUV2BGR_YUYV", "(H, W, 2): Y U, Y V"),
}


@dataclass(frozen=True)
class Picture:
    """A picture in a camera's own format.

    Attributes:
        data: uint8 of the shape that FORMATS states. Rows may lie apart, but have no gaps within.
        pixel_format: a row of FORMATS.

    Raises:
        UsageError: the array is no picture of this format.
    """

    data: NDArray[np.uint8]
    pixel_format: PixelFormat = "bgr"

    def __post_init__(self) -> None:
        rule, data = FORMATS[self.pixel_format], self.data
        if (
            data.dtype != np.uint8
            or data.ndim < 2
            or data.shape[2:] != rule.shape
            or data.shape[0] * 2 % rule.rows
            or not data[:1].flags.c_contiguous
            or self.row_stride_bytes < data.shape[1] * rule.pixel_bytes
        ):
            raise UsageError(
                f"this array is no {self.pixel_format} picture",
                expected=f"uint8 {rule.layout}, rows without gaps",
                found=f"{data.dtype} {data.shape}, strides {data.strides}",
                remedy="name the format that the camera delivers",
            )
        check_size(self.pixel_format, self.width_px, self.height_px)

    @property
    def width_px(self) -> int:
        """Columns of the picture."""
        return int(self.data.shape[1])

    @property
    def height_px(self) -> int:
        """Rows of the picture."""
        return int(self.data.shape[0]) * 2 // FORMATS[self.pixel_format].rows

    @property
    def row_stride_bytes(self) -> int:
        """Bytes from one row to the next; of the only row, its size."""
        return self.data.strides[0] if self.data.shape[0] > 1 else self.data.nbytes


def check_size(pixel_format: PixelFormat, width_px: int, height_px: int) -> None:
    """Refuses a size that the format does not have.

    Raises:
        UsageError: no pixels, or an odd side where two pixels share their chroma.
    """
    rule = FORMATS[pixel_format]
    if width_px < 1 or height_px < 1 or width_px % rule.across or height_px % rule.down:
        raise UsageError(
            f"no {pixel_format} picture is {width_px} x {height_px}",
            expected=f"a width that {rule.across} divides and a height that {rule.down} divides",
            found=f"{width_px} x {height_px}",
            remedy="set a size of the camera that its format allows, or another format",
        )


def to_bgr(picture: Picture) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) uint8 BGR; the same array where it is BGR already."""
    name = FORMATS[picture.pixel_format].conversion
    if name is None:
        return picture.data
    cv2 = import_opencv("pictures")
    return np.asarray(cv2.cvtColor(picture.data, getattr(cv2, name)), np.uint8)
