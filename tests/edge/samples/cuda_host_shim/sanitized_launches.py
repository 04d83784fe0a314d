"""Launches the sanitized kernels on buffers of exactly the size that each launch declares.

A child process with libasan preloaded, with the arguments LIBRARY LAUNCHES MISSING_BYTES.
Sizes, strides, formats and ways of fitting are drawn from a fixed seed; a read or write outside a
buffer ends the process with the sanitizer's report.
"""

from __future__ import annotations

import ctypes
import random
import sys
from pathlib import Path

from cuda_host_shim import HostKernels
from edge.backends.cuda.preprocess_kernel import PictureLayout, kernel_launch, packed_layout
from edge.perception.pixel_formats import FORMATS
from edge.perception.preprocess import PreprocessSpec


def drawn_spec(draw: random.Random) -> PreprocessSpec:
    """Any way of fitting into a small input."""
    return PreprocessSpec(
        width_px=draw.randint(1, 40),
        height_px=draw.randint(1, 40),
        fit=draw.choice(("letterbox", "stretch")),
        anchor=draw.choice(("top_left", "center")),
        pad_value=draw.randint(0, 255),
        color=draw.choice(("bgr", "rgb")),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def drawn_layout(draw: random.Random) -> PictureLayout:
    """Any format and size, with or without gaps between rows and planes."""
    pixel_format = draw.choice(tuple(FORMATS))
    rule = FORMATS[pixel_format]
    width, height = rule.across * draw.randint(1, 40), rule.down * draw.randint(1, 40)
    if draw.random() < 0.5:
        return packed_layout(pixel_format, width, height)
    stride = width * rule.pixel_bytes + draw.randint(0, 9)
    if pixel_format != "nv12":
        return PictureLayout(pixel_format, width, height, stride)
    chroma_stride = width + draw.randint(0, 9)
    offset = height * stride + draw.randint(0, 9)
    return PictureLayout("nv12", width, height, stride, chroma_stride, offset)


def main(library: str, launches: int, missing_bytes: int) -> None:
    """Draws and launches; ends normally where every access was inside its buffer."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    kernels, draw = HostKernels(Path(library)), random.Random(44)
    for _ in range(launches):
        launch = kernel_launch(drawn_spec(draw), drawn_layout(draw))
        picture = libc.malloc(launch.picture_bytes - missing_bytes)
        found = libc.malloc(launch.input_bytes)
        kernels.launch(launch.entry, launch.grid, launch.block, (picture, found), launch.params)
        libc.free(picture)
        libc.free(found)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
