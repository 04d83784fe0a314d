"""Pictures from the buffers of a camera's driver.

In: the used bytes of a buffer and their layout. Out: a `Picture`, NV12 and YUYV as they are, others
as BGR; YUV is BT.601 with limited range, as OpenCV reads it. Never a view of the buffer, which the
driver fills again; a buffer with too few bytes is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.opencv import import_opencv
from edge.perception.pictures.decode import decode_image
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.pixel_formats import Picture

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Layout:
    """Attributes:
    code: four characters of the pixel format, a key of BUFFER_FORMATS.
    width, height: in pixels.
    stride: bytes from one row to the next; 0 where it is compressed.
    """

    code: str
    width: int
    height: int
    stride: int


@dataclass(frozen=True)
class BufferFormat:
    """One row.

    Attributes:
        rows: of the buffer for each two rows of the picture; 0 where it is compressed.
        pixel_bytes: in a row of the buffer for each pixel of the picture's width.
        across, down: the picture's width and height are multiples of these.
        read: from the rows, which may lie apart (all bytes where compressed), and the layout.
    """

    rows: int
    pixel_bytes: int
    across: int
    down: int
    read: Callable[[Bytes, Layout], Picture]

    def allows(self, width: int, height: int) -> bool:
        """Whether pictures of this format have such sizes."""
        return width % self.across == 0 and height % self.down == 0


def _bgr(rows: Bytes, layout: Layout) -> Picture:
    return Picture(np.array(rows).reshape(layout.height, layout.width, 3))


def _rgb(rows: Bytes, layout: Layout) -> Picture:
    pixels = rows.reshape(layout.height, layout.width, 3)
    return Picture(np.ascontiguousarray(pixels[:, :, ::-1]))


def _nv12(rows: Bytes, layout: Layout) -> Picture:
    return Picture(np.array(rows), "nv12")


def _yuyv(rows: Bytes, layout: Layout) -> Picture:
    return Picture(np.array(rows).reshape(layout.height, layout.width, 2), "yuyv")


def _converted(name: str, pixel_bytes: int) -> Callable[[Bytes, Layout], Picture]:
    def read(rows: Bytes, layout: Layout) -> Picture:
        cv2 = import_opencv("pictures")
        shape = (layout.height, layout.width, pixel_bytes) if pixel_bytes > 1 else rows.shape
        return Picture(np.asarray(cv2.cvtColor(rows.reshape(shape), getattr(cv2, name)), np.uint8))

    return read


def _jpeg(data: Bytes, layout: Layout) -> Picture:
    return Picture(decode_image(data.tobytes()))


BUFFER_FORMATS: Mapping[str, BufferFormat] = {
    "NV12": BufferFormat(3, 1, 2, 2, _nv12),
    "YUYV": BufferFormat(2, 2, 2, 1, _yuyv),
    "BGR3": BufferFormat(2, 3, 1, 1, _bgr),
    "RGB3": BufferFormat(2, 3, 1, 1, _rgb),
    "NV21": BufferFormat(3, 1, 2, 2, _converted("COLOR_YUV2BGR_NV21", 1)),
    "UYVY": BufferFormat(2, 2, 2, 1, _converted("COLOR_YUV2BGR_UYVY", 2)),
    "GREY": BufferFormat(2, 1, 1, 1, _converted("COLOR_GRAY2BGR", 1)),
    "MJPG": BufferFormat(0, 0, 1, 1, _jpeg),
    "JPEG": BufferFormat(0, 0, 1, 1, _jpeg),
}
"""Code in linux/videodev2.h -> row, in the order of trial: what costs least first. Over USB 2 most
cameras reach their larger sizes at full rate only compressed."""


def read_buffer(data: Bytes, layout: Layout) -> Picture:
    """The picture in a buffer's used bytes.

    Raises:
        UnreadablePicture: too few bytes, or a damaged JPEG.
    """
    row = BUFFER_FORMATS[layout.code]
    if row.rows == 0:
        return row.read(data, layout)
    count, width = layout.height * row.rows // 2, layout.width * row.pixel_bytes
    # Behind the last row there may be no padding.
    needed = (count - 1) * layout.stride + width
    if data.size < needed:
        raise UnreadablePicture(f"{data.size} of {needed} bytes")
    rows = np.lib.stride_tricks.as_strided(data, (count, width), (layout.stride, 1))
    return row.read(rows, layout)
