"""Bytes of a picture file to pixels, refusing what decoders would fill up in silence.

Pure; never opens a file.
"""

from __future__ import annotations

from pathlib import PurePosixPath

import cv2
import numpy as np

from edge.contract.perception import BgrImage

ENDS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}
"""What stands at the end of a whole file. Decoders fill the missing part of a cut one with grey."""


class UnreadablePicture(ValueError):
    """The bytes are no whole picture; the text says what they are."""


def decoded(data: bytes, name: str) -> BgrImage:
    """The picture, (H, W, 3) uint8 BGR; `name` gives the format by its suffix.

    Raises:
        UnreadablePicture: empty, cut short, no picture, or more pixels than OpenCV decodes.
    """
    if not data:
        raise UnreadablePicture("an empty file")
    if ENDS.get(PurePosixPath(name).suffix.lower(), b"") not in data[-4096:]:
        raise UnreadablePicture(f"{len(data)} bytes that end in the middle of the picture")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # a header that claims more pixels than OpenCV decodes
        raise UnreadablePicture(str(error).strip().splitlines()[0]) from error
    if image is None:
        raise UnreadablePicture(f"{len(data)} bytes that are no picture")
    return np.asarray(image, np.uint8)
