"""Segmentation: the logits of each pixel to a map of labels in the frame. Pure numpy.

Logits (1, C, h, w) go in; a `LabelMap` in cells of the output comes out. A cell covers a square of
network pixels and has the label that is likeliest there. Never interpolates between labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.preprocess import InputPlacement
from edge.perception.values import Floats, LabelMap

MOST_LABELS = 255
"""Masks have one byte a pixel, and 255 means unknown in ground truth."""


@dataclass(frozen=True)
class MaskSpec:
    """How raw output becomes a label of each pixel.

    Attributes:
        labels: one for each channel, in order.
        stride: width and height of an output cell, in network pixels.
        score_threshold: where no pixel of a frame reaches this softmax share, the picture is out of
            distribution.
        output: name of the network's output; None where it has one only.
    """

    labels: tuple[str, ...]
    stride: int
    score_threshold: float
    output: str | None = None


def mask_shape(spec: MaskSpec, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """The shape of the logits for a network input of this size."""
    return (1, len(spec.labels), height_px // spec.stride, width_px // spec.stride)


def label_map(
    raw: Floats,
    spec: MaskSpec,
    *,
    placement: InputPlacement,
    input_size: tuple[int, int],
    frame_size: tuple[int, int],
) -> LabelMap:
    """Logits (1, C, h, w) to the labels of a frame. Sizes are (width_px, height_px).

    Raises:
        ValueError: the output is of another shape, or holds NaN or Inf.
    """
    wanted = mask_shape(spec, *input_size)
    if raw.shape != wanted:
        raise ValueError(f"output has shape {raw.shape}, {len(spec.labels)} labels need {wanted}")
    if not np.isfinite(raw).all():
        raise ValueError("output holds NaN or Inf")
    labels, shares = _likeliest(raw[0])
    _, _, high, wide = wanted
    x, y = ((np.arange(count, dtype=np.float32) + 0.5) * spec.stride for count in (wide, high))
    return LabelMap(
        labels=labels,
        shares=shares,
        x_px=(x - placement.offset_x_px) / placement.scale_x,
        y_px=(y - placement.offset_y_px) / placement.scale_y,
        frame_size=frame_size,
    )


def _likeliest(logits: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Row and softmax share of the likeliest label of each cell, from (C, h, w)."""
    # Label by label: half the time and a fraction of the memory of whole-array operations.
    highest, labels = logits[0].copy(), np.zeros(logits.shape[1:], np.uint8)
    for row in range(1, len(logits)):
        labels[logits[row] > highest] = row
        np.maximum(highest, logits[row], out=highest)
    total = np.zeros_like(highest)
    with np.errstate(under="ignore"):
        for one in logits:
            total += np.exp(one - highest)
    return labels, np.float32(1.0) / total


def cells_in_frame(areas: LabelMap) -> NDArray[np.bool_]:
    """(h, w) bool: cells whose centre lies in the frame, not in the padding around it."""
    wide, high = areas.frame_size
    across = (areas.x_px >= 0.0) & (areas.x_px < wide)
    down = (areas.y_px >= 0.0) & (areas.y_px < high)
    return down[:, None] & across[None, :]


def frame_labels(areas: LabelMap) -> NDArray[np.uint8]:
    """(H, W) uint8: the label of every pixel of the frame, from the nearest cell."""
    wide, high = areas.frame_size
    across, down = _nearest(areas.x_px, wide), _nearest(areas.y_px, high)
    return np.asarray(areas.labels[down[:, None], across[None, :]], np.uint8)


def _nearest(middles: Floats, count: int) -> NDArray[np.int64]:
    """For each of `count` pixels the row of the nearest of ascending `middles`."""
    between = (middles[1:] + middles[:-1]) / 2.0
    return np.searchsorted(between, np.arange(count) + 0.5).astype(np.int64)


def frame_shares(areas: LabelMap, count: int) -> NDArray[np.float64]:
    """(count,) share of the frame that each label covers; the shares add up to 1."""
    cells = areas.labels[cells_in_frame(areas)]
    return np.bincount(cells, minlength=count) / max(cells.size, 1)
