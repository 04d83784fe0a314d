"""Draws where a calibration's corners lie and how far each is off.

In: boards and their intrinsics. Out: a picture (PNG bytes): every corner with its residual as a
line, magnified. Computes nothing else.
"""

from __future__ import annotations

import numpy as np

from edge.perception.opencv import import_opencv
from edge.qualification.lens.chessboards import Boards
from edge.qualification.lens.intrinsics import Intrinsics

MAGNIFIED = 100.0
_TEXT, _CORNER, _LINE, _GRID = (40, 40, 40), (150, 110, 40), (30, 30, 210), (225, 225, 225)


def residual_picture(boards: Boards, intrinsics: Intrinsics) -> bytes:
    """The picture, in the camera's own size, as PNG."""
    cv2 = import_opencv("pictures")
    width, height = boards.size_px
    canvas = np.full((height, width, 3), 255, np.uint8)
    for share in np.arange(1, 8) / 8.0:
        x, y = round(width * float(share)), round(height * float(share))
        cv2.line(canvas, (x, 0), (x, height), _GRID, 1)
        cv2.line(canvas, (0, y), (width, y), _GRID, 1)
    for corners, off in zip(boards.corners, intrinsics.residuals, strict=True):
        for corner, residual in zip(corners, off, strict=True):
            ends = corner, corner + MAGNIFIED * residual
            (x1, y1), (x2, y2) = (tuple(round(float(v)) for v in end) for end in ends)
            cv2.line(canvas, (x1, y1), (x2, y2), _LINE, 1, cv2.LINE_AA)
            cv2.circle(canvas, (x1, y1), 2, _CORNER, -1, cv2.LINE_AA)
    text = (
        f"residuals x {MAGNIFIED:g}, rms {intrinsics.rms_px:.3f} px, {len(boards.names)} pictures"
    )
    cv2.putText(canvas, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _TEXT, 1, cv2.LINE_AA)
    encoded: bytes = cv2.imencode(".png", canvas)[1].tobytes()
    return encoded
