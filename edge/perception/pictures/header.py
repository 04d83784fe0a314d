"""Reads the header of a picture file: format, size, orientation and bits of a sample.

Bytes of a JPEG, PNG, BMP, PPM, WebP or TIFF file go in; a `PictureHeader` comes out, so that the
size is known before decoding. Pure; never trusts a file's name.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "BMP", "PPM", "WebP", "TIFF"]

ORIENTATIONS = range(1, 9)
"""Values of EXIF's Orientation (CIPA DC-008, tag 274): 1 is as stored."""


class UnreadablePicture(ValueError):
    """The bytes are not a whole picture; the text says what they are."""


@dataclass(frozen=True)
class PictureHeader:
    """Attributes:
    width_px, height_px: as stored, before applying the orientation.
    orientation: EXIF's, 1 where the file has none that can be read.
    bits: of a stored sample; None where a 16-bit sample may use fewer and the file does not say.
    """

    format: Format
    width_px: int
    height_px: int
    orientation: int = 1
    bits: int | None = 8


def header_of(data: bytes) -> PictureHeader:
    """The header of a file's bytes.

    Raises:
        UnreadablePicture: empty, of another format, cut short within the header, or a PNG whose
            checksums do not hold.
    """
    if not data:
        raise UnreadablePicture("an empty file")
    for start, reader in _READERS:
        if re.match(start, data, re.DOTALL):
            try:
                found = reader(data)
            except (struct.error, IndexError, ValueError) as error:
                if isinstance(error, UnreadablePicture):
                    raise
                raise UnreadablePicture(
                    f"{len(data)} bytes that end in the middle of the header"
                ) from error
            if found.width_px <= 0 or found.height_px <= 0:
                raise UnreadablePicture("a picture without pixels")
            return found
    raise UnreadablePicture(f"{len(data)} bytes that are no picture")


def _jpeg(data: bytes) -> PictureHeader:
    """ISO/IEC 10918-1, annex B: marker segments up to the first frame header."""
    at, orientation = 2, 1
    while True:
        while data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1
        marker, at = data[at + 1], at + 2
        if marker in (0xD8, 0x01) or 0xD0 <= marker <= 0xD7:
            continue
        if marker == 0xD9:
            raise UnreadablePicture("a JPEG without a picture")
        (length,) = struct.unpack(">H", data[at : at + 2])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width = struct.unpack(">BHH", data[at + 2 : at + 7])
            return PictureHeader("JPEG", width, height, orientation, bits)
        segment = data[at + 2 : at + length]
        if marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            orientation = _orientation(segment[6:])
        at += length


def _png(data: bytes) -> PictureHeader:
    """PNG specification, 5: every chunk carries a CRC, and IEND comes last."""
    if data[12:16] != b"IHDR":
        raise UnreadablePicture("a PNG without its header")
    width, height, depth = struct.unpack(">IIB", data[16:25])
    bits: int | None = None if depth == 16 else 8
    at, orientation = 8, 1
    while True:
        if at + 12 > len(data):
            raise UnreadablePicture(f"{len(data)} bytes that end in the middle of the picture")
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if at + 12 + length > len(data):
            raise UnreadablePicture(f"{len(data)} bytes that end in the middle of the picture")
        content = memoryview(data)[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if zlib.crc32(content, zlib.crc32(kind)) != checksum:
            raise UnreadablePicture(f"damaged: the checksum of its part at byte {at} does not hold")
        if kind == b"IEND":
            return PictureHeader("PNG", width, height, orientation, bits)
        if kind == b"eXIf":
            orientation = _orientation(bytes(content))
        if kind == b"sBIT" and depth == 16 and length:
            bits = max(content)
        at += 12 + length


def _bmp(data: bytes) -> PictureHeader:
    (size,) = struct.unpack("<I", data[14:18])
    if size == 12:
        width, height = struct.unpack("<HH", data[18:22])
    else:
        width, height = struct.unpack("<ii", data[18:26])
    return PictureHeader("BMP", width, abs(height))


def _ppm(data: bytes) -> PictureHeader:
    """Netpbm: words between white space, "#" begins a comment."""
    words = re.sub(rb"#[^\n]*", b" ", data[:4096]).split(maxsplit=4)
    most = 1 if words[0] in (b"P1", b"P4") else int(words[3])
    return PictureHeader("PPM", int(words[1]), int(words[2]), bits=max(8, most.bit_length()))


def _webp(data: bytes) -> PictureHeader:
    """RFC 9649: the first chunk has the size, a chunk EXIF the orientation."""
    (stated,) = struct.unpack("<I", data[4:8])
    if stated + 8 > len(data):
        raise UnreadablePicture(f"{len(data)} bytes that end in the middle of the picture")
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        (packed,) = struct.unpack("<I", data[21:25])
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    at, orientation = 12, 1
    while at + 8 <= len(data):
        chunk, length = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        if chunk == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return PictureHeader("WebP", width, height, orientation)


def _tiff(data: bytes) -> PictureHeader:
    tags = _first_directory(data)
    if 256 not in tags or 257 not in tags:
        raise UnreadablePicture("a TIFF without a size")
    bits = None if tags.get(258, 1) > 8 else 8
    return PictureHeader("TIFF", tags[256], tags[257], _in_range(tags.get(274, 1)), bits)


def _orientation(exif: bytes) -> int:
    """Tag 274 of the first directory; 1 where it is absent, out of range or cannot be read."""
    try:
        found = _first_directory(exif).get(274, 1)
    except (struct.error, IndexError, UnreadablePicture):
        return 1
    return _in_range(found)


def _in_range(orientation: int) -> int:
    return orientation if orientation in ORIENTATIONS else 1


def _first_directory(data: bytes) -> dict[int, int]:
    """Tag -> first value, of short and long entries (TIFF 6.0, section 2)."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise UnreadablePicture("no TIFF directory")
    (at,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[at : at + 2])
    tags = {}
    for row in range(count):
        start = at + 2 + 12 * row
        tag, kind, number = struct.unpack(order + "HHI", data[start : start + 8])
        size, form = {3: (2, "H"), 4: (4, "I")}.get(kind, (0, ""))
        if not size or not number:
            continue
        where = start + 8
        if size * number > 4:
            (where,) = struct.unpack(order + "I", data[where : where + 4])
        (tags[tag],) = struct.unpack(order + form, data[where : where + size])
    return tags


_READERS: tuple[tuple[bytes, Callable[[bytes], PictureHeader]], ...] = (
    (rb"\xff\xd8\xff", _jpeg),
    (rb"\x89PNG\r\n\x1a\n", _png),
    (rb"BM", _bmp),
    (rb"P[1-6]\s", _ppm),
    (rb"RIFF....WEBP", _webp),
    (rb"II\*\0|MM\0\*", _tiff),
)
"""The first bytes of each format and the reader of its header."""
