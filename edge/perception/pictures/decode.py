"""Decodes the bytes of a picture file to pixels, (H, W, 3) uint8 BGR.

The one reader of `run`, `data`, `calibrate`, `evaluate` and training, so that all see the same
pixels. Refuses damaged files that a decoder would fill up silently and, before it decodes them,
pictures that are too large. Applies EXIF's orientation; boxes are in the rotated picture. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.install import pip_install
from edge.perception.opencv import import_opencv
from edge.perception.pictures.header import PictureHeader, UnreadablePicture, header_of
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing

MAX_PIXELS = 1 << 26
"""Pixels of a picture or a video's frame at most (8192 x 8192): a file of 1 MB may claim 800
million. Four of these at once, as `data check` reads them, take 0.8 GB as pixels."""

SAMPLE_BITS = (8, 10, 12, 14, 16)
"""Depths of camera sensors. Where a 16-bit file names no depth, it is the least of these that holds
the picture's largest value: 12 bits read as 16 would give a black picture."""

PADDING_BYTES = 16
"""A JPEG decoder warns of unused bytes before a marker. Cameras pad by a few; a damaged picture
leaves many."""

_UNUSED = re.compile(r"(\d+) extraneous bytes before marker")


@dataclass(frozen=True)
class Picture:
    """Attributes:
    image: (H, W, 3) uint8 BGR, after applying the orientation.
    orientation: EXIF's; 1 where the picture is as stored.
    bits: used bits of a stored sample.
    """

    image: BgrImage
    orientation: int
    bits: int


def decode_image(data: bytes) -> BgrImage:
    """The picture, (H, W, 3) uint8 BGR. Raises as `read_picture` does."""
    return read_picture(data).image


def read_picture(data: bytes) -> Picture:
    """The picture in a file's bytes; the content decides the format.

    Raises:
        UnreadablePicture: empty, truncated, damaged, no picture, or of more than MAX_PIXELS.
        Missing: a package that reads pictures is not installed.
    """
    cv2 = import_opencv("pictures")
    header = checked_header(data)
    how = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if header.bits != 8:
        how = cv2.IMREAD_UNCHANGED
    try:
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise UnreadablePicture(str(error).strip().splitlines()[0]) from error
    if stored is None:
        raise UnreadablePicture(f"{len(data)} bytes that are no whole {header.format}")
    image, bits = _eight_bits(cv2, np.asarray(stored), header)
    if header.format != "TIFF":  # OpenCV always applies the orientation of TIFF files itself
        image = _apply_orientation(cv2, image, header.orientation)
    return Picture(image, header.orientation, bits)


def checked_header(data: bytes) -> PictureHeader:
    """The header of a file that passes the checks before decoding: size, checksums (PNG), the
    decoder's warnings (JPEG). Raises as `read_picture` does."""
    header = header_of(data)
    if header.width_px * header.height_px > MAX_PIXELS:
        raise UnreadablePicture(too_large(header.width_px, header.height_px))
    if header.format == "JPEG":
        _require_whole_jpeg(data)
    return header


def too_large(width_px: int, height_px: int) -> str:
    """Why a size is refused."""
    return (
        f"{width_px} x {height_px} pixels, over the {MAX_PIXELS} that a picture may have: make it "
        "smaller"
    )


def _require_whole_jpeg(data: bytes) -> None:
    """Refuse a file of which libjpeg warns: OpenCV silently paints missing parts grey.

    Decoded at an eighth of the size, where the warnings are the same and the work is small.
    """
    try:
        import simplejpeg
    except ImportError as error:
        raise Missing(
            "JPEG pictures need simplejpeg, which tells whether one is damaged",
            expected="the package simplejpeg",
            found=str(error),
            remedy=f"{pip_install('camera')}; or simplejpeg alone beside a Jetson's OpenCV",
        ) from error
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        text = str(error)
        unused = _UNUSED.search(text)
        if unused is None or int(unused.group(1)) > PADDING_BYTES:
            raise UnreadablePicture(f"damaged: {text}") from error


def _eight_bits(
    cv2: Any, stored: NDArray[Any], header: PictureHeader
) -> tuple[NDArray[np.uint8], int]:
    """(H, W, 3) uint8 BGR and the bits that a sample used."""
    if stored.dtype not in (np.uint8, np.uint16):
        raise UnreadablePicture(f"samples of {stored.dtype}, neither 8 nor 16 bits")
    bits = header.bits
    if stored.dtype == np.uint16:
        if bits is None:
            largest = int(stored.max()).bit_length()
            bits = next(depth for depth in SAMPLE_BITS if depth >= largest)
        stored = np.minimum(stored >> max(0, bits - 8), 255).astype(np.uint8)
    if stored.ndim == 2:
        stored = cv2.cvtColor(stored, cv2.COLOR_GRAY2BGR)
    elif stored.shape[2] == 4:
        stored = stored[:, :, :3]
    return np.ascontiguousarray(stored, np.uint8), 8 if bits is None else bits


def _apply_orientation(cv2: Any, image: NDArray[np.uint8], orientation: int) -> BgrImage:
    """Rotate and flip by EXIF's orientation, the place of the stored first row and column."""
    turns = {
        2: lambda: cv2.flip(image, 1),
        3: lambda: cv2.rotate(image, cv2.ROTATE_180),
        4: lambda: cv2.flip(image, 0),
        5: lambda: cv2.transpose(image),
        6: lambda: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
        7: lambda: cv2.flip(cv2.transpose(image), -1),
        8: lambda: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
    }
    return np.asarray(turns[orientation]() if orientation in turns else image, np.uint8)
