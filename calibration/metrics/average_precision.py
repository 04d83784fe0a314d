"""Average precision by COCO rules, for any weights of frames; pycocotools matches.

In: ground truth and detections of frames. Out: matches, and AP from matches and weights. Matching
is frame by frame, so matches are made once for every subset and resample: a frame that counts twice
has weight 2.
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

from calibration.dataset.records.ground_truth import Truth
from edge.perception.values import Detections

IOUS = np.linspace(0.5, 0.95, 10)
"""COCO's IoU thresholds; the first is that of AP50."""
RECALLS = np.linspace(0.0, 1.0, 101)

WRONG, RIGHT, IGNORED = 0, 1, -1
"""The verdict of COCO's matching on a detection. An ignored one is neither right nor wrong: it
matches an ignored region, or comes after the 100 best of its label and frame."""

Verdicts = NDArray[np.int8]
"""(detections, 10): WRONG, RIGHT or IGNORED at each of IOUS."""

Weights = NDArray[np.float64]
"""(B, F): how often each frame counts in each of B resamples."""


@dataclass(frozen=True)
class Matches:
    """Detections of one label over all frames, best score first.

    Attributes:
        frames: (D,) int64, the frame of each.
        scores: (D,) float32.
        verdicts: (D, 10), see `Verdicts`.
        objects: (F,) int64, true objects of the label in each frame.
    """

    frames: NDArray[np.int64]
    scores: NDArray[np.float32]
    verdicts: Verdicts
    objects: NDArray[np.int64]


def hits_of(
    truths: Sequence[Truth], found: Sequence[Detections], *, classes: int
) -> list[Verdicts]:
    """The verdicts on each frame's detections, by COCO's matching.

    Source: pycocotools; of one label in one frame the 100 best detections are matched.
    """
    places = [(frame, row) for frame, seen in enumerate(found) for row in range(len(seen))]
    annotations = coco_annotations(truths)
    if not annotations or not places:
        return [np.full((len(seen), len(IOUS)), WRONG, np.int8) for seen in found]
    results = [
        {
            "image_id": frame,
            "category_id": int(found[frame].labels[row]),
            "score": float(found[frame].scores[row]),
            **coco_box(found[frame].boxes[row]),
        }
        for frame, row in places
    ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it works
        reference = coco_of(annotations, frames=len(truths), classes=classes)
        evaluation = COCOeval(reference, reference.loadRes(results), "bbox")
        evaluation.params.areaRng = evaluation.params.areaRng[:1]  # objects of every size
        evaluation.params.iouThrs = IOUS
        evaluation.evaluate()
    verdicts = [np.full((len(seen), len(IOUS)), IGNORED, np.int8) for seen in found]
    for judged in evaluation.evalImgs:
        if judged is not None:
            right = np.where(judged["dtMatches"] > 0, RIGHT, WRONG)
            one = np.where(judged["dtIgnore"], IGNORED, right)
            for column, number in enumerate(judged["dtIds"]):
                frame, row = places[number - 1]
                verdicts[frame][row] = one[:, column]
    return verdicts


def matches_of(
    truths: Sequence[Truth],
    found: Sequence[Detections],
    verdicts: Sequence[Verdicts],
    *,
    label: int,
) -> Matches:
    """The matches of one label, from `hits_of`; ties keep the order of frames, as pycocotools."""
    mine = [seen.labels == label for seen in found]
    frames = np.repeat(np.arange(len(found)), [np.count_nonzero(rows) for rows in mine])
    scores = np.concatenate([seen.scores[rows] for seen, rows in zip(found, mine, strict=True)])
    merged = np.concatenate([one[rows] for one, rows in zip(verdicts, mine, strict=True)])
    order = np.argsort(-scores, kind="stable")
    return Matches(
        frames=frames[order],
        scores=scores[order],
        verdicts=merged[order],
        objects=np.array([np.count_nonzero(t.labels == label) for t in truths], np.int64),
    )


def average_precision(
    matches: Matches, weights: Weights, *, ious: slice = slice(None)
) -> NDArray[np.float64]:
    """(B,) the mean over `ious` of AP of one label, 0..1, for each row of weights (B, F).

    NaN where no object of the label counts. Source: COCO's definition, 101 recall points; equal to
    pycocotools' `accumulate` on frames repeated by their weights.
    """
    objects = weights @ matches.objects
    counted = weights[:, matches.frames]
    found = np.zeros((len(weights), 0))
    for one in matches.verdicts[:, ious].T:
        right = np.cumsum(counted * (one == RIGHT), axis=1)
        wrong = np.cumsum(counted * (one == WRONG), axis=1)
        precision = right / (right + wrong + np.spacing(1.0))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            recall = right / objects[:, None]
        each = [_at_recalls(r, p) for r, p in zip(recall, precision, strict=True)]
        found = np.column_stack([found, each])
    return np.where(objects > 0, found.mean(axis=1), np.nan)


def _at_recalls(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Mean precision at the 101 recall points; 0 beyond the highest recall."""
    rows = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[rows].mean())


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
    """Objects and regions of every frame as annotations of pycocotools. Regions are its crowds:
    any number of detections may match one, by the overlap with their own area."""
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
    """The ground truth as pycocotools' COCO object, with frames and classes by number."""
    reference = COCO()
    reference.dataset = {
        "images": [{"id": frame} for frame in range(frames)],
        "annotations": list(annotations),
        "categories": [{"id": label} for label in range(classes)],
    }
    reference.createIndex()
    return reference


def coco_box(box: NDArray[np.float32]) -> dict[str, object]:
    """A box x1 y1 x2 y2 as an annotation of pycocotools."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
