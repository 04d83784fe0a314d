"""Segmentation networks that end with their own argmax: label numbers as if they were logits.

For looking at any file; a conversion takes the argmax off, and the device reads logits alone.
"""

from __future__ import annotations

import numpy as np

from edge.perception.segmentation import MaskSpec, mask_shape
from edge.perception.values import Floats

SURE = np.float32(100.0)
"""A logit whose softmax share is 1 beside zeros."""


def numbered_shapes(spec: MaskSpec, width_px: int, height_px: int) -> tuple[tuple[int, ...], ...]:
    """Shapes in which label numbers come."""
    _, _, high, wide = mask_shape(spec, width_px, height_px)
    return ((1, high, wide), (1, 1, high, wide))


def as_logits(raw: Floats, spec: MaskSpec, width_px: int, height_px: int) -> Floats:
    """Label numbers as logits (1, C, h, w); NaN where a number is of no label. Anything else is
    given back as it is."""
    if raw.shape not in numbered_shapes(spec, width_px, height_px):
        return raw
    _, count, high, wide = mask_shape(spec, width_px, height_px)
    ids = raw.reshape(high, wide)
    logits = np.where(ids == np.arange(count).reshape(-1, 1, 1), SURE, np.float32(0.0))
    logits[:, ~(logits > 0.0).any(axis=0)] = np.nan
    return np.asarray(logits[None], np.float32)
