"""Arithmetic of axis-aligned boxes: intersection over union and non-maximum suppression.

Pure numpy; boxes are (N, 4) float32 rows x1 y1 x2 y2 in any one unit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

BLOCK = 128
"""So many of the best rows are compared with one another at a time."""

_BEFORE = np.triu(np.ones((BLOCK, BLOCK), np.bool_), 1)
"""Whether the row's number is below the column's."""


def iou_matrix(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4): (N, M).

    Empty or inverted boxes have area 0 and overlap nothing.
    """
    # Columns on their own: numpy works on whole rows of the table instead of on pairs.
    corners, others = np.ascontiguousarray(a.T)[:, :, None], np.ascontiguousarray(b.T)[:, None, :]
    sides = np.minimum(corners[2:], others[2:])
    sides -= np.maximum(corners[:2], others[:2])
    np.maximum(sides, 0.0, out=sides)
    shared = np.multiply(sides[0], sides[1], out=sides[0])
    union = _areas(corners) + _areas(others)
    union -= shared
    return np.where(union > 0.0, shared / np.maximum(union, 1e-12), 0.0).astype(np.float32)


def _areas(corners: Boxes) -> Boxes:
    sides = np.maximum(corners[2:] - corners[:2], 0.0)
    areas: Boxes = sides[0] * sides[1]
    return areas


def non_maximum_suppression(
    boxes: Boxes, labels: NDArray[np.int64], *, iou_threshold: float, most: int | None = None
) -> tuple[NDArray[np.int64], int]:
    """Greedy non-maximum suppression within each label, of (N, 4) boxes in order, best first.

    Returns the selected rows in that order, at most `most` of them, and how many further rows none
    of these suppresses (0 without `most`). Compares BLOCK rows with one another, and the selected
    ones of these with all that are left; then the next BLOCK of what remains.
    """

    def suppresses(best: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        same: NDArray[np.bool_] = labels[best][:, None] == labels[others]
        same &= iou_matrix(boxes[best], boxes[others]) > iou_threshold
        return same

    left = np.arange(len(boxes))
    room = len(left) if most is None else most
    selected = [left[:0]]
    while len(left) and room:
        block = left[:BLOCK]
        pairs = suppresses(block, block)
        kept = _greedy(pairs)[:room]
        room -= len(kept)
        selected.append(block[kept])
        stays = ~np.any(pairs[kept], axis=0)
        stays[kept] = False
        rest = [block[stays]]
        for start in range(BLOCK, len(left), BLOCK):  # tables that stay in the processor's cache
            later = left[start : start + BLOCK]
            rest.append(later[~np.any(suppresses(block[kept], later), axis=0)])
        left = np.concatenate(rest)
    return np.concatenate(selected), len(left)


def _greedy(pairs: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows that greedy suppression selects, from a table (N, N) of who suppresses whom, best
    row first.

    A row is selected if no selected one before it suppresses it. Starting from all rows, each pass
    settles at least one more row from the front, and in a road scene two or three settle all.
    """
    before = pairs & _BEFORE[: len(pairs), : len(pairs)]
    selected: NDArray[np.bool_] = np.ones(len(pairs), np.bool_)
    while True:
        following: NDArray[np.bool_] = ~np.asarray(np.any(before[selected], axis=0))
        if np.array_equal(following, selected):
            return np.flatnonzero(selected)
        selected = following
