"""How much worse a quantized network answers, in terms of what its answers are used for.

Smooth where accuracy is not: a layer that costs a twentieth of a score counts a twentieth, so that
single layers can be ranked on few frames. Pure functions of raw outputs; never decides how much is
too much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from calibration.sessions import Floats
from edge.contract.decode import DECODERS, cells
from edge.contract.mission import Mission

FOREGROUND = 0.1
"""Cells whose float score is above it hold what the network sees, or nearly sees."""

LOST = 2.0
"""What a cell costs whose answer is not a finite number: its score and its box, both gone."""


@dataclass(frozen=True)
class Damage:
    """Damage summed over `weight` answers (cells with something in them, or pictures)."""

    total: float
    weight: int

    @property
    def mean(self) -> float:
        """Damage an answer; the total itself where float gives no answer at all."""
        return self.total / max(self.weight, 1)

    def __add__(self, other: Damage) -> Damage:
        return Damage(self.total + other.total, self.weight + other.weight)


Measure = Callable[[Floats, Floats], Damage]
"""Raw main outputs of float and of the candidate for one picture -> the damage."""


def detector_damage(mission: Mission) -> Measure:
    """For every cell where float's best score is above FOREGROUND: the change of that label's score
    plus the score times (1 - IoU of the two boxes); for every other cell, what its best score has
    risen above FOREGROUND. An answer that stays as it is costs 0, one that is lost up to 2.
    """
    model = mission.model
    arithmetic = DECODERS[model.decode.kind].arithmetic
    grid, stride = cells(model.decode.strides, model.input.width_px, model.input.height_px)

    def measure(reference: Floats, candidate: Floats) -> Damage:
        boxes, scores = arithmetic(reference[0], grid, stride)
        with np.errstate(over="ignore", invalid="ignore"):
            other_boxes, other_scores = arithmetic(candidate[0], grid, stride)
        best = scores.max(axis=1)
        front = np.flatnonzero(best > FOREGROUND)
        label = scores[front].argmax(axis=1)
        score, other = scores[front, label], other_scores[front, label]
        with np.errstate(over="ignore", invalid="ignore"):
            overlap = _iou_by_row(boxes[front], other_boxes[front])
            lost = np.abs(other - score) + score * (1.0 - overlap)
            risen = np.clip(other_scores.max(axis=1) - np.maximum(best, FOREGROUND), 0.0, None)
        risen[front] = 0.0
        total = _finite(lost).sum() + _finite(risen).sum()
        return Damage(float(total), len(front))

    return measure


def classifier_damage() -> Measure:
    """Half the sum of absolute differences of the softmax scores, 0..1: the share of belief that has
    moved to other labels (total variation distance)."""

    def measure(reference: Floats, candidate: Floats) -> Damage:
        moved = 0.5 * np.abs(_softmax(reference) - _softmax(candidate)).sum(axis=-1)
        return Damage(float(_finite(moved).sum()), int(moved.size))

    return measure


def damage_measure(mission: Mission) -> Measure:
    """The measure for the mission's kind of answer."""
    if mission.model.decode.kind in DECODERS:
        return detector_damage(mission)
    return classifier_damage()


def _iou_by_row(a: Floats, b: Floats) -> Floats:
    """Intersection over union of (N, 4) boxes, row by row; inverted boxes overlap nothing."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    areas = [np.prod(np.clip(box[:, 2:] - box[:, :2], 0.0, None), axis=1) for box in (a, b)]
    union = areas[0] + areas[1] - shared
    found: Floats = np.where(union > 0.0, shared / np.maximum(union, 1e-12), 0.0)
    return found


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return found


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), np.minimum(values, LOST), LOST)
