"""Figures of a classifier: accuracy, and precision, recall and F1 of each label, by scikit-learn.

In: predictions in the order of the frames. Out: `Tables`. The likeliest label counts, whatever its
share; the share of frames above the mission's threshold is a figure of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.figures.grouping import Groups, by_condition
from calibration.evaluation.figures.values import Confusion, Figure, FrameRow, Row, Tables
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.confidence_intervals import percentile_95, share_95

Ints = NDArray[np.int64]


def classification_tables(
    predictions: Sequence[Prediction], labels: Sequence[str], groups: Groups, *, score_min: float
) -> Tables:
    """Every figure of a classifier; `score_min` is the mission's threshold."""
    from sklearn.metrics import confusion_matrix  # importing it takes a second

    truth = np.array([prediction.label for prediction in predictions], np.int64)
    predicted = np.array([prediction.likeliest for prediction in predictions], np.int64)
    sure = np.array([prediction.share >= score_min for prediction in predictions])
    every = np.arange(len(predictions))
    present = sorted(set(truth.tolist()))
    numbers = sorted({*present, *(predicted[predicted >= 0].tolist())})
    drawn = groups.resamples(every)
    return Tables(
        score="accuracy",
        overall=_overall("all", truth, predicted, sure=sure, groups=groups, rows=every),
        by_class=tuple(
            _of_label(
                labels[row],
                (truth == row).astype(np.int64),
                (predicted == row).astype(np.int64),
                groups=groups,
                drawn=drawn,
            )
            for row in present
        ),
        by_condition=tuple(
            _overall(name, truth, predicted, sure=sure, groups=groups, rows=rows)
            for name, rows in by_condition(predictions).items()
        ),
        confusion=Confusion(
            tuple(labels[row] for row in numbers),
            tuple(
                tuple(int(count) for count in row)
                for row in confusion_matrix(truth, predicted, labels=numbers)
            ),
        ),
        condition_head=None,
        faults=sum(bool(prediction.fault) for prediction in predictions),
        frames=tuple(
            FrameRow(
                name=prediction.name,
                group=prediction.group,
                right=int(prediction.likeliest == prediction.label),
                missed=int(prediction.likeliest != prediction.label),
                false=0,
                objects=(
                    (int(prediction.label or 0), int(prediction.likeliest == prediction.label)),
                ),
                detections=(
                    (
                        int(-1 if prediction.likeliest is None else prediction.likeliest),
                        prediction.share,
                        0,
                    ),
                ),
                fault=prediction.fault,
            )
            for prediction in predictions
        ),
    )


def condition_head(predictions: Sequence[Prediction], groups: Groups) -> Row | None:
    """Accuracy of the second head over the frames whose road condition is known."""
    rows = np.flatnonzero([prediction.road is not None for prediction in predictions])
    if not len(rows):
        return None
    known = [predictions[int(row)] for row in rows]
    right = np.array(
        [prediction.road == prediction.likeliest_road for prediction in known], np.int64
    )
    return Row(
        "road condition",
        len(rows),
        len(rows),
        {"accuracy": _shared(right, np.ones_like(right), groups.of[rows])},
    )


def _overall(
    name: str, truth: Ints, predicted: Ints, *, sure: NDArray[np.bool_], groups: Groups, rows: Ints
) -> Row:
    truth, predicted, sure, mine = truth[rows], predicted[rows], sure[rows], groups.of[rows]
    right = (truth == predicted).astype(np.int64)
    each = np.ones_like(right)
    drawn = groups.resamples(rows)[:, rows]
    macro = _macro(truth, predicted)
    replicates = _macro_of(truth, predicted, drawn)
    count = len(np.unique(mine))
    return Row(
        name,
        len(rows),
        len(rows),
        {
            "accuracy": Figure(float(right.mean()), share_95(right, each, mine)),
            **{key: Figure(macro[key], percentile_95(replicates[key], count)) for key in macro},
            "answered": _shared(sure.astype(np.int64), each, mine),
            "accuracy of answered": _shared(right * sure, sure.astype(np.int64), mine),
        },
    )


def _of_label(
    name: str,
    is_it: Ints,
    called: Ints,
    *,
    groups: Groups,
    drawn: NDArray[np.float64],
) -> Row:
    both = is_it * called
    with np.errstate(invalid="ignore"):
        f1 = 2.0 * (drawn @ both) / (drawn @ (is_it + called))
    count = len(np.unique(groups.of[is_it > 0]))
    total = int(is_it.sum() + called.sum())
    return Row(
        name,
        int(is_it.sum()),
        int(is_it.sum()),
        {
            "precision": _shared(both, called, groups.of),
            "recall": _shared(both, is_it, groups.of),
            "F1": Figure(2.0 * int(both.sum()) / total, percentile_95(f1, count)),
        },
    )


def _shared(part: Ints, whole: Ints, groups: Ints) -> Figure:
    total = int(whole.sum())
    value = int(part.sum()) / total if total else None
    return Figure(value, share_95(part, whole, groups))


def _macro(truth: Ints, predicted: Ints) -> dict[str, float | None]:
    """Plain means over the labels that occur; a label that is never predicted has precision 0."""
    from sklearn.metrics import precision_recall_fscore_support

    present = sorted(set(truth.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # labels that only `predicted` holds are left out on purpose
        found = precision_recall_fscore_support(
            truth, predicted, labels=present, average="macro", zero_division=0.0
        )
    return dict(zip(("precision", "recall", "F1"), map(float, found[:3]), strict=True))


def _macro_of(
    truth: Ints, predicted: Ints, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """The same three means for each row of weights (B, F)."""
    present = np.array(sorted(set(truth.tolist())), np.int64)
    is_it = (truth[:, None] == present).astype(np.float64)
    called = (predicted[:, None] == present).astype(np.float64)
    both, there, counted = weights @ (is_it * called), weights @ is_it, weights @ called
    with np.errstate(invalid="ignore"):
        precision = np.where(counted > 0, both / counted, 0.0)
        recall = both / there
        f1 = 2.0 * both / (there + counted)
    occurs = there > 0
    return {
        name: np.where(occurs, values, 0.0).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
        for name, values in (("precision", precision), ("recall", recall), ("F1", f1))
    }
