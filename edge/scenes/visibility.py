"""Decides which actors of a scene are visible, and so carry a label.

In: the picture before and after each actor was painted. Out: the visible actors with their boxes.
Never paints.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage
from edge.scenes.world import Actor, Camera

MIN_HEIGHT_SHARE = 0.05
"""Objects less tall than this share of the picture carry no label: nobody could recognise them."""
MIN_VISIBLE = 0.4
"""Objects of which less than this share is visible carry no label."""
MIN_CONTRAST = 3.5
"""Grey levels by which an object must differ from what is behind it, on average over its box."""
_CHANGED = 3
_STRONG = 110


class VisibilityBuffer:
    """An item buffer: which pixel shows which actor; nearer actors are added later."""

    def __init__(self, camera: Camera) -> None:
        self._limit = np.array([camera.width_px, camera.height_px] * 2, np.float32)
        self._least_px = MIN_HEIGHT_SHARE * camera.height_px
        self._item_of_pixel = np.zeros((camera.height_px, camera.width_px), np.uint8)
        self._painted: list[tuple[Actor, NDArray[np.float32], int, float]] = []

    def add(
        self,
        actor: Actor,
        reach: NDArray[np.float32],
        *,
        before: BgrImage,
        after: BgrImage,
        gain: float,
    ) -> None:
        """Adds an actor just painted.

        Args:
            actor: the actor.
            reach: x1 y1 x2 y2 of what was painted, in pixels, not clipped.
            before, after: the picture without and with it, (H, W, 3).
            gain: the camera's exposure, applied later.
        """
        box = np.clip(reach, 0.0, self._limit)
        x1, y1, x2, y2 = (int(value) for value in np.round(box))
        if x2 - x1 < 2 or y2 - y1 < 2:
            return
        change = cv2.absdiff(after[y1:y2, x1:x2], before[y1:y2, x1:x2]).max(axis=2)
        number = len(self._painted) + 1
        mask = change > _CHANGED
        self._item_of_pixel[y1:y2, x1:x2][mask] = number
        contrast = float(np.minimum(change, _STRONG).mean()) * gain
        self._painted.append((actor, reach, int(np.count_nonzero(mask)), contrast))

    def visible(self, veil: NDArray[np.uint8] | None) -> list[tuple[Actor, NDArray[np.float32]]]:
        """The actors that carry a label, with their boxes clipped to the picture, far ones first.

        `veil` is light that is added to the whole picture, (H, W): it lowers contrast.
        """
        labelled = []
        for number, (actor, reach, painted, contrast) in enumerate(self._painted, start=1):
            box = np.clip(reach, 0.0, self._limit)
            x1, y1, x2, y2 = (int(value) for value in np.round(box))
            inside = float(np.prod(box[2:] - box[:2]) / max(np.prod(reach[2:] - reach[:2]), 1.0))
            left = np.count_nonzero(self._item_of_pixel[y1:y2, x1:x2] == number) / max(painted, 1)
            through = 1.0
            if veil is not None:
                through = 1.0 - float(np.mean(veil[y1:y2, x1:x2])) / 320.0
            tall = float(box[3] - box[1]) >= self._least_px
            if tall and inside * left >= MIN_VISIBLE and contrast * through >= MIN_CONTRAST:
                labelled.append((actor, box))
        return labelled
