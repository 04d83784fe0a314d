"""Preprocess: turns a camera picture into the network input, and boxes back into frame pixels.

A picture (H, W, 3) uint8 BGR and the mission's numbers go in; a tensor (1, 3, H, W) float32 and its
placement come out. The same code in training, calibration, evaluation and on the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge.perception.boxes import Boxes
from edge.perception.opencv import import_opencv
from edge.perception.values import BgrImage, Floats


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
    placed = _place(image, spec)
    resized = placed.resize(image)
    if placed.fills(spec):
        return resized, placed.placement
    canvas = np.full((spec.height_px, spec.width_px, 3), spec.pad_value, np.uint8)
    canvas[placed.rows, placed.columns] = resized
    return canvas, placed.placement


def normalise(fitted: BgrImage, spec: PreprocessSpec) -> Floats:
    """A fitted picture (H, W, 3) uint8 BGR to the input tensor (1, 3, H, W) float32."""
    tensor = np.empty((1, 3, *fitted.shape[:2]), np.float32)
    channels = np.empty(tensor.shape[1:], np.uint8)
    _write_planes(np.ascontiguousarray(fitted), tensor[0], spec, channels=channels)
    return tensor


def preprocess(image: BgrImage, spec: PreprocessSpec) -> tuple[Floats, InputPlacement]:
    """A frame (H, W, 3) uint8 BGR to the input tensor (1, 3, height, width) float32."""
    tensor = np.empty((1, 3, spec.height_px, spec.width_px), np.float32)
    return tensor, Preprocessor(spec).write(image, tensor)


class Preprocessor:
    """`preprocess` for the frames of a run: into memory that is there, and with working memory that
    stays from frame to frame."""

    def __init__(self, spec: PreprocessSpec) -> None:
        self._spec = spec
        self._resized = np.empty((0, 0, 3), np.uint8)
        self._channels = np.empty((3, 0, 0), np.uint8)

    def write(self, image: BgrImage, tensor: Floats) -> InputPlacement:
        """Writes every value of the input tensor (1, 3, height, width) float32 of a frame (H, W, 3)
        uint8 BGR."""
        spec, placed = self._spec, _place(image, self._spec)
        if self._resized.shape[:2] != placed.size:
            self._resized = np.empty((*placed.size, 3), np.uint8)
            self._channels = np.empty((3, *placed.size), np.uint8)
        if not placed.fills(spec):
            _write_padding(tensor[0], placed, spec)
        resized = placed.resize(image, self._resized)
        inner = tensor[0, :, placed.rows, placed.columns]
        _write_planes(resized, inner, spec, channels=self._channels)
        return placed.placement


@dataclass(frozen=True)
class _Placed:
    """The rows and columns of the network input that a resized frame fills."""

    placement: InputPlacement
    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def fills(self, spec: PreprocessSpec) -> bool:
        """Whether nothing is left to pad."""
        return self.size == (spec.height_px, spec.width_px)

    def resize(self, image: BgrImage, into: BgrImage | None = None) -> BgrImage:
        """The frame in that size; in the memory of `into` where that is given."""
        height, width = self.size
        cv2 = import_opencv("pictures")
        resized = cv2.resize(image, (width, height), dst=into, interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, np.uint8)


def _place(image: BgrImage, spec: PreprocessSpec) -> _Placed:
    height, width = image.shape[:2]
    placement = input_placement(spec, width, height)
    inner_w, inner_h = fitted_size(spec, width, height)
    top, left = int(placement.offset_y_px), int(placement.offset_x_px)
    return _Placed(placement, slice(top, top + inner_h), slice(left, left + inner_w))


def _write_planes(
    picture: BgrImage, planes: Floats, spec: PreprocessSpec, *, channels: BgrImage
) -> None:
    """Writes (pixel - mean) / std of a picture (H, W, 3) to `planes` (3, H, W), by way of
    `channels` (3, H, W) uint8.

    The channels are separated as bytes, which takes a tenth of the time that it takes as floats,
    and each plane is finished while the processor's cache holds it.
    """
    import_opencv("pictures").split(picture, list(channels))
    ordered = channels[::-1] if spec.color == "rgb" else channels
    for plane, channel, mean, std in zip(planes, ordered, *_mean_and_std(spec), strict=True):
        np.copyto(plane, channel)
        if mean != 0.0:
            np.subtract(plane, mean, out=plane)
        if std != 1.0:
            np.divide(plane, std, out=plane)


def _write_padding(planes: Floats, placed: _Placed, spec: PreprocessSpec) -> None:
    """Writes what the padding's grey level becomes in each channel around the frame."""
    mean, std = _mean_and_std(spec)
    value = ((np.float32(spec.pad_value) - mean) / std)[:, None, None]
    rows, columns = placed.rows, placed.columns
    planes[:, : rows.start] = value
    planes[:, rows.stop :] = value
    planes[:, rows, : columns.start] = value
    planes[:, rows, columns.stop :] = value


def _mean_and_std(spec: PreprocessSpec) -> tuple[Floats, Floats]:
    return np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
