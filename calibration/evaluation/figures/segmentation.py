"""Figures of a segmentation network: IoU of each label and their mean, over pixels of all frames.

Pixels of one frame are alike, and frames of one drive: groups are resampled, pixels never. The mean
is over labels that are truly there; where nobody has said what a pixel is, nothing is judged. Pure.
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
"""IoU in a frame at which a label counts as found there, for telling frames apart."""

OTHER = "other"

Ints = NDArray[np.int64]
Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class Areas:
    """Pixels of every frame by judged label, each (F, K) int64.

    Attributes:
        rows: of the judged labels; columns are theirs.
        both: of the label, and called so.
        true: of the label.
        said: called so, among the pixels whose label is known.
    """

    rows: tuple[int, ...]
    both: Ints
    true: Ints
    said: Ints


def areas_of(predictions: Sequence[Prediction], judged: Sequence[int]) -> Areas:
    """What every answer covers."""
    columns = list(judged)
    table = np.zeros((3, len(predictions), len(columns)), np.int64)
    for number, prediction in enumerate(predictions):
        counts = _pixels(prediction)
        table[0, number] = counts[columns, columns]
        table[1, number] = counts[columns].sum(axis=1)
        table[2, number] = counts[:, columns].sum(axis=0)
    return Areas(tuple(columns), *table)


def areas_in(frames: Sequence[FrameRow], judged: Sequence[int]) -> Areas:
    """The same of frames as a file of an evaluation has them."""
    column = {row: number for number, row in enumerate(judged)}
    table = np.zeros((3, len(frames), len(judged)), np.int64)
    for number, frame in enumerate(frames):
        for row, *three in frame.pixels:
            table[:, number, column[row]] = three
    return Areas(tuple(judged), *table)


def label_ious(seen: Areas, weights: Float64s) -> Float64s:
    """(B, K) IoU of every label for each row of weights (B, F); NaN where it is not there.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2015, 4.3.
    """
    both, true, said = (weights @ one for one in (seen.both, seen.true, seen.said))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(true > 0, both / (true + said - both), np.nan)


def mean_ious(seen: Areas, weights: Float64s) -> Float64s:
    """(B,) its mean over the labels that are there; NaN where none is."""
    each = label_ious(seen, weights)
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, each, 0.0).sum(axis=1) / known.sum(axis=1), np.float64)


def segmentation_tables(
    predictions: Sequence[Prediction], labels: Sequence[str], judged: Sequence[int], groups: Groups
) -> Tables:
    """Every figure of what a segmentation network said."""
    seen = areas_of(predictions, judged)
    every = np.arange(len(predictions))
    drawn = groups.resamples(every)
    return Tables(
        score=SCORE,
        overall=_overall("all", seen, groups, every),
        by_class=tuple(
            _of_label(labels[row], seen, column, groups, drawn)
            for column, row in enumerate(seen.rows)
            if seen.true[:, column].any()
        ),
        by_condition=tuple(
            _overall(name, seen, groups, rows) for name, rows in by_condition(predictions).items()
        ),
        confusion=_confusion(predictions, labels, seen.rows),
        condition_head=None,
        faults=sum(bool(prediction.fault) for prediction in predictions),
        frames=tuple(
            _frame(prediction, seen, number) for number, prediction in enumerate(predictions)
        ),
    )


def _overall(name: str, seen: Areas, groups: Groups, rows: Ints) -> Row:
    here = np.zeros((1, len(groups.of)))
    here[0, rows] = 1.0
    mine = groups.of[rows]
    value = float(mean_ious(seen, here)[0])
    right, total = seen.both[rows].sum(axis=1), seen.true[rows].sum(axis=1)
    count = len(np.unique(mine))
    figures = {
        SCORE: Figure(value, percentile_95(mean_ious(seen, groups.resamples(rows)), count))
        if np.isfinite(value)
        else Figure(None),
        ACCURACY: _shared(right, total, mine),
    }
    return Row(name, len(rows), int(total.sum()), figures)


def _of_label(name: str, seen: Areas, column: int, groups: Groups, drawn: Float64s) -> Row:
    both, true, said = (one[:, column] for one in (seen.both, seen.true, seen.said))
    alone = Areas((seen.rows[column],), both[:, None], true[:, None], said[:, None])
    value = float(label_ious(alone, np.ones((1, len(true))))[0, 0])
    count = len(np.unique(groups.of[true > 0]))
    return Row(
        name,
        int(np.count_nonzero(true)),
        int(true.sum()),
        {
            OF_CLASS: Figure(value, percentile_95(label_ious(alone, drawn)[:, 0], count)),
            "precision": _shared(both, said, groups.of),
            "recall": _shared(both, true, groups.of),
        },
    )


def _shared(part: Ints, whole: Ints, groups: Ints) -> Figure:
    total = int(whole.sum())
    return Figure(int(part.sum()) / total if total else None, share_95(part, whole, groups))


def _confusion(
    predictions: Sequence[Prediction], labels: Sequence[str], rows: Sequence[int]
) -> Confusion:
    """Pixels; the last column is of labels that are not judged, or of none."""
    columns = list(rows)
    count = len(columns)
    table = np.zeros((count + 1, count + 1), np.int64)
    for prediction in predictions:
        mine = _pixels(prediction)[columns]
        table[:count, :count] += mine[:, columns]
        table[:count, count] += mine.sum(axis=1) - mine[:, columns].sum(axis=1)
    names = (*(labels[row] for row in rows), OTHER)
    return Confusion(names, tuple(tuple(map(int, row)) for row in table))


def _frame(prediction: Prediction, seen: Areas, number: int) -> FrameRow:
    both, true, said = (one[number] for one in (seen.both, seen.true, seen.said))
    shown = np.flatnonzero((true > 0) | (said > 0))
    return FrameRow(
        name=prediction.name,
        group=prediction.group,
        right=int(both.sum()),
        missed=int(true.sum() - both.sum()),
        false=0,
        objects=tuple(
            (seen.rows[one], int(both[one] >= FOUND * (true[one] + said[one] - both[one])))
            for one in np.flatnonzero(true)
        ),
        detections=(),
        fault=prediction.fault,
        pixels=tuple(
            (seen.rows[one], int(both[one]), int(true[one]), int(said[one])) for one in shown
        ),
    )


def _pixels(prediction: Prediction) -> Ints:
    assert prediction.pixels is not None  # only frames with masks are looked at for such a network
    return prediction.pixels
