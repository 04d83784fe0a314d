"""How good detections are: average precision by COCO rules, how much of one set another finds, and
how sure a share is.

Pure functions of boxes; never runs a model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import Truth
from edge.perception.boxes import iou_matrix
from edge.perception.values import Detections


def found_share(
    reference: Sequence[Detections],
    candidate: Sequence[Detections],
    *,
    iou_threshold: float,
    score_min: float,
) -> tuple[int, int]:
    """How many of the reference's detections the candidate finds: (found, of).

    A detection of `reference` counts with a score of `score_min`; see `matched` for found.
    """
    found = of = 0
    for wanted, offered in zip(reference, candidate, strict=True):
        asked = wanted.scores >= score_min
        partner = matched(wanted, offered, iou_threshold=iou_threshold)
        found += int(np.count_nonzero(partner[asked] >= 0))
        of += int(np.count_nonzero(asked))
    return found, of


def matched(wanted: Detections, offered: Detections, *, iou_threshold: float) -> NDArray[np.int64]:
    """Which of `offered` stands for each of `wanted` in one frame: (len(wanted),) rows, or -1.

    It has the same label, overlaps by `iou_threshold` and stands for no other. Best scores of
    `wanted` choose first, and take the largest overlap.
    """
    partner = np.full(len(wanted), -1, np.int64)
    overlap = iou_matrix(wanted.boxes, offered.boxes)
    overlap[wanted.labels[:, None] != offered.labels[None, :]] = 0.0
    if not overlap.size:
        return partner
    for row in np.argsort(-wanted.scores, kind="stable"):
        if overlap[row].max() >= iou_threshold:
            partner[row] = overlap[row].argmax()
            overlap[:, partner[row]] = 0.0
    return partner


def in_regions(seen: Detections, truth: Truth, *, overlap_min: float) -> NDArray[np.bool_]:
    """(len(seen),) whether a region of its label covers so much of a detection's own area, 0..1.

    Source: COCO's overlap with crowd regions (intersection over the detection's area).
    """
    left = np.maximum(seen.boxes[:, None, :2], truth.regions[None, :, :2])
    right = np.minimum(seen.boxes[:, None, 2:], truth.regions[None, :, 2:])
    covered = np.clip(right - left, 0.0, None).prod(axis=2)
    area = np.clip(seen.boxes[:, 2:] - seen.boxes[:, :2], 0.0, None).prod(axis=1)
    same = seen.labels[:, None] == truth.region_labels[None, :]
    inside = same & (covered >= overlap_min * area[:, None]) & (covered > 0.0)
    return np.asarray(inside.any(axis=1), np.bool_)
