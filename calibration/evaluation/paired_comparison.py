"""Compares two evaluations of the same frames, frame by frame, with intervals and McNemar's test.

In: two files of `evaluate`. Out: a `Comparison`: what the second network loses against the first.
Whether a loss is too large is for the reader to decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from scipy.stats import binomtest

from calibration.evaluation.evaluate import SCHEMA, TASKS
from calibration.evaluation.figures.detection import AP50, mean_ap
from calibration.evaluation.figures.segmentation import OF_CLASS, areas_in, mean_ious
from calibration.evaluation.figures.values import FrameRow
from calibration.metrics.average_precision import IOUS, RIGHT, WRONG, Matches
from calibration.metrics.confidence_intervals import Interval, percentile_95, resamples
from edge.contract.artifact import read_json
from firmware_bridge.errors import NotTrusted, UsageError

COMPARISON = "brakepoint.comparison/1"

SEGMENTATION = TASKS["segment"]

SAME = ("task", "labels", "judged")
"""Fields that two evaluations must share to be compared, beside the data."""

_FRAMES: TypeAdapter[tuple[FrameRow, ...]] = TypeAdapter(tuple[FrameRow, ...])


@dataclass(frozen=True)
class SavedEvaluation:
    """An evaluation from its file, with its frames as values."""

    document: Mapping[str, Any]
    frames: tuple[FrameRow, ...]

    @property
    def name(self) -> str:
        """File and precision of its model."""
        model = self.document["model"]
        return f"{model['file']} ({model['precision']})"


@dataclass(frozen=True)
class Pair:
    """One figure of both evaluations.

    Attributes:
        loss: first minus second; positive where the second is worse.
        interval: of the loss, 95 %.
    """

    name: str
    first: float | None
    second: float | None
    loss: float | None
    interval: Interval


@dataclass(frozen=True)
class WorseFrame:
    """A frame in which the second network does worse.

    Attributes:
        lost: objects that only the first found; of a segmentation network, how many more pixels
            are wrong.
        made_up: false detections that only the second has.
    """

    name: str
    lost: int
    made_up: int


@dataclass(frozen=True)
class Comparison:
    """What the second of two evaluations loses.

    Attributes:
        score: the figure that summarizes a network.
        lost, gained: objects (pictures, or labels of a frame by their IoU) that only the first, or
            only the second, has right.
        unit: what `worse` counts.
        p_value: McNemar's exact test: how likely such an uneven split is if both are equally good.
        rows: by class and condition, without intervals.
        worse: frames, worst first.
    """

    first: str
    second: str
    score: Pair
    lost: int
    gained: int
    p_value: float
    rows: tuple[Pair, ...]
    worse: tuple[WorseFrame, ...]
    frames: int
    unit: Literal["objects", "pixels"]

    def payload(self) -> dict[str, Any]:
        """The comparison as plain values, without its schema."""
        return dataclasses.asdict(self)


def read_evaluation(path: Path) -> SavedEvaluation:
    """The evaluation at `path`.

    Raises:
        Missing: no such file.
        NotTrusted: another schema, or not whole.
    """
    document = read_json(path, SCHEMA)
    try:
        evaluation = SavedEvaluation(document, _FRAMES.validate_python(document["frames"]))
        for key in (*SAME, "model", "data", "score", "overall", "by_class", "by_condition"):
            document[key]
        rows = {row for frame in evaluation.frames for row, *_ in frame.pixels}
        if strange := rows.difference(document["judged"]):
            raise KeyError(f"judged label {min(strange)}")
    except (ValidationError, KeyError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"no {error}"
        raise NotTrusted(
            f"{path} is not a whole evaluation",
            expected="a file written by `brakepoint evaluate`",
            found=first,
            remedy="evaluate again",
        ) from error
    return evaluation


def compare(first: SavedEvaluation, second: SavedEvaluation) -> Comparison:
    """What `second` loses against `first`.

    The interval of the loss is a paired cluster bootstrap: both on the same resamples of whole
    groups. McNemar's test ("Note on the sampling error of the difference between correlated
    proportions", 1947; exact, by the binomial) assumes independent objects: with long drives trust
    the interval.

    Raises:
        UsageError: not of the same frames with the same labels.
    """
    _require_same(first, second)
    pairs = list(zip(first.frames, second.frames, strict=True))
    pixels = first.document["task"] == SEGMENTATION
    lost = gained = 0
    worse: list[WorseFrame] = []
    for a, b in pairs:
        only_first = sum(x > y for (_, x), (_, y) in zip(a.objects, b.objects, strict=True))
        only_second = sum(x < y for (_, x), (_, y) in zip(a.objects, b.objects, strict=True))
        lost, gained = lost + only_first, gained + only_second
        missing = max(0, b.missed - a.missed) if pixels else only_first
        made_up = max(0, b.false - a.false)
        if missing + made_up > 0:
            worse.append(WorseFrame(a.name, missing, made_up))
    return Comparison(
        first=first.name,
        second=second.name,
        score=_score(first, second),
        lost=lost,
        gained=gained,
        p_value=mcnemar(lost, gained),
        rows=tuple(_rows(first, second)),
        worse=tuple(sorted(worse, key=lambda one: (-one.lost, -one.made_up, one.name))),
        frames=len(pairs),
        unit="pixels" if pixels else "objects",
    )


def mcnemar(lost: int, gained: int) -> float:
    """Exact two-sided p-value of a split of lost + gained, each side equally likely; 1 for none."""
    count = lost + gained
    return float(binomtest(lost, count, 0.5).pvalue) if count else 1.0


def _score(first: SavedEvaluation, second: SavedEvaluation) -> Pair:
    name = str(first.document["score"])
    values = [evaluation.document["overall"][name]["value"] for evaluation in (first, second)]
    _, groups = np.unique([frame.group for frame in first.frames], return_inverse=True)
    weights = resamples(np.asarray(groups, np.int64))
    drawn = [_resampled_scores(evaluation, weights) for evaluation in (first, second)]
    interval = percentile_95(drawn[0] - drawn[1], int(groups.max(initial=-1)) + 1)
    return _pair(name, *values, interval=interval)


def _resampled_scores(
    evaluation: SavedEvaluation, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The score over each resample."""
    if evaluation.document["task"] == "classification":
        right = np.array([frame.right for frame in evaluation.frames], np.float64)
        return np.asarray(weights @ right / weights.sum(axis=1), np.float64)
    if evaluation.document["task"] == SEGMENTATION:
        return mean_ious(areas_in(evaluation.frames, evaluation.document["judged"]), weights)
    matches = [_matches(evaluation.frames, label) for label in evaluation.document["judged"]]
    return mean_ap(matches, weights, AP50)


def _matches(frames: Sequence[FrameRow], label: int) -> Matches:
    """AP50's matches of one label, from rows of frames; at other IoUs all are WRONG."""
    rows = [
        (number, score, hit)
        for number, frame in enumerate(frames)
        for kind, score, hit in frame.detections
        if kind == label
    ]
    table = np.array(rows, np.float64).reshape(-1, 3)
    order = np.argsort(-table[:, 1], kind="stable")
    verdicts = np.full((len(rows), len(IOUS)), WRONG, np.int8)
    verdicts[table[order, 2] > 0, 0] = RIGHT
    objects = [sum(kind == label for kind, _ in frame.objects) for frame in frames]
    return Matches(
        frames=table[order, 0].astype(np.int64),
        scores=table[order, 1].astype(np.float32),
        verdicts=verdicts,
        objects=np.array(objects, np.int64),
    )


def _rows(first: SavedEvaluation, second: SavedEvaluation) -> list[Pair]:
    rows = []
    for table in ("by_class", "by_condition"):
        other = {row["name"]: row for row in second.document[table]}
        for row in first.document[table]:
            keys = (first.document["score"], OF_CLASS, "F1")
            name = next((key for key in keys if key in row), None)
            if name is not None and row["name"] in other:
                values = row[name]["value"], other[row["name"]][name]["value"]
                rows.append(_pair(f"{row['name']}: {name}", *values, interval=None))
    return rows


def _pair(name: str, first: float | None, second: float | None, *, interval: Interval) -> Pair:
    loss = None if first is None or second is None else first - second
    return Pair(name, first, second, loss, interval)


def _labels_by_frame(evaluation: SavedEvaluation) -> list[tuple[str, list[int]]]:
    """Every frame and the labels of its true objects."""
    return [(frame.name, [label for label, _ in frame.objects]) for frame in evaluation.frames]


def _require_same(first: SavedEvaluation, second: SavedEvaluation) -> None:
    digests = [evaluation.document["data"]["digest"] for evaluation in (first, second)]
    found = [key for key in SAME if first.document[key] != second.document[key]]
    if digests[0] != digests[1]:
        found.append(f"data {digests[0][:12]} and {digests[1][:12]}")
    elif _labels_by_frame(first) != _labels_by_frame(second):
        found.append("frames under one digest: a file was changed by hand")
    if found:
        raise UsageError(
            "these evaluations cannot be compared",
            expected="the same frames, judged on the same labels",
            found="different " + ", ".join(found),
            remedy="evaluate both on the same data: brakepoint evaluate --precision both",
        )
