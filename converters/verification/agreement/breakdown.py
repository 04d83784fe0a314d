"""What the quantized networks keep of float, told apart by class, by condition and by frame.

Counts and keeps the worst few answers; holds no pictures and never decides whether it is enough.
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
    """What one network says of one frame: detections, or the one likeliest label of the whole.

    Attributes:
        labels, scores: (N,).
        boxes: (N, 4) in frame pixels; None where the answer is of the whole frame.
    """

    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32] | None

    @staticmethod
    def of(seen: Detections) -> Predictions:
        """Detections as answers."""
        return Predictions(seen.labels, seen.scores, seen.boxes)

    @staticmethod
    def top(row: int | None, score: float) -> Predictions:
        """The likeliest label of a frame; no answer where there is none."""
        some = [] if row is None else [row]
        scores = np.full(len(some), score, np.float32)
        return Predictions(np.array(some, np.int64), scores, None)


def partners(wanted: Predictions, offered: Predictions, *, iou_min: float) -> NDArray[np.int64]:
    """Which of `offered` stands for each of `wanted`: (N,) rows, or -1."""
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
    """One frame: what each network said, and which of it stands for each answer of float."""

    name: str
    words: Mapping[str, str | None]
    said: Mapping[str, Predictions]
    partner: Mapping[str, NDArray[np.int64]]
    lost: int
    lost_score: float


class AgreementBreakdown:
    """Adds up frames for one output. The first of `networks` is float: the others are held against
    it, each on its own."""

    def __init__(self, labels: Sequence[str], networks: Sequence[str], *, iou_min: float) -> None:
        self._labels = labels
        self._floating, *self._candidates = networks
        self._iou_min = iou_min
        self._tally = Tally(self._candidates)
        self._frames = 0
        self._worst: list[_FrameRow] = []
        self._confusions: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
        self._precision = Precision(networks)

    def add(self, frame: RoadFrame, said: Mapping[str, Predictions]) -> None:
        """One frame, with every network's answers that count."""
        reference = said[self._floating]
        partner = {
            name: partners(reference, said[name], iou_min=self._iou_min)
            for name in self._candidates
        }
        own = {name: said[name].labels for name in self._candidates}
        self._tally.add(frame, reference.labels, own, partner)
        self._frames += 1
        if reference.boxes is None:
            for name in self._candidates:
                pairs = zip(reference.labels.tolist(), said[name].labels.tolist(), strict=False)
                self._confusions[name].update(pairs)
        gone = [reference.scores[rows < 0] for rows in partner.values()]
        lost = sum(len(scores) for scores in gone)
        if lost:
            score = float(sum(scores.sum() for scores in gone))
            self._worst.append(_FrameRow(frame.name, words_of(frame), said, partner, lost, score))
            self._worst.sort(key=lambda row: (-row.lost, -row.lost_score, row.name))
            del self._worst[WORST_FRAMES:]

    def add_truth(self, truth: Truth, scored: Mapping[str, Detections], *, group: str) -> None:
        """One frame whose truth is known, with what each network detects at any score."""
        self._precision.add(truth, scored, group=group)

    def to_json(self) -> dict[str, Any]:
        """By class and by condition in a fixed order, and the frames that lost most."""
        known = len(self._precision.truths)
        precision = self._precision.told(len(self._labels))
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
            "worst_frames": [self._told(row) for row in self._worst],
        }

    def _told(self, row: _FrameRow) -> dict[str, Any]:
        """One frame for the report: every answer, and what became of it."""
        told = [
            {**answer, "lost_by": [name for name, rows in row.partner.items() if rows[index] < 0]}
            for index, answer in enumerate(self._answers(row.said[self._floating]))
        ]
        others = {
            name: [
                {**answer, "added": index not in rows}
                for index, answer in enumerate(self._answers(row.said[name]))
            ]
            for name, rows in row.partner.items()
        }
        return {
            "name": row.name,
            "conditions": dict(row.words),
            "networks": {self._floating: told, **others},
        }

    def _answers(self, said: Predictions) -> list[dict[str, Any]]:
        boxes = [None] * len(said.labels) if said.boxes is None else said.boxes.tolist()
        return [
            {
                "label": self._labels[int(label)],
                "score": round(float(score), 3),
                "box": None if box is None else [round(value, 1) for value in box],
            }
            for box, score, label in zip(boxes, said.scores, said.labels, strict=True)
        ]
