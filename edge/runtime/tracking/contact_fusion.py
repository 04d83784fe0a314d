"""Fuses one track's time to contact from image registration and from box size.

In: the boxes of a track and, where there are any, the frames that show it. Out: a `Contact`, with
what it was measured from. A detector's boxes may be wrong in proportion to their size, which no
filter detects, so they weigh little beside pixels that fit well, and nothing where they contradict
them; on a pedestrian they damp what swinging limbs do to the pixels. Boxes alone are used where
there is no picture or the patch was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.runtime.tracking.closing_rate import History, Rate, closing_rates, weighted_mean
from edge.runtime.tracking.patch_registration import Box, Picture
from edge.runtime.tracking.scale_growth import PATCH_SETTINGS, ScaleTracker
from edge.runtime.tracking.time_to_contact import (
    BOX_SETTINGS,
    Contact,
    SizeHistory,
    fuse_sides,
    time_of,
)

BOX_ERROR_SHARE, RATE_MIN = 0.5, 0.1
"""Boxes may be wrong by this share of a closing rate, and of RATE_MIN (1/s) at least: a detector
that draws objects of 20 pixels a quarter too large and those of 50 at their size hides half of the
growth between."""


class ContactEstimator:
    """One track's history; feed it every frame that shows the track."""

    def __init__(self) -> None:
        self._boxes = SizeHistory()
        self._pixels = ScaleTracker()

    @property
    def has_patch(self) -> bool:
        """Whether there is a patch to follow."""
        return self._pixels.has_patch

    def follow(self, picture: Picture, at_ns: int) -> None:
        """Searches the next frame for the patch before its box is known: see
        `ScaleTracker.follow`."""
        self._pixels.follow(picture, at_ns)

    def add(
        self, box: Box, at_ns: int, *, frame_size: tuple[int, int], picture: Picture | None
    ) -> None:
        """Adds a detected box, x1 y1 x2 y2 in pixels of a frame of (width, height), and the frame
        where there is one."""
        self._boxes.add(box, at_ns, frame_size=frame_size)
        if picture is not None:
            self._pixels.add(picture, box, at_ns)

    @property
    def histories(self) -> tuple[History, ...]:
        """Sizes by pixels, heights and widths of the boxes, whose rates `contact` takes."""
        return (self._pixels.history, *self._boxes.sides)

    def contact(self, pixels: Rate | None, height: Rate | None, width: Rate | None) -> Contact:
        """The time to contact, by the rates of the histories now."""
        boxes = fuse_sides(height, width)
        if pixels is None:
            return Contact(time_of(boxes, BOX_SETTINGS), "boxes")
        pixels = self._pixels.with_doubt(pixels)
        both = None if boxes is None else weighted_mean(pixels, _with_box_error(boxes, pixels))
        if both is None:
            return Contact(time_of(pixels, PATCH_SETTINGS), "pixels")
        return Contact(time_of(both, PATCH_SETTINGS), "both")


def contacts(estimators: Sequence[ContactEstimator], now_ns: int) -> list[Contact]:
    """The times to contact of many tracks now."""
    histories = [history for estimator in estimators for history in estimator.histories]
    rates = iter(closing_rates(histories, now_ns / 1e9))
    return [
        estimator.contact(*each)
        for estimator, each in zip(estimators, zip(rates, rates, rates, strict=True), strict=True)
    ]


def _with_box_error(boxes: Rate, pixels: Rate) -> Rate:
    """The rate by boxes, its variance widened by what boxes may be wrong by."""
    wrong = BOX_ERROR_SHARE * max(boxes.value, pixels.value, RATE_MIN)
    return Rate(boxes.value, boxes.variance + wrong * wrong)
