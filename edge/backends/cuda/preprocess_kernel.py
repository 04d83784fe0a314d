"""What one launch of the preprocess kernel needs: entry point, grid, block and packed params.

A `PreprocessSpec` and the layout of a picture in memory go in; a `KernelLaunch` comes out. The
kernel is one fixed source, `preprocess.cu`; sizes, strides and numbers travel in its params. Never
touches a GPU.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from edge.perception.pixel_formats import FORMATS, Picture, PixelFormat, check_size
from edge.perception.preprocess import PreprocessSpec, fitted_size, input_placement

SOURCE = Path(__file__).with_name("preprocess.cu")

BLOCK = (32, 8, 1)
"""Threads of a block: the 32 of a warp write 128 bytes that lie together."""


class PreprocessParams(ctypes.Structure):
    """The struct of the same name in preprocess.cu, where each field is explained."""

    _fields_ = (
        ("row_stride", ctypes.c_longlong),
        ("chroma_stride", ctypes.c_longlong),
        ("chroma_offset", ctypes.c_longlong),
        ("step_x", ctypes.c_double),
        ("step_y", ctypes.c_double),
        ("picture_width", ctypes.c_int),
        ("picture_height", ctypes.c_int),
        ("input_width", ctypes.c_int),
        ("input_height", ctypes.c_int),
        ("left", ctypes.c_int),
        ("top", ctypes.c_int),
        ("fitted_width", ctypes.c_int),
        ("fitted_height", ctypes.c_int),
        ("rgb", ctypes.c_int),
        ("pad_value", ctypes.c_int),
        ("mean", ctypes.c_float * 3),
        ("std", ctypes.c_float * 3),
    )


@dataclass(frozen=True)
class PictureLayout:
    """How a picture lies in memory from its first byte on.

    Attributes:
        pixel_format, width_px, height_px: of the picture.
        row_stride_bytes: from one row to the next; of luma in NV12.
        chroma_stride_bytes: NV12: from one row of U and V pairs to the next; else 0.
        chroma_offset_bytes: NV12: from the picture's first byte to its first pair; else 0.
    """

    pixel_format: PixelFormat
    width_px: int
    height_px: int
    row_stride_bytes: int
    chroma_stride_bytes: int = 0
    chroma_offset_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes from the picture's first to behind its last: what the kernel may read."""
        row = self.width_px * FORMATS[self.pixel_format].pixel_bytes
        luma = (self.height_px - 1) * self.row_stride_bytes + row
        if self.pixel_format != "nv12":
            return luma
        chroma = (self.height_px // 2 - 1) * self.chroma_stride_bytes + row
        return max(luma, self.chroma_offset_bytes + chroma)


@dataclass(frozen=True)
class KernelLaunch:
    """One launch: `entry(picture address, input address, params)` in `grid` blocks of `block`.

    Attributes:
        params: a packed PreprocessParams, the third argument, by value.
        picture_bytes: what lies at the picture's address, and is read at most.
        input_bytes: what the kernel writes, all of (1, 3, H, W) float32.
    """

    entry: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    params: bytes
    picture_bytes: int
    input_bytes: int


def entry_point(pixel_format: PixelFormat) -> str:
    """The kernel of a pixel format by its name in preprocess.cu."""
    return f"preprocess_{pixel_format}"


def packed_layout(pixel_format: PixelFormat, width_px: int, height_px: int) -> PictureLayout:
    """The layout of a picture whose rows follow each other without gaps.

    Raises:
        UsageError: the format has no picture of this size.
    """
    check_size(pixel_format, width_px, height_px)
    stride = width_px * FORMATS[pixel_format].pixel_bytes
    chroma = (stride, height_px * stride) if pixel_format == "nv12" else (0, 0)
    return PictureLayout(pixel_format, width_px, height_px, stride, *chroma)


def picture_layout(picture: Picture) -> PictureLayout:
    """How the array of a picture lies in memory."""
    stride = picture.row_stride_bytes
    chroma = (stride, picture.height_px * stride) if picture.pixel_format == "nv12" else (0, 0)
    return PictureLayout(picture.pixel_format, picture.width_px, picture.height_px, stride, *chroma)


def kernel_launch(spec: PreprocessSpec, layout: PictureLayout) -> KernelLaunch:
    """The launch that preprocesses pictures of this layout as `preprocess` does."""
    width, height = layout.width_px, layout.height_px
    placement = input_placement(spec, width, height)
    fitted_width, fitted_height = fitted_size(spec, width, height)
    params = PreprocessParams(
        row_stride=layout.row_stride_bytes,
        chroma_stride=layout.chroma_stride_bytes,
        chroma_offset=layout.chroma_offset_bytes,
        # Divided twice, as cv2.resize does: one division may round to another double.
        step_x=1.0 / (fitted_width / width),
        step_y=1.0 / (fitted_height / height),
        picture_width=width,
        picture_height=height,
        input_width=spec.width_px,
        input_height=spec.height_px,
        left=int(placement.offset_x_px),
        top=int(placement.offset_y_px),
        fitted_width=fitted_width,
        fitted_height=fitted_height,
        rgb=spec.color == "rgb",
        pad_value=spec.pad_value,
        mean=spec.mean,
        std=spec.std,
    )
    across, down, _ = BLOCK
    return KernelLaunch(
        entry=entry_point(layout.pixel_format),
        grid=(-(-spec.width_px // across), -(-spec.height_px // down), 1),
        block=BLOCK,
        params=bytes(params),
        picture_bytes=layout.size_bytes,
        input_bytes=4 * 3 * spec.height_px * spec.width_px,
    )
