"""Figures of a detector: AP by COCO rules; precision, recall and F1 at the mission's threshold.

In: predictions in the order of the frames. Out: `Tables`, overall, by class and by condition. Only
labels that the data set knows are judged: where it has no traffic lights, a detected one is not a
mistake, nor is a detection in an ignored region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import Truth
from calibration.evaluation.figures.grouping import Groups, by_condition
from calibration.evaluation.figures.values import Confusion, Figure, FrameRow, Row, Tables
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.average_precision import (
    IGNORED,
    RIGHT,
    Matches,
    average_precision,
    hits_of,
    matches_of,
)
from calibration.metrics.confidence_intervals import percentile_95, share_95
from calibration.metrics.matching import in_regions, match_detections
from edge.perception.values import Detections

IOU_MIN = 0.5
"""IoU from which a detection at the mission's threshold counts as right."""

AP50, AP = slice(0, 1), slice(None)
NOTHING = "nothing"


@dataclass(frozen=True)
class MatchedDetections:
    """The detections of one network in every frame, matched with the ground truth.

    Attributes:
        names: K judged labels; columns below are theirs.
        matches: of each judged label.
        right, missed, false: (F, K) int64, counts at the mission's threshold.
        frames: see `FrameRow`.
        confusion: see `Confusion`; (K + 1, K + 1).
    """

    names: tuple[str, ...]
    matches: tuple[Matches, ...]
    right: NDArray[np.int64]
    missed: NDArray[np.int64]
    false: NDArray[np.int64]
    frames: tuple[FrameRow, ...]
    confusion: NDArray[np.int64]


def match_predictions(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    judged: Sequence[int],
    *,
    score_min: float,
) -> MatchedDetections:
    """Matches every prediction; `score_min` is the mission's threshold."""
    truths = [_truth(prediction) for prediction in predictions]
    found = [_of_labels(prediction, judged) for prediction in predictions]
    hits = hits_of(truths, found, classes=len(labels))
    count = len(judged)
    right, missed, false = (np.zeros((len(predictions), count), np.int64) for _ in range(3))
    confusion = np.zeros((count + 1, count + 1), np.int64)
    column = {label: number for number, label in enumerate(judged)}
    rows: list[FrameRow] = []
    for frame, (prediction, truth, detections) in enumerate(
        zip(predictions, truths, found, strict=True)
    ):
        sure = _select(detections, detections.scores >= score_min)
        partner = match_detections(sure, _as_detections(truth), iou_threshold=IOU_MIN)
        is_false = (partner < 0) & ~in_regions(sure, truth, overlap_min=IOU_MIN)
        is_found = np.isin(np.arange(len(truth.labels)), partner)
        for label, number in column.items():
            mine = truth.labels == label
            right[frame, number] = np.count_nonzero(mine & is_found)
            missed[frame, number] = np.count_nonzero(mine & ~is_found)
            false[frame, number] = np.count_nonzero((sure.labels == label) & is_false)
        _confuse(confusion, sure, truth, column)
        rows.append(
            FrameRow(
                name=prediction.name,
                group=prediction.group,
                right=int(right[frame].sum()),
                missed=int(missed[frame].sum()),
                false=int(false[frame].sum()),
                objects=tuple(
                    (int(label), int(hit))
                    for label, hit in zip(truth.labels, is_found, strict=True)
                ),
                detections=tuple(
                    (int(label), float(f"{score:.9g}"), int(said[0] == RIGHT))
                    for label, score, said in zip(
                        detections.labels, detections.scores, hits[frame], strict=True
                    )
                    if said[0] != IGNORED
                ),
                fault=prediction.fault,
            )
        )
    return MatchedDetections(
        names=tuple(labels[label] for label in judged),
        matches=tuple(matches_of(truths, found, hits, label=label) for label in judged),
        right=right,
        missed=missed,
        false=false,
        frames=tuple(rows),
        confusion=confusion,
    )


def detection_tables(
    predictions: Sequence[Prediction], matched: MatchedDetections, groups: Groups
) -> Tables:
    """Every figure of matched detections."""
    every = np.arange(len(predictions))
    overall = _row("all", matched, groups, every, range(len(matched.names)), ap=True)
    return Tables(
        score="AP50",
        overall=overall,
        by_class=tuple(
            _row(name, matched, groups, every, [number], ap=True)
            for number, name in enumerate(matched.names)
        ),
        by_condition=tuple(
            _row(name, matched, groups, rows, range(len(matched.names)))
            for name, rows in by_condition(predictions).items()
        ),
        confusion=Confusion(
            (*matched.names, NOTHING), tuple(tuple(map(int, row)) for row in matched.confusion)
        ),
        condition_head=None,
        faults=sum(bool(prediction.fault) for prediction in predictions),
        crowded=sum(
            one.detections is not None and one.detections.left_out > 0 for one in predictions
        ),
        frames=matched.frames,
    )


def mean_ap(
    matches: Sequence[Matches], weights: NDArray[np.float64], ious: slice
) -> NDArray[np.float64]:
    """(B,) mean of AP over the labels that occur, for each row of weights; NaN where none does."""
    each = np.array([average_precision(one, weights, ious=ious) for one in matches])
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        total = np.where(known, each, 0.0).sum(axis=0) / known.sum(axis=0)
    return np.asarray(total, np.float64)


def _row(
    name: str,
    matched: MatchedDetections,
    groups: Groups,
    frames: NDArray[np.int64],
    columns: Sequence[int],
    *,
    ap: bool = False,
) -> Row:
    """Figures over some frames and labels; with `ap` also AP over all overlaps, which is slower."""
    matches = [matched.matches[column] for column in columns]
    here = np.zeros((1, len(groups.of)))
    here[0, frames] = 1.0
    drawn = groups.resamples(frames)
    right, missed, false = (
        table[:, list(columns)].sum(axis=1)[frames]
        for table in (matched.right, matched.missed, matched.false)
    )
    mine = groups.of[frames]
    count = len(np.unique(mine))
    objects, said = right + missed, right + false

    def of(ious: slice) -> Figure:
        value = float(mean_ap(matches, here, ious)[0])
        if not np.isfinite(value):
            return Figure(None)
        return Figure(value, percentile_95(mean_ap(matches, drawn, ious), count))

    figures = {"AP50": of(AP50)}
    if ap:
        figures["AP50:95"] = of(AP)
    figures["precision"] = Figure(_share(right, said), share_95(right, said, mine))
    figures["recall"] = Figure(_share(right, objects), share_95(right, objects, mine))
    weights = drawn[:, frames]
    with np.errstate(invalid="ignore"):
        f1 = 2.0 * (weights @ right) / (weights @ (objects + said))
    figures["F1"] = Figure(_share(2 * right, objects + said), percentile_95(f1, count))
    there = len(frames) if len(columns) == len(matched.names) else np.count_nonzero(objects)
    return Row(name, int(there), int(objects.sum()), figures)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> float | None:
    return float(part.sum() / whole.sum()) if whole.sum() else None


def _confuse(
    table: NDArray[np.int64], sure: Detections, truth: Truth, column: dict[int, int]
) -> None:
    """Adds one frame: objects and detections paired by overlap alone, whatever their labels."""
    nothing = len(column)
    blind = Detections(sure.boxes, sure.scores, np.zeros_like(sure.labels))
    partner = match_detections(
        blind,
        _as_detections(Truth(truth.boxes, np.zeros_like(truth.labels))),
        iou_threshold=IOU_MIN,
    )
    aside = in_regions(sure, truth, overlap_min=IOU_MIN)
    for said, row, ignored in zip(sure.labels, partner, aside, strict=True):
        if row < 0 and ignored:
            continue
        true = nothing if row < 0 else column[int(truth.labels[row])]
        table[true, column[int(said)]] += 1
    for row in set(range(len(truth.labels))) - set(partner.tolist()):
        table[column[int(truth.labels[row])], nothing] += 1


def _truth(prediction: Prediction) -> Truth:
    assert prediction.truth is not None  # a detector is evaluated on frames with boxes alone
    return prediction.truth


def _of_labels(prediction: Prediction, judged: Sequence[int]) -> Detections:
    assert prediction.detections is not None
    return _select(prediction.detections, np.isin(prediction.detections.labels, judged))


def _select(detections: Detections, keep: NDArray[np.bool_]) -> Detections:
    return Detections(detections.boxes[keep], detections.scores[keep], detections.labels[keep])


def _as_detections(truth: Truth) -> Detections:
    return Detections(truth.boxes, np.ones(len(truth.boxes), np.float32), truth.labels)
