"""Preprocess: turns a camera picture into the network input, and boxes back into frame pixels.

A picture (H, W, 3) uint8 BGR and the mission's numbers go in; a tensor (1, 3, H, W) float32 and its
placement come out. The same code in training, calibration, evaluation and on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.perception.boxes import Boxes
from edge.perception.opencv import import_opencv
from edge.perception.values import BgrImage


@dataclass(frozen=True)
class PreprocessSpec:
    """How a picture becomes an input.

    Attributes:
        width_px, height_px: the network's input size.
        fit: "letterbox" keeps the aspect ratio and pads; "stretch" does not.
        anchor: where a letterboxed picture lies: "top_left" or "center".
        pad_value: grey level 0..255 of the padding.
        color: channel order the network was trained on.
        mean, std: per channel in that order, on the 0..255 scale: input = (pixel - mean) / std.
    """

    width_px: int
    height_px: int
    fit: Literal["letterbox", "stretch"]
    anchor: Literal["top_left", "center"]
    pad_value: int
    color: Literal["bgr", "rgb"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class InputPlacement:
    """Where the picture lies in the network input: network = frame * scale + offset, in pixels."""

    scale_x: float
    scale_y: float
    offset_x_px: float
    offset_y_px: float

    def to_frame(self, boxes: Boxes, frame_width_px: int, frame_height_px: int) -> Boxes:
        """Boxes (N, 4) from network pixels to frame pixels, clipped to the frame."""
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        offset = np.array([self.offset_x_px, self.offset_y_px] * 2, np.float32)
        limit = np.array([frame_width_px, frame_height_px] * 2, np.float32)
        moved: Boxes = (boxes - offset) / scale
        return np.clip(moved, np.float32(0.0), limit)

    def to_network(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) from frame pixels to network pixels."""
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        offset = np.array([self.offset_x_px, self.offset_y_px] * 2, np.float32)
        moved: Boxes = boxes * scale + offset
        return moved


def input_placement(
    spec: PreprocessSpec, frame_width_px: int, frame_height_px: int
) -> InputPlacement:
    """Where a frame of this size lies in the network input."""
    scale_x = spec.width_px / frame_width_px
    scale_y = spec.height_px / frame_height_px
    if spec.fit == "stretch":
        return InputPlacement(scale_x, scale_y, 0.0, 0.0)
    scale = min(scale_x, scale_y)
    if spec.anchor == "top_left":
        return InputPlacement(scale, scale, 0.0, 0.0)
    # Whole pixels, since the picture is copied to whole pixels.
    left = (spec.width_px - round(frame_width_px * scale)) // 2
    top = (spec.height_px - round(frame_height_px * scale)) // 2
    return InputPlacement(scale, scale, float(left), float(top))


def fitted_size(spec: PreprocessSpec, frame_width_px: int, frame_height_px: int) -> tuple[int, int]:
    """Width and height in whole pixels of a frame of this size in the network input."""
    placement = input_placement(spec, frame_width_px, frame_height_px)
    return (
        min(spec.width_px, max(1, round(frame_width_px * placement.scale_x))),
        min(spec.height_px, max(1, round(frame_height_px * placement.scale_y))),
    )


def fit_image(image: BgrImage, spec: PreprocessSpec) -> tuple[BgrImage, InputPlacement]:
    """Resize and pad a frame (H, W, 3) uint8 to (height_px, width_px, 3) uint8, still BGR."""
    cv2 = import_opencv("pictures")
    height, width = image.shape[:2]
    placement = input_placement(spec, width, height)
    inner_w, inner_h = fitted_size(spec, width, height)
    resized = cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_LINEAR)
    if (inner_w, inner_h) == (spec.width_px, spec.height_px):
        return np.asarray(resized, np.uint8), placement
    canvas = np.full((spec.height_px, spec.width_px, 3), spec.pad_value, np.uint8)
    top, left = int(placement.offset_y_px), int(placement.offset_x_px)
    canvas[top : top + inner_h, left : left + inner_w] = resized
    return canvas, placement


def normalise(fitted: BgrImage, spec: PreprocessSpec) -> NDArray[np.float32]:
    """A fitted picture (H, W, 3) uint8 BGR to the input tensor (1, 3, H, W) float32."""
    ordered = fitted[:, :, ::-1] if spec.color == "rgb" else fitted
    planes: NDArray[np.float32] = np.ascontiguousarray(ordered.transpose(2, 0, 1), dtype=np.float32)
    planes -= np.asarray(spec.mean, np.float32)[:, None, None]
    planes /= np.asarray(spec.std, np.float32)[:, None, None]
    return planes[np.newaxis, ...]


def preprocess(image: BgrImage, spec: PreprocessSpec) -> tuple[NDArray[np.float32], InputPlacement]:
    """A frame (H, W, 3) uint8 BGR to the input tensor (1, 3, height, width) float32."""
    fitted, placement = fit_image(image, spec)
    return normalise(fitted, spec), placement
