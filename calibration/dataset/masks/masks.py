"""Reads label masks: 8-bit PNG files that hold a label id for every pixel of a picture.

In: the file of a mask. Out: ids (H, W) uint8, or the rows of a model's labels. Grey files hold the
id itself, files with a palette the row of their palette (as Pascal VOC's). Colours are never
interpreted as labels.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import IGNORED
from calibration.dataset.records.record import Mask
from calibration.dataset.storage.storage import Storage
from edge.perception.pictures.decode import checked_header
from edge.perception.pictures.header import UnreadablePicture
from firmware_bridge.errors import Missing, NotTrusted, UsageError

Ids = NDArray[np.uint8]

GREY, PALETTE = 0, 3
"""PNG colour types that can hold ids (PNG specification, table 11.1)."""

KINDS = {0: "grey", 2: "colour", 3: "palette", 4: "grey with alpha", 6: "colour with alpha"}


class NoMask(ValueError):
    """The bytes are not a mask; the message says what they are."""


def ids_of(data: bytes) -> Ids:
    """The ids of a mask, (H, W) uint8.

    Raises:
        NoMask: not a whole PNG, or one whose pixels are not 8-bit ids.
    """
    if len(data) < 33 or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise NoMask(f"{len(data)} bytes that are no PNG")
    depth, kind = data[24], data[25]
    if kind not in (GREY, PALETTE) or (kind == GREY and depth != 8):
        raise NoMask(f"a PNG in {depth}-bit {KINDS.get(kind, 'colour of no kind')}, not label ids")
    try:
        checked_header(data)
    except UnreadablePicture as error:
        raise NoMask(str(error)) from error
    try:
        # IMREAD_UNCHANGED does not rotate a grey file by EXIF, so a palette's is not either.
        colour = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        how = cv2.IMREAD_UNCHANGED if kind == GREY else colour
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:  # a header that claims more pixels than OpenCV decodes
        raise NoMask(str(error).strip().splitlines()[0]) from error
    if image is None:
        raise NoMask(f"{len(data)} bytes that are no whole PNG")
    pixels = np.asarray(image, np.uint8)
    return pixels if kind == GREY else _rows_of_palette(pixels, _palette(data))


def _palette(data: bytes) -> NDArray[np.int64]:
    """The palette's rows as numbers: blue + 256 green + 65536 red."""
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind == b"PLTE":
            rows = np.frombuffer(data[at + 8 : at + 8 + size], np.uint8).reshape(-1, 3)
            return np.asarray(rows.astype(np.int64) @ np.array([65536, 256, 1]), np.int64)
        at += size + 12
    raise NoMask("a PNG in palette colours without a palette")


def _rows_of_palette(image: NDArray[np.uint8], palette: NDArray[np.int64]) -> Ids:
    """The palette rows of pixels, found by their colours, because OpenCV decodes to colours."""
    colours = image.astype(np.int64) @ np.array([1, 256, 65536])
    used, where = np.unique(colours, return_inverse=True)
    rows = [np.flatnonzero(palette == colour) for colour in used]
    if any(len(found) != 1 for found in rows):
        raise NoMask("a palette that has a colour of this mask twice")
    return np.array([found[0] for found in rows], np.uint8)[where].reshape(image.shape[:2])


@dataclass(frozen=True)
class ScannedMask:
    """What a mask file holds.

    Attributes:
        ids: the ids that occur, ascending, without 255; empty where it could not be read.
        fault: why it cannot be the mask of its picture; "" where it can.
    """

    sha256: str
    size_bytes: int
    ids: tuple[int, ...]
    fault: str


def scan_mask(
    storage: Storage, mask: Mask, *, width_px: int | None, height_px: int | None
) -> ScannedMask:
    """Reads the mask of a picture of this size (None: the picture could not be read)."""
    try:
        data = storage.read(mask.file)
    except Missing as error:
        return ScannedMask("", 0, (), error.found)
    sha = hashlib.sha256(data).hexdigest()
    try:
        ids = ids_of(data)
    except NoMask as error:
        return ScannedMask(sha, len(data), (), str(error))
    there = tuple(int(one) for one in np.unique(ids) if one != IGNORED)
    strange = [one for one in there if mask.names and one not in dict(mask.names)]
    fault = ""
    if width_px is not None and ids.shape != (height_px, width_px):
        fault = f"{ids.shape[1]} x {ids.shape[0]} for a picture of {width_px} x {height_px}"
    elif strange:
        fault = f"ids without a name: {', '.join(map(str, strange[:10]))}"
    return ScannedMask(sha, len(data), there, fault)


def read_mask(
    storage: Storage,
    mask: Mask,
    rows: dict[str, int],
    *,
    size: tuple[int, int],
    locked_sha256: str | None,
) -> tuple[Ids, str]:
    """The mask as rows of a model's labels, (H, W) uint8, and the sha256 of these rows, as hex.

    Args:
        rows: label -> row. A label of the data set that is not there becomes IGNORED.
        size: (width_px, height_px) of the picture.
        locked_sha256: the digest of the file in a lock; None without a lock.

    Raises:
        Missing: it cannot be read.
        NotTrusted: its digest is another one.
        UsageError: it is not a mask of this picture, or has ids that no label has.
    """
    data = storage.read(mask.file)
    sha = hashlib.sha256(data).hexdigest()
    if locked_sha256 is not None and sha != locked_sha256:
        raise NotTrusted(
            f"{mask.file} is not the mask that was locked",
            expected=f"sha256 {locked_sha256}",
            found=f"sha256 {sha}",
            remedy="restore it, or lock the data set again: "
            f"brakepoint data lock {storage.location}",
        )
    try:
        ids = ids_of(data)
    except NoMask as error:
        raise _refused(storage, mask, str(error)) from error
    if ids.shape != (size[1], size[0]):
        found = f"{ids.shape[1]} x {ids.shape[0]} for a picture of {size[0]} x {size[1]}"
        raise _refused(storage, mask, found)
    row_of = np.full(256, -1, np.int16)
    row_of[IGNORED] = IGNORED
    for number, label in mask.names or ((int(word), word) for word in rows if word.isdecimal()):
        row_of[number] = rows.get(label, IGNORED)
    found_rows = row_of[ids]
    if (found_rows < 0).any():
        strange = np.unique(ids[found_rows < 0])[:10].tolist()
        raise _refused(storage, mask, f"ids that stand for nothing: {', '.join(map(str, strange))}")
    true = found_rows.astype(np.uint8)
    return true, hashlib.sha256(true.tobytes()).hexdigest()


def _refused(storage: Storage, mask: Mask, found: str) -> UsageError:
    return UsageError(
        f"{mask.file} in {storage.location} cannot be used as a mask",
        expected="an 8-bit PNG of label ids, as large as its picture; ids as class_names.csv names "
        f"them, or else rows of the model's labels; {IGNORED} where nobody knows",
        found=found,
        remedy=f"correct it; all findings: brakepoint data check {storage.location}",
    )
