"""Figures of a segmentation network: IoU of each label and their mean, over pixels of all frames.

In: predictions in the order of the frames. Out: `Tables`. Intervals resample whole groups, since
pixels of one frame are alike, and frames of one drive. The mean is over labels that occur in the
ground truth; pixels without a label are not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.figures.grouping import Groups, by_condition
from calibration.evaluation.figures.values import Confusion, Figure, FrameRow, Row, Tables
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.confidence_intervals import percentile_95, share_95

SCORE, OF_CLASS, ACCURACY = "mean IoU", "IoU", "pixel accuracy"
FOUND = 0.5
"""IoU in a frame from which a label counts as found there, to rank and compare frames."""

OTHER = "other"

Ints = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class Areas:
    """Pixels of every frame by judged label, each (F, K) int64.

    Attributes:
        rows: rows of the judged labels; columns are theirs.
        both: of the label, and predicted so.
        true: of the label.
        predicted: predicted so, among the pixels whose label is known.
    """

    rows: tuple[int, ...]
    both: Ints
    true: Ints
    predicted: Ints


def areas_of(predictions: Sequence[Prediction], judged: Sequence[int]) -> Areas:
    """The pixels of every prediction."""
    columns = list(judged)
    table = np.zeros((3, len(predictions), len(columns)), np.int64)
    for number, prediction in enumerate(predictions):
        counts = _pixels(prediction)
        table[0, number] = counts[columns, columns]
        table[1, number] = counts[columns].sum(axis=1)
        table[2, number] = counts[:, columns].sum(axis=0)
    return Areas(tuple(columns), *table)


def areas_in(frames: Sequence[FrameRow], judged: Sequence[int]) -> Areas:
    """The same from the frames in evaluation.json."""
    column = {row: number for number, row in enumerate(judged)}
    table = np.zeros((3, len(frames), len(judged)), np.int64)
    for number, frame in enumerate(frames):
        for row, *three in frame.pixels:
            table[:, number, column[row]] = three
    return Areas(tuple(judged), *table)


def label_ious(areas: Areas, weights: Float64s) -> Float64s:
    """(B, K) IoU of every label for each row of weights (B, F); NaN where it does not occur.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2015, 4.3.
    """
    both, true, predicted = (weights @ one for one in (areas.both, areas.true, areas.predicted))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, both / (true + predicted - both), np.nan)


def mean_ious(areas: Areas, weights: Float64s) -> Float64s:
    """(B,) mean IoU over the labels that occur; NaN where none does."""
    each = label_ious(areas, weights)
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, each, 0.0).sum(axis=1) / known.sum(axis=1), np.float64)


def segmentation_tables(
    predictions: Sequence[Prediction], labels: Sequence[str], judged: Sequence[int], groups: Groups
) -> Tables:
    """Every figure of a segmentation network."""
    areas = areas_of(predictions, judged)
    every = np.arange(len(predictions))
    drawn = groups.resamples(every)
    return Tables(
        score=SCORE,
        overall=_overall("all", areas, groups, every),
        by_class=tuple(
            _of_label(labels[row], areas, column, groups, drawn)
            for column, row in enumerate(areas.rows)
            if areas.true[:, column].any()
        ),
        by_condition=tuple(
            _overall(name, areas, groups, rows) for name, rows in by_condition(predictions).items()
        ),
        confusion=_confusion(predictions, labels, areas.rows),
        condition_head=None,
        faults=sum(bool(prediction.fault) for prediction in predictions),
        frames=tuple(
            _frame(prediction, areas, number) for number, prediction in enumerate(predictions)
        ),
    )


def _overall(name: str, areas: Areas, groups: Groups, rows: Ints) -> Row:
    here = np.zeros((1, len(groups.of)))
    here[0, rows] = 1.0
    mine = groups.of[rows]
    value = float(mean_ious(areas, here)[0])
    right, total = areas.both[rows].sum(axis=1), areas.true[rows].sum(axis=1)
    count = len(np.unique(mine))
    figures = {
        SCORE: Figure(value, percentile_95(mean_ious(areas, groups.resamples(rows)), count))
        if np.isfinite(value)
        else Figure(None),
        ACCURACY: _shared(right, total, mine),
    }
    return Row(name, len(rows), int(total.sum()), figures)


def _of_label(name: str, areas: Areas, column: int, groups: Groups, drawn: Float64s) -> Row:
    both, true, predicted = (one[:, column] for one in (areas.both, areas.true, areas.predicted))
    alone = Areas((areas.rows[column],), both[:, None], true[:, None], predicted[:, None])
    value = float(label_ious(alone, np.ones((1, len(true))))[0, 0])
    count = len(np.unique(groups.of[true > 0]))
    return Row(
        name,
        int(np.count_nonzero(true)),
        int(true.sum()),
        {
            OF_CLASS: Figure(value, percentile_95(label_ious(alone, drawn)[:, 0], count)),
            "precision": _shared(both, predicted, groups.of),
            "recall": _shared(both, true, groups.of),
        },
    )


def _shared(part: Ints, whole: Ints, groups: Ints) -> Figure:
    total = int(whole.sum())
    return Figure(int(part.sum()) / total if total else None, share_95(part, whole, groups))


def _confusion(
    predictions: Sequence[Prediction], labels: Sequence[str], rows: Sequence[int]
) -> Confusion:
    """Pixels of true labels by predicted ones; the last column is of labels that are not judged."""
    columns = list(rows)
    count = len(columns)
    table = np.zeros((count + 1, count + 1), np.int64)
    for prediction in predictions:
        mine = _pixels(prediction)[columns]
        table[:count, :count] += mine[:, columns]
        table[:count, count] += mine.sum(axis=1) - mine[:, columns].sum(axis=1)
    names = (*(labels[row] for row in rows), OTHER)
    return Confusion(names, tuple(tuple(map(int, row)) for row in table))


def _frame(prediction: Prediction, areas: Areas, number: int) -> FrameRow:
    both, true, predicted = (one[number] for one in (areas.both, areas.true, areas.predicted))
    shown = np.flatnonzero((true > 0) | (predicted > 0))
    return FrameRow(
        name=prediction.name,
        group=prediction.group,
        right=int(both.sum()),
        missed=int(true.sum() - both.sum()),
        false=0,
        objects=tuple(
            (areas.rows[one], int(both[one] >= FOUND * (true[one] + predicted[one] - both[one])))
            for one in np.flatnonzero(true)
        ),
        detections=(),
        fault=prediction.fault,
        pixels=tuple(
            (areas.rows[one], int(both[one]), int(true[one]), int(predicted[one])) for one in shown
        ),
    )


def _pixels(prediction: Prediction) -> Ints:
    assert prediction.pixels is not None  # such a network is evaluated on frames with masks alone
    return prediction.pixels
