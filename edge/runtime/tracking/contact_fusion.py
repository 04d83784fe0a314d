"""Time to contact of one track from two witnesses: its pixels and its boxes.

A detector's boxes may be wrong in proportion to their size, which no filter can see, so they count
for little beside pixels that fit well, and for nothing where they contradict them; for what walks
they steady what swinging limbs do to the pixels. They speak alone where no picture is given or the
patch was lost. Says who spoke.
"""

from __future__ import annotations

from edge.runtime.tracking.patch_registration import Box, Picture
from edge.runtime.tracking.scale_growth import LINE, ScaleTracker
from edge.runtime.tracking.time_to_contact import Contact, Rate, SizeHistory, time_of, weighted

BOXES_WRONG, RATE_LEAST = 0.5, 0.1
"""By what share of a closing rate boxes may be wrong, and of at least how much of a rate in 1/s: a
detector that draws objects of 20 pixels a quarter too large and those of 50 as they are hides half
of the growth between."""


class ContactEstimator:
    """One track's history; feed it every frame that shows the track."""

    def __init__(self) -> None:
        self._boxes = SizeHistory()
        self._pixels = ScaleTracker()

    def add(
        self, box: Box, at_ns: int, *, frame_size: tuple[int, int], picture: Picture | None
    ) -> None:
        """Takes in a detected box, x1 y1 x2 y2 in pixels of a frame of (width, height), and the
        frame where there is one."""
        self._boxes.add(box, at_ns, frame_size=frame_size)
        if picture is not None:
            self._pixels.add(picture, box, at_ns)

    def contact(self, now_ns: int) -> Contact:
        """The time to contact now."""
        now_s = now_ns / 1e9
        pixels = self._pixels.rate(now_s)
        if pixels is None:
            return Contact(self._boxes.time_to_contact_s(now_ns), "boxes")
        boxes = self._boxes.rate(now_s)
        both = None if boxes is None else weighted(pixels, _doubted(boxes, pixels))
        if both is None:
            return Contact(time_of(pixels, LINE), "pixels")
        return Contact(time_of(both, LINE), "both")


def _doubted(boxes: Rate, pixels: Rate) -> Rate:
    wrong = BOXES_WRONG * max(boxes.value, pixels.value, RATE_LEAST)
    return Rate(boxes.value, boxes.variance + wrong * wrong)
