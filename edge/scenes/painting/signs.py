"""Paints a traffic sign: its pole, and its face scaled to its distance."""

from __future__ import annotations

import cv2
import numpy as np

from edge.scenes.painting.brush import Brush
from edge.scenes.painting.sign_faces import SIDE_PX, face
from edge.scenes.world import Actor

_RETURNS = 2.6
"""Sign sheeting reflects light back to its source: the headlights brighten it."""
_POLE = (138, 140, 142)


def paint_sign(brush: Brush, actor: Actor) -> None:
    """The pole, then the plate; the reach holds only the plate, which is what the label marks."""
    low, top = actor.lift_m, actor.lift_m + actor.height_m
    brush.panel(-0.035, top - 0.1, 0.035, 0.0, _POLE)
    brush.start_reach()
    half = actor.width_m / 2.0
    x1, y1 = brush.place((-half, top))
    x2, y2 = brush.place((half, low))
    brush.extend_reach(x1, y1, x2, y2)
    plate, scale = face(actor.model), (x2 - x1) / SIDE_PX
    left, above = max(int(x1) - 1, 0), max(int(y1) - 1, 0)
    right = min(int(x2) + 2, brush.camera.width_px)
    below = min(int(y2) + 2, brush.camera.height_px)
    if right <= left or below <= above or scale <= 0.0:
        return
    if scale < 0.5:  # smaller first, or strokes would vanish between pixels
        smaller = max(4, round(SIDE_PX * scale * 1.5))
        plate = np.asarray(cv2.resize(plate, (smaller, smaller), interpolation=cv2.INTER_AREA))
        scale = (x2 - x1) / smaller
    # Pixel centres: plate pixel i covers i..i+1.
    shift_x, shift_y = x1 - left + 0.5 * scale - 0.5, y1 - above + 0.5 * scale - 0.5
    placed = cv2.warpAffine(
        plate,
        np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]]),
        (right - left, below - above),
    )
    inside = cv2.merge([placed[..., 3]] * 3)
    face_colours = cv2.transform(placed[..., :3], brush.light_matrix(_RETURNS))
    patch = brush.image[above:below, left:right]
    ours = cv2.multiply(face_colours, inside, scale=1.0 / 255.0)
    theirs = cv2.multiply(patch, cv2.bitwise_not(inside), scale=1.0 / 255.0)
    cv2.add(ours, theirs, dst=patch)
