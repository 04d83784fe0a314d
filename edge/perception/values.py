"""The values that flow from the camera to a decision.

An empty `Detections` inside `Known` means that the road was looked at and is clear (a classifier
and a segmentation network look for no objects, and no rule may ask them for any); whatever could
not be looked at is `Unknown`, and Unknown is never clear. Holds values only, never computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""float32 arrays of any shape: network inputs and outputs, boxes, scores."""

BgrImage = NDArray[np.uint8]
"""A picture: shape (height, width, 3), dtype uint8, channel order blue, green, red."""


@dataclass(frozen=True)
class Frame:
    """One camera picture.

    Attributes:
        image: (H, W, 3) uint8, BGR.
        captured_ns: capture time on the monotonic clock, nanoseconds.
        stamp_source: where that time came from ("driver", "read" or "video").
        index: number of this frame in its source, from 0; gaps are drops.
        clip_ns: time into the clip, by the file's own clock; None of a camera.
    """

    image: BgrImage
    captured_ns: int
    stamp_source: str
    index: int
    clip_ns: int | None = None


@dataclass(frozen=True)
class Detections:
    """What a decoder found in one frame.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in frame pixels.
        scores: (N,) float32 in 0..1, descending.
        labels: (N,) int64, index into the mission's labels.
        left_out: cells at or above the score threshold that a limit of work left out: neither kept
            nor covered by one that is kept. Their scores are the lowest; 0 in all but a crowd.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    @staticmethod
    def empty() -> Detections:
        """No detections: a road that was looked at and is clear."""
        return Detections(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            labels=np.zeros(0, np.int64),
        )


@dataclass(frozen=True)
class Classified:
    """What one classification head says of the whole frame.

    Attributes:
        head: name of the output: "classes" or "condition".
        label: the likeliest label; None: the picture is like none of them, so it is not known.
        score: softmax share of the likeliest label, 0..1.
    """

    head: str
    label: str | None
    score: float


@dataclass(frozen=True)
class LabelMap:
    """What a segmentation network says of each part of a frame, in cells of its output.

    Attributes:
        labels: (h, w) uint8, row of the likeliest label in the mission's labels.
        shares: (h, w) float32, its softmax share, 0..1.
        x_px: (w,) float32, ascending: where the middles of the columns lie in the frame. Cells
            beyond the frame are the padding of the network's input.
        y_px: (h,) float32, the same of the rows.
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

    `scene` holds what each classification head says of the frame; a head that cannot tell leaves
    the frame known, since a road whose surface is not known was still looked at. `areas` is there
    where the network is a segmentation network.
    """

    detections: Detections
    scene: tuple[Classified, ...] = ()
    areas: LabelMap | None = None


@dataclass(frozen=True)
class Unknown:
    """The frame could not be perceived; `reason` says why, in words."""

    reason: str


Perception = Known | Unknown
