"""Arithmetic of axis-aligned boxes: intersection over union and non-maximum suppression.

Pure numpy; boxes are (N, 4) float32 rows x1 y1 x2 y2 in any one unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def iou_matrix(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4): (N, M).

    Empty or inverted boxes have area 0 and overlap nothing.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0.0, None)
    shared = sides[..., 0] * sides[..., 1]
    area_a = np.prod(np.clip(a[:, 2:] - a[:, :2], 0.0, None), axis=1)
    area_b = np.prod(np.clip(b[:, 2:] - b[:, :2], 0.0, None), axis=1)
    union = area_a[:, None] + area_b[None, :] - shared
    return np.where(union > 0.0, shared / np.maximum(union, 1e-12), 0.0).astype(np.float32)


def non_maximum_suppression(
    boxes: Boxes,
    scores: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    iou_threshold: float,
    most: int | None = None,
) -> tuple[NDArray[np.int64], int]:
    """Greedy non-maximum suppression within each label, of (N, 4) boxes.

    Returns the selected rows, best score first, at most `most` of them, and how many further rows
    none of these suppresses (0 without `most`). Of equal scores the lower row comes first, so that
    the same input gives the same output everywhere. Makes N comparisons for each selected row.
    """
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left) and (most is None or len(kept) < most):
        best, left = left[:1], left[1:]
        kept.append(int(best[0]))
        rivals = labels[left] == labels[best]
        rivals[rivals] = iou_matrix(boxes[best], boxes[left[rivals]])[0] > iou_threshold
        left = left[~rivals]
    return np.asarray(kept, dtype=np.int64), len(left)
