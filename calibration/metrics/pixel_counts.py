"""Counts pixels of a predicted mask by true and predicted label.

In: two masks. Out: a matrix of counts; those of several frames can be added. Figures are computed
from them in `calibration.evaluation.figures.segmentation`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import IGNORED

Mask = NDArray[np.integer]
Counts = NDArray[np.int64]
"""(classes, classes + 1): pixels by true label (row) and predicted label (column); the last column
is of none of them. Counts of frames are added with `+`."""


def pixel_counts(truth: Mask, predicted: Mask, *, classes: int) -> Counts:
    """Counts of one frame from two masks (H, W) of labels 0 to classes - 1.

    What `predicted` holds beside these labels is wrong wherever it stands.

    Raises:
        ValueError: masks of different sizes, or a true label that is none.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"a mask {predicted.shape} for a truth of {truth.shape}")
    seen = truth != IGNORED
    true, found = truth[seen].astype(np.int64), predicted[seen].astype(np.int64)
    if true.size and (true.min() < 0 or true.max() >= classes):
        raise ValueError(f"true labels {true.min()} to {true.max()}, of {classes} classes")
    found = np.where((found >= 0) & (found < classes), found, classes)
    flat = np.bincount(true * (classes + 1) + found, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1).astype(np.int64)
