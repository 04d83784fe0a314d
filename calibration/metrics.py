"""How good detections are: average precision by COCO rules, and how much of one set another finds.

Pure functions of boxes; never runs a model.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edge.contract.boxes import iou_matrix
from edge.contract.perception import Detections


@dataclass(frozen=True)
class Truth:
    """What is really in one frame: boxes (N, 4) float32 xyxy pixels, labels (N,) int64."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


def average_precision_50(
    truths: Sequence[Truth], found: Sequence[Detections], *, classes: int
) -> list[float | None]:
    """AP at IoU 0.5 of each label over all frames, 0..1; None where no such object exists.

    Source: COCO's definition (101 recall points), computed by pycocotools.
    """
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} frames of truth, {len(found)} of detections")
    annotations = [
        {"image_id": frame, "category_id": int(label), **_coco_box(box), "iscrowd": 0}
        for frame, truth in enumerate(truths)
        for box, label in zip(truth.boxes, truth.labels, strict=True)
    ]
    for number, row in enumerate(annotations, start=1):
        row["id"] = number
    results = [
        {"image_id": frame, "category_id": int(label), "score": float(score), **_coco_box(box)}
        for frame, seen in enumerate(found)
        for box, label, score in zip(seen.boxes, seen.labels, seen.scores, strict=True)
    ]
    present = {row["category_id"] for row in annotations}
    if not annotations:
        return [None] * classes
    if not results:
        return [0.0 if label in present else None for label in range(classes)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it works
        reference = COCO()
        reference.dataset = {
            "images": [{"id": frame} for frame in range(len(truths))],
            "annotations": annotations,
            "categories": [{"id": label} for label in range(classes)],
        }
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # all areas, most detections
    return [
        float(precision[:, label].mean()) if label in present else None for label in range(classes)
    ]


def _coco_box(box: NDArray[np.float32]) -> dict[str, object]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}


def found_share(
    reference: Sequence[Detections],
    candidate: Sequence[Detections],
    *,
    iou_threshold: float,
    score_min: float,
) -> tuple[int, int]:
    """How many of the reference's detections the candidate finds: (found, of).

    A detection of `reference` with score >= `score_min` is found when a detection of `candidate`
    in the same frame, of the same label and not yet taken, overlaps it by `iou_threshold`. Best
    scores choose first.
    """
    found = of = 0
    for wanted, offered in zip(reference, candidate, strict=True):
        overlap = iou_matrix(wanted.boxes, offered.boxes)
        overlap[wanted.labels[:, None] != offered.labels[None, :]] = 0.0
        for row in np.argsort(-wanted.scores, kind="stable"):
            if wanted.scores[row] < score_min:
                continue
            of += 1
            if overlap.shape[1] and overlap[row].max() >= iou_threshold:
                found += 1
                overlap[:, overlap[row].argmax()] = 0.0
    return found, of
