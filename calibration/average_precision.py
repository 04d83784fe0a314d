"""Average precision by COCO rules, from matches that pycocotools makes; for any weights of frames.

Matching looks at one frame at a time, so matches made once serve every subset and every resample:
a frame that counts twice is a weight of 2. Never runs a model.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from calibration.metrics import Truth, coco_box, coco_of
from edge.contract.perception import Detections

IOUS = np.linspace(0.5, 0.95, 10)
"""COCO's overlaps; the first is AP50's."""
RECALLS = np.linspace(0.0, 1.0, 101)

Weights = NDArray[np.float64]
"""(B, F): how often each frame counts in each of B resamples."""


@dataclass(frozen=True)
class Matches:
    """Detections of one label over all frames, best score first.

    Attributes:
        frames: (D,) int64, the frame each is in.
        scores: (D,) float32.
        hits: (D, 10) bool, whether it stands for a true object at each of IOUS.
        objects: (F,) int64, true objects of the label in each frame.
    """

    frames: NDArray[np.int64]
    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    objects: NDArray[np.int64]


def hits_of(
    truths: Sequence[Truth], found: Sequence[Detections], *, classes: int
) -> list[NDArray[np.bool_]]:
    """For each frame (detections, 10) bool: which stand for a true object, by COCO's matching.

    Source: pycocotools; of one label in one frame the 100 best detections are looked at.
    """
    hits = [np.zeros((len(seen), len(IOUS)), np.bool_) for seen in found]
    places = [(frame, row) for frame, seen in enumerate(found) for row in range(len(seen))]
    annotations = [
        {"image_id": frame, "category_id": int(label), **coco_box(box), "iscrowd": 0}
        for frame, truth in enumerate(truths)
        for box, label in zip(truth.boxes, truth.labels, strict=True)
    ]
    if not annotations or not places:
        return hits
    for number, row in enumerate(annotations, start=1):
        row["id"] = number
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
    for judged in evaluation.evalImgs:
        if judged is not None:
            for column, number in enumerate(judged["dtIds"]):
                frame, row = places[number - 1]
                hits[frame][row] = judged["dtMatches"][:, column] > 0
    return hits


def matches_of(
    truths: Sequence[Truth],
    found: Sequence[Detections],
    hits: Sequence[NDArray[np.bool_]],
    *,
    label: int,
) -> Matches:
    """What `hits_of` told of one label. Ties keep the order of frames, as pycocotools has it."""
    mine = [seen.labels == label for seen in found]
    frames = np.repeat(np.arange(len(found)), [np.count_nonzero(rows) for rows in mine])
    scores = np.concatenate([seen.scores[rows] for seen, rows in zip(found, mine, strict=True)])
    told = np.concatenate([hit[rows] for hit, rows in zip(hits, mine, strict=True)])
    order = np.argsort(-scores, kind="stable")
    return Matches(
        frames=frames[order],
        scores=scores[order],
        hits=told[order],
        objects=np.array([np.count_nonzero(t.labels == label) for t in truths], np.int64),
    )


def average_precision(
    matches: Matches, weights: Weights, *, ious: slice = slice(None)
) -> NDArray[np.float64]:
    """(B,) the mean over `ious` of AP of one label, 0..1, for each row of weights (B, F).

    NaN where no such object counts. Source: COCO's definition, 101 recall points; equal to
    pycocotools' `accumulate` on the frames as often as they count.
    """
    objects = weights @ matches.objects
    counted = weights[:, matches.frames]
    found = np.zeros((len(weights), 0))
    for hit in matches.hits[:, ious].T:
        right = np.cumsum(counted * hit, axis=1)
        wrong = np.cumsum(counted * ~hit, axis=1)
        precision = right / (right + wrong + np.spacing(1.0))
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            recall = right / objects[:, None]
        each = [_at_recalls(r, p) for r, p in zip(recall, precision, strict=True)]
        found = np.column_stack([found, each])
    return np.where(objects > 0, found.mean(axis=1), np.nan)


def _at_recalls(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Mean precision at the 101 recall points; 0 beyond the last recall reached."""
    rows = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(precision, 0.0)[rows].mean())
