"""Metrics of a judgement: AP50, precision, recall and F1 of detections; accuracy, precision, recall
and F1 of classes.

Takes ground truth and predictions; returns figures. Pure functions over scikit-learn and
pycocotools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import average_precision_50
from calibration.metrics.matching import found_share
from converters.training.tasks.task import Figures, Judgement
from edge.perception.values import Detections

IOU_MIN = 0.5


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def detection_figures(
    truths: Sequence[Truth], found: Sequence[Detections], *, classes: int, score_min: float
) -> Figures:
    """AP50 (mean over labels), and precision, recall, F1 of detections with score >= `score_min`.

    A detection is right if it overlaps an unmatched true box of its label by an IoU of 0.5.
    """
    sure = [_above(seen, score_min) for seen in found]
    real = [
        Detections(truth.boxes, np.ones(len(truth.boxes), np.float32), truth.labels)
        for truth in truths
    ]
    hit, there = found_share(real, sure, iou_threshold=IOU_MIN, score_min=0.0)
    right, said = found_share(sure, real, iou_threshold=IOU_MIN, score_min=0.0)
    precision = right / said if said else None
    recall = hit / there if there else None
    both = precision is not None and recall is not None and precision + recall > 0.0
    return {
        "frames": len(truths),
        "objects": there,
        "ap50": mean(average_precision_50(truths, found, classes=classes)),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if both else None,  # type: ignore[operator] # both are known
    }


def _above(seen: Detections, score_min: float) -> Detections:
    keep = seen.scores >= score_min
    return Detections(seen.boxes[keep], seen.scores[keep], seen.labels[keep])


def class_judgement(
    truth: NDArray[np.int64], answer: NDArray[np.int64], *, labels: Sequence[str]
) -> Judgement:
    """Accuracy, and precision, recall, F1 of each label and as their plain mean (macro).

    The score is the accuracy.
    """
    numbers = list(range(len(labels)))
    precision, recall, f1, count = precision_recall_fscore_support(
        truth, answer, labels=numbers, zero_division=np.nan
    )
    accuracy = float(accuracy_score(truth, answer))
    by_label = {
        label: {
            "precision": _known(precision[row]),
            "recall": _known(recall[row]) if count[row] else None,
            "f1": _known(f1[row]) if count[row] else None,
            "examples": int(count[row]),
        }
        for row, label in enumerate(labels)
    }
    macro = {
        name: mean([figures[name] for figures in by_label.values()])
        for name in ("precision", "recall", "f1")
    }
    table = confusion_matrix(truth, answer, labels=numbers)
    return Judgement(
        score=accuracy,
        figures={"examples": len(truth), "accuracy": accuracy, **macro},
        by_label=by_label,
        confusion=tuple(tuple(int(count) for count in row) for row in table),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
