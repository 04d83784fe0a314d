"""Label masks against the truth, as counts that add up in any order.

Pure functions of masks. Figures from the counts: `calibration.evaluation.figures.segmentation`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import IGNORED

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
