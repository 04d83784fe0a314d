"""Intersection over union of label masks, from counts that add up in any order.

Pure functions of masks. No decoder of a mission puts out masks yet: this is for code that has them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IGNORED = 255
"""Pixels of truth with this label are not looked at, as in Pascal VOC and Cityscapes."""

Mask = NDArray[np.integer]
Counts = NDArray[np.int64]
"""(classes, classes + 1): pixels of each true label by the label said; the last column is none of
them. Counts of frames are added with `+`."""


def pixel_counts(truth: Mask, said: Mask, *, classes: int) -> Counts:
    """Counts of one frame from two masks (H, W) of labels 0 to classes - 1.

    What `said` holds beside these labels is wrong wherever it stands.

    Raises:
        ValueError: masks of different sizes, or a true label that is none.
    """
    if truth.shape != said.shape:
        raise ValueError(f"a mask {said.shape} for a truth of {truth.shape}")
    seen = truth != IGNORED
    true, told = truth[seen].astype(np.int64), said[seen].astype(np.int64)
    if true.size and (true.min() < 0 or true.max() >= classes):
        raise ValueError(f"true labels {true.min()} to {true.max()}, of {classes} classes")
    told = np.where((told >= 0) & (told < classes), told, classes)
    flat = np.bincount(true * (classes + 1) + told, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1).astype(np.int64)


def intersection_over_union(counts: Counts) -> list[float | None]:
    """IoU of each label over all pixels counted, 0..1; None where it neither is nor was said.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2015, 4.3.
    """
    both = np.diagonal(counts)
    either = counts.sum(axis=1) + counts[:, :-1].sum(axis=0) - both
    return [int(b) / int(e) if e else None for b, e in zip(both, either, strict=True)]
