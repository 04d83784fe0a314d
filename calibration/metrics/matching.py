"""Matches detections with others or with ignored regions, by label and overlap.

In: detections of frames. Out: pairs, and how many of one set's detections another finds.
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

    Detections of `reference` count from a score of `score_min` on. One is found if
    `match_detections` gives it a partner.
    """
    found = of = 0
    for wanted, offered in zip(reference, candidate, strict=True):
        asked = wanted.scores >= score_min
        partner = match_detections(wanted, offered, iou_threshold=iou_threshold)
        found += int(np.count_nonzero(partner[asked] >= 0))
        of += int(np.count_nonzero(asked))
    return found, of


def match_detections(
    wanted: Detections, offered: Detections, *, iou_threshold: float
) -> NDArray[np.int64]:
    """The partner in `offered` of each of `wanted` in one frame: (len(wanted),) rows, or -1.

    A partner has the same label and an IoU of at least `iou_threshold`, and is of one detection
    only. The best scores of `wanted` choose first, by the largest IoU.
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


def in_regions(detections: Detections, truth: Truth, *, overlap_min: float) -> NDArray[np.bool_]:
    """(len(detections),) whether a region of its label covers `overlap_min`, 0..1, of its area.

    Source: COCO's overlap with crowd regions (intersection over the detection's area).
    """
    left = np.maximum(detections.boxes[:, None, :2], truth.regions[None, :, :2])
    right = np.minimum(detections.boxes[:, None, 2:], truth.regions[None, :, 2:])
    covered = np.clip(right - left, 0.0, None).prod(axis=2)
    area = np.clip(detections.boxes[:, 2:] - detections.boxes[:, :2], 0.0, None).prod(axis=1)
    same = detections.labels[:, None] == truth.region_labels[None, :]
    inside = same & (covered >= overlap_min * area[:, None]) & (covered > 0.0)
    return np.asarray(inside.any(axis=1), np.bool_)
