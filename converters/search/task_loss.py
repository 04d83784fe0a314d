"""Task loss: how much worse the predictions of a quantized network are, in terms of their use.

Takes raw outputs of float and of a candidate for one picture; returns a `TaskLoss`. It is smooth
where accuracy is not: a layer that costs a twentieth of a score counts a twentieth, so that single
layers can be ranked on few frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.sources.network import Outputs
from edge.contract.mission.sections.model import Model
from edge.perception.classification import HeadSpec, softmax
from edge.perception.decode import DecodeSpec, boxes_and_scores
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Floats

FOREGROUND = 0.1
"""Cells (or pixels) with a score above it hold an object, or nearly so."""

LOST = 2.0
"""Task loss of a cell whose output is not finite: its score and its box are both gone."""

NOISE = 0.05
"""Share of a task loss by which the last bits of a bias change it: smaller differences say
nothing."""


@dataclass(frozen=True)
class TaskLoss:
    """Task loss summed over `weight` predictions: cells above FOREGROUND, pictures, or labels in a
    picture."""

    total: float
    weight: int

    @property
    def mean(self) -> float:
        """Task loss per prediction; the total where float gives none."""
        return self.total / max(self.weight, 1)

    def __add__(self, other: TaskLoss) -> TaskLoss:
        return TaskLoss(self.total + other.total, self.weight + other.weight)


NAMED = 0.001
"""A label that float gives to a smaller share of a picture's pixels does not count: a few at an
edge come and go."""

Measure = Callable[[Outputs, Outputs], TaskLoss]
"""Raw outputs of float and of a candidate for one picture -> the task loss."""

OfOne = Callable[[Floats, Floats], TaskLoss]


def task_loss_measure(model: Model) -> Measure:
    """The measure over all outputs of the model."""
    spec = model.network_spec
    heads: list[OfOne] = []
    if isinstance(spec.main, DecodeSpec):
        heads.append(_detector(spec.main, model.input.width_px, model.input.height_px))
    if isinstance(spec.main, MaskSpec):
        heads.append(_segmenter)
    heads += [_classifier] * (isinstance(spec.main, HeadSpec) + (spec.condition is not None))

    def measure(reference: Outputs, candidate: Outputs) -> TaskLoss:
        seen = TaskLoss(0.0, 0)
        for head, wanted, found in zip(heads, reference, candidate, strict=True):
            seen += head(wanted, found)
        return seen

    return measure


def _detector(spec: DecodeSpec, width_px: int, height_px: int) -> OfOne:
    """For every cell where float's best score is above FOREGROUND: the change of that label's score
    plus the score times (1 - IoU of the two boxes); for every other cell, what its best score has
    risen above FOREGROUND. A detection that stays the same costs 0, one that is lost up to LOST."""

    def of_one(reference: Floats, candidate: Floats) -> TaskLoss:
        boxes, scores = boxes_and_scores(reference, spec, width_px, height_px)
        best = scores.max(axis=1)
        front = np.flatnonzero(best > FOREGROUND)
        label = scores[front].argmax(axis=1)
        score = scores[front, label]
        with np.errstate(over="ignore", invalid="ignore"):
            other_boxes, other_scores = boxes_and_scores(candidate, spec, width_px, height_px)
            overlap = _iou_by_row(boxes[front], other_boxes[front])
            lost = np.abs(other_scores[front, label] - score) + score * (1.0 - overlap)
            risen = np.clip(other_scores.max(axis=1) - np.maximum(best, FOREGROUND), 0.0, None)
        risen[front] = 0.0
        return TaskLoss(float(_bounded(lost).sum() + _bounded(risen).sum()), len(front))

    return of_one


def score_change(spec: DecodeSpec, width_px: int, height_px: int) -> Measure:
    """For every cell of a detector where float's best score is above FOREGROUND, the signed
    change of that label's score: its mean is how much higher the candidate scores. A score that is
    not finite counts as 0."""

    def measure(reference: Outputs, candidate: Outputs) -> TaskLoss:
        _, scores = boxes_and_scores(reference[0], spec, width_px, height_px)
        front = np.flatnonzero(scores.max(axis=1) > FOREGROUND)
        label = scores[front].argmax(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            _, others = boxes_and_scores(candidate[0], spec, width_px, height_px)
            found = others[front, label]
            change = np.where(np.isfinite(found), found, 0.0) - scores[front, label]
        return TaskLoss(float(change.sum()), len(front))

    return measure


def _classifier(reference: Floats, candidate: Floats) -> TaskLoss:
    """Half the sum of the absolute differences of the softmax shares, 0..1 (total variation
    distance)."""
    if not np.isfinite(candidate).all():
        return TaskLoss(LOST, 1)
    moved = 0.5 * float(np.abs(softmax(reference[0]) - softmax(candidate[0])).sum())
    return TaskLoss(moved, 1)


def _segmenter(reference: Floats, candidate: Floats) -> TaskLoss:
    """One minus the soft IoU of each label that float names in the picture: the sum over pixels of
    the smaller of both softmax shares, by that of the larger, where either is above FOREGROUND.

    An IoU of labels would not show a pixel that moves towards another label until it changes; a
    mean over pixels would not show that a small object is lost.
    """
    shares_of = [_pixel_shares(raw[0]) for raw in (reference, candidate)]
    named = np.bincount(reference[0].argmax(axis=0).ravel(), minlength=reference.shape[1])
    rows = np.flatnonzero(named > NAMED * named.sum())
    if not np.isfinite(candidate).all():
        return TaskLoss(LOST * len(rows), len(rows))
    wanted, found = (shares[rows].reshape(len(rows), -1) for shares in shares_of)
    least, most = np.minimum(wanted, found), np.maximum(wanted, found)
    seen = most > FOREGROUND  # a trace of a label in every pixel would hide a small object
    both, either = (np.where(seen, one, 0.0).sum(axis=1) for one in (least, most))
    # With hundreds of labels none may be above it: then there is nothing to lose.
    kept = np.divide(both, either, out=np.ones_like(both), where=either > 0.0)
    return TaskLoss(float((1.0 - kept).sum()), len(rows))


def _pixel_shares(logits: Floats) -> Floats:
    """Softmax over the labels of (C, h, w)."""
    with np.errstate(invalid="ignore", under="ignore", over="ignore"):
        raised = np.exp(logits - logits.max(axis=0))
        return np.asarray(raised / raised.sum(axis=0), np.float32)


def _iou_by_row(a: Floats, b: Floats) -> Floats:
    """Intersection over union of (N, 4) boxes, row by row; inverted boxes overlap nothing."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0.0, None), axis=1) for box in (a, b)]
    union = areas[0] + areas[1] - shared
    found: Floats = np.where(union > 0.0, shared / np.maximum(union, 1e-12), 0.0)
    return found


def _bounded(values: Floats) -> Floats:
    """Values up to LOST; LOST for those that are not finite."""
    return np.where(np.isfinite(values), np.minimum(values, LOST), np.float32(LOST))
