"""The values between a camera and a decision: frames, detections, classifications, label maps.

An empty `Detections` inside `Known` means that the road is clear (classifiers and segmentation
networks detect no objects, and the mission's checks refuse rules that need them). A frame that
could not be perceived is `Unknown`, and Unknown never means clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge.perception.pixel_formats import Picture, to_bgr

Floats = NDArray[np.float32]
"""float32 arrays of any shape: network inputs and outputs, boxes, scores."""

BgrImage = NDArray[np.uint8]
"""A picture: shape (height, width, 3), dtype uint8, channel order blue, green, red."""


@dataclass(frozen=True)
class Frame:
    """One camera picture.

    Attributes:
        picture: in the format in which the source delivers it.
        captured_ns: capture time on the monotonic clock, nanoseconds.
        stamp_source: origin of that time: "driver", "pipeline" (GStreamer), "read" (when it was
            received) or "video" (a recording or drawing).
        index: number of this frame in its source, from 0; a gap is a dropped frame.
        clip_ns: time into the clip, by the file's own clock; None for a camera.
        uncertainty_ns: by how much its light may be older than that time at most; None where
            nobody knows.
    """

    picture: Picture
    captured_ns: int
    stamp_source: str
    index: int
    clip_ns: int | None = None
    uncertainty_ns: int | None = None

    @cached_property
    def image(self) -> BgrImage:
        """(H, W, 3) uint8, BGR: converted once, by whoever asks first."""
        return to_bgr(self.picture)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height; converts nothing."""
        return self.picture.width_px, self.picture.height_px


@dataclass(frozen=True)
class Detections:
    """The detections of one frame.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in frame pixels.
        scores: (N,) float32 in 0..1, descending.
        labels: (N,) int64, index into the mission's labels.
        left_out: cells at or above the score threshold that the work limit leaves out: neither
            detections nor suppressed by one. Their scores are the lowest; 0 except in a crowd.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    @staticmethod
    def empty() -> Detections:
        """No detections: a clear road."""
        return Detections(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            labels=np.zeros(0, np.int64),
        )


@dataclass(frozen=True)
class Classification:
    """The output of one classification head for the whole frame.

    Attributes:
        head: name of the output: "classes" or "condition".
        label: the likeliest label; None where the picture is out of distribution.
        score: softmax share of the likeliest label, 0..1.
    """

    head: str
    label: str | None
    score: float


@dataclass(frozen=True)
class LabelMap:
    """The labels of a frame by a segmentation network, in cells of its output.

    Attributes:
        labels: (h, w) uint8, row of the likeliest label in the mission's labels.
        shares: (h, w) float32, its softmax share, 0..1.
        x_px: (w,) float32, ascending: centres of the columns in frame pixels. Cells outside the
            frame are the padding of the network's input.
        y_px: (h,) float32, the same for the rows.
        frame_size: width and height of the frame in pixels.
    """

    labels: NDArray[np.uint8]
    shares: NDArray[np.float32]
    x_px: NDArray[np.float32]
    y_px: NDArray[np.float32]
    frame_size: tuple[int, int]


@dataclass(frozen=True)
class Known:
    """The frame was perceived.

    `scene` holds the output of each classification head; a head without a label leaves the frame
    Known, since the objects on the road are known all the same. `areas` is set for a segmentation
    network.
    """

    detections: Detections
    scene: tuple[Classification, ...] = ()
    areas: LabelMap | None = None


@dataclass(frozen=True)
class Unknown:
    """The frame could not be perceived; `reason` says why, in words."""

    reason: str


Perception = Known | Unknown
