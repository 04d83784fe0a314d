"""Breaks agreement with float down by class, by condition and by frame.

Takes every network's predictions for one frame at a time; returns plain values for report.json. It
keeps counts and the predictions of the frames that lost most, no pictures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.matching import match_detections
from converters.verification.agreement.average_precision import Precision
from converters.verification.agreement.counts import Tally, words_of
from edge.perception.values import Detections

WORST_FRAMES = 6


@dataclass(frozen=True)
class Predictions:
    """Predictions of one network for one frame: detections, or the likeliest label of the frame.

    Attributes:
        labels, scores: (N,).
        boxes: (N, 4) in frame pixels; None where the label is of the whole frame.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32] | None

    @staticmethod
    def of(seen: Detections) -> Predictions:
        """Detections as predictions."""
        return Predictions(seen.labels, seen.scores, seen.boxes)

    @staticmethod
    def top(row: int | None, score: float) -> Predictions:
        """The likeliest label of a frame; no prediction where `row` is None."""
        some = [] if row is None else [row]
        scores = np.full(len(some), score, np.float32)
        return Predictions(np.array(some, np.int64), scores, None)


def partners(wanted: Predictions, offered: Predictions, *, iou_min: float) -> NDArray[np.int64]:
    """The row of `offered` that matches each of `wanted`, (N,); -1 where none does."""
    if wanted.boxes is None or offered.boxes is None:
        same = wanted.labels[:, None] == offered.labels[None, :]
        return np.where(same.any(axis=1), 0, -1).astype(np.int64)
    return match_detections(
        Detections(wanted.boxes, wanted.scores, wanted.labels),
        Detections(offered.boxes, offered.scores, offered.labels),
        iou_threshold=iou_min,
    )


@dataclass(frozen=True)
class _FrameRow:
    """One frame: each network's predictions, and which of them matches each of float's."""

    name: str
    words: Mapping[str, str | None]
    predictions: Mapping[str, Predictions]
    partner: Mapping[str, NDArray[np.int64]]
    lost: int
    lost_score: float


class AgreementBreakdown:
    """Adds up frames for one output. The first of `networks` is float, with which each of the
    others is compared."""

    def __init__(self, labels: Sequence[str], networks: Sequence[str], *, iou_min: float) -> None:
        self._labels = labels
        self._floating, *self._candidates = networks
        self._iou_min = iou_min
        self._tally = Tally(self._candidates)
        self._frames = 0
        self._worst: list[_FrameRow] = []
        self._confusions: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        self._precision = Precision(networks)

    def add(self, frame: RoadFrame, predictions: Mapping[str, Predictions]) -> None:
        """One frame, with every network's predictions that count."""
        reference = predictions[self._floating]
        partner = {
            name: partners(reference, predictions[name], iou_min=self._iou_min)
            for name in self._candidates
        }
        own = {name: predictions[name].labels for name in self._candidates}
        self._tally.add(frame, reference.labels, own, partner)
        self._frames += 1
        if reference.boxes is None:
            for name in self._candidates:
                pairs = zip(
                    reference.labels.tolist(), predictions[name].labels.tolist(), strict=False
                )
                self._confusions[name].update(pairs)
        gone = [reference.scores[rows < 0] for rows in partner.values()]
        lost = sum(len(scores) for scores in gone)
        if lost:
            score = float(sum(scores.sum() for scores in gone))
            self._worst.append(
                _FrameRow(frame.name, words_of(frame), predictions, partner, lost, score)
            )
            self._worst.sort(key=lambda row: (-row.lost, -row.lost_score, row.name))
            del self._worst[WORST_FRAMES:]

    def add_truth(self, truth: Truth, scored: Mapping[str, Detections], *, group: str) -> None:
        """One frame with known true boxes, and what each network detects at any score."""
        self._precision.add(truth, scored, group=group)

    def to_json(self) -> dict[str, Any]:
        """By class and by condition in a fixed order, and the frames that lost most."""
        known = len(self._precision.truths)
        precision = self._precision.figures(len(self._labels))
        met = sorted(self._tally.labels | set(np.flatnonzero(precision.objects).tolist()))
        return {
            "frames": self._frames,
            "frames_with_truth": known,
            "by_class": [
                {
                    "label": self._labels[label],
                    "networks": self._tally.by_label(label),
                    "objects": int(precision.objects[label]) if known else None,
                    **precision.of_label(label),
                }
                for label in met
            ],
            **precision.mean(),
            "by_condition": self._tally.by_condition(),
            "confusions": {
                name: [
                    {"float": self._labels[a], "said": self._labels[b], "frames": frames}
                    for (a, b), frames in sorted(pairs.items(), key=lambda row: (-row[1], row[0]))
                ]
                for name, pairs in self._confusions.items()
            },
            "worst_frames": [self._frame_json(row) for row in self._worst],
        }

    def _frame_json(self, row: _FrameRow) -> dict[str, Any]:
        """One frame for the report: every prediction, and which networks lost or added it."""
        told = [
            {**answer, "lost_by": [name for name, rows in row.partner.items() if rows[index] < 0]}
            for index, answer in enumerate(self._prediction_json(row.predictions[self._floating]))
        ]
        others = {
            name: [
                {**answer, "added": index not in rows}
                for index, answer in enumerate(self._prediction_json(row.predictions[name]))
            ]
            for name, rows in row.partner.items()
        }
        return {
            "name": row.name,
            "conditions": dict(row.words),
            "networks": {self._floating: told, **others},
        }

    def _prediction_json(self, given: Predictions) -> list[dict[str, Any]]:
        boxes = [None] * len(given.labels) if given.boxes is None else given.boxes.tolist()
        return [
            {
                "label": self._labels[int(label)],
                "score": round(float(score), 3),
                "box": None if box is None else [round(value, 1) for value in box],
            }
            for box, score, label in zip(boxes, given.scores, given.labels, strict=True)
        ]
