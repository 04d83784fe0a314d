"""Converts the output of segmentation networks that end with an argmax: label numbers to logits.

In: a raw output. Out: logits (1, C, h, w). `evaluate` accepts any file; a conversion removes the
argmax, and the device reads logits alone.
"""

from __future__ import annotations

import numpy as np

from edge.perception.segmentation import MaskSpec, mask_shape
from edge.perception.values import Floats

SURE = np.float32(100.0)
"""A logit whose softmax share among zeros is 1."""


def numbered_shapes(spec: MaskSpec, width_px: int, height_px: int) -> tuple[tuple[int, ...], ...]:
    """Shapes that an output of label numbers may have."""
    _, _, high, wide = mask_shape(spec, width_px, height_px)
    return ((1, high, wide), (1, 1, high, wide))


def as_logits(raw: Floats, spec: MaskSpec, width_px: int, height_px: int) -> Floats:
    """Label numbers as logits (1, C, h, w) float32; NaN where a number is no label. An output of
    another shape is returned unchanged."""
    if raw.shape not in numbered_shapes(spec, width_px, height_px):
        return raw
    _, count, high, wide = mask_shape(spec, width_px, height_px)
    ids = raw.reshape(high, wide)
    logits = np.where(ids == np.arange(count).reshape(-1, 1, 1), SURE, np.float32(0.0))
    logits[:, ~(logits > 0.0).any(axis=0)] = np.nan
    return np.asarray(logits[None], np.float32)
