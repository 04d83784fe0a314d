"""How good detections are: average precision by COCO rules, how much of one set another finds, and
how sure a share is.

Pure functions of boxes; never runs a model.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edge.perception.boxes import iou_matrix
from edge.perception.values import Detections


@dataclass(frozen=True)
class Truth:
    """What is really in one frame.

    Attributes:
        boxes, labels: the objects, (N, 4) float32 xyxy pixels and (N,) int64.
        regions, region_labels: where finding the label is no mistake and finding none is none
            either (crowds, objects too hard to tell), (M, 4) float32 and (M,) int64.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    regions: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    region_labels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


def average_precision_50(
    truths: Sequence[Truth], found: Sequence[Detections], *, classes: int
) -> list[float | None]:
    """AP at IoU 0.5 of each label over all frames, 0..1; None where no such object exists.

    Source: COCO's definition (101 recall points, of one label in one frame the 100 best
    detections), computed by pycocotools.
    """
    if len(truths) != len(found):
        raise ValueError(f"{len(truths)} frames of truth, {len(found)} of detections")
    annotations = coco_annotations(truths)
    results = [
        {"image_id": frame, "category_id": int(label), "score": float(score), **coco_box(box)}
        for frame, seen in enumerate(found)
        for box, label, score in zip(seen.boxes, seen.labels, seen.scores, strict=True)
    ]
    present = {int(label) for truth in truths for label in truth.labels}
    if not present:
        return [None] * classes
    if not results:
        return [0.0 if label in present else None for label in range(classes)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it works
        reference = coco_of(annotations, frames=len(truths), classes=classes)
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][0, :, :, 0, -1]  # all areas, most detections
    return [
        float(precision[:, label].mean()) if label in present else None for label in range(classes)
    ]


def coco_annotations(truths: Sequence[Truth]) -> list[dict[str, object]]:
    """Objects and regions of every frame as pycocotools wants them; regions are its crowds, which
    any number of detections may match by their own area."""
    rows: list[dict[str, object]] = [
        {"image_id": frame, "category_id": int(label), **coco_box(box), "iscrowd": crowd}
        for frame, truth in enumerate(truths)
        for crowd, boxes, labels in (
            (0, truth.boxes, truth.labels),
            (1, truth.regions, truth.region_labels),
        )
        for box, label in zip(boxes, labels, strict=True)
    ]
    return [{"id": number, **row} for number, row in enumerate(rows, start=1)]


def coco_of(annotations: Sequence[dict[str, object]], *, frames: int, classes: int) -> COCO:
    """The truth as pycocotools wants it; frames and classes by number."""
    reference = COCO()
    reference.dataset = {
        "images": [{"id": frame} for frame in range(frames)],
        "annotations": list(annotations),
        "categories": [{"id": label} for label in range(classes)],
    }
    reference.createIndex()
    return reference


def coco_box(box: NDArray[np.float32]) -> dict[str, object]:
    """A box x1 y1 x2 y2 as pycocotools wants it."""
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


def wilson_95(found: float, of: float) -> tuple[float, float]:
    """The 95 % interval of a share found / of, 0..1; (0, 1) where `of` is 0.

    Source: Wilson's score interval (1927), which stays inside 0..1 for small counts. Counts need
    not be whole: an effective count may be given.
    """
    if not of:
        return 0.0, 1.0
    z = 1.959963984540054
    share, spread = found / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # The ends are exact where nothing or everything was found.
    return (middle - half if found else 0.0), (middle + half if found < of else 1.0)
