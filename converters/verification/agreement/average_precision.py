"""Average precision of networks on frames with known true boxes, and what each loses against the
first.

Takes the truth and each network's detections frame by frame; returns AP at IoU 0.5, by label and as
a mean, and the losses, each with its 95 % interval. All intervals are of the same resamples of
whole groups of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import average_precision, hits_of, matches_of
from calibration.metrics.confidence_intervals import percentile_95, resamples
from edge.perception.values import Detections

AP50 = slice(0, 1)
"""Of COCO's overlaps the first, 0.5."""

Drawn = NDArray[np.float64]
"""(1 + B,): AP of all frames, then of each resample; NaN where it holds no such object."""


class Precision:
    """Adds up frames. The first of `networks` is the one with which the others are compared."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.truths: list[Truth] = []
        self._networks = tuple(networks)
        self._found: dict[str, list[Detections]] = {name: [] for name in networks}
        self._groups: list[str] = []

    def add(self, truth: Truth, found: Mapping[str, Detections], *, group: str) -> None:
        """One frame, with what each network detects at any score."""
        self.truths.append(truth)
        self._groups.append(group)
        for name in self._networks:
            self._found[name].append(found[name])

    def figures(self, labels: int) -> PrecisionFigures:
        """Figures of every label that has a true box; `labels` is how many there are."""
        objects = np.zeros(labels, np.int64)
        if not self.truths:
            return PrecisionFigures(objects, {}, 0)
        for truth in self.truths:
            objects += np.bincount(truth.labels, minlength=labels)
        present = np.flatnonzero(objects).tolist()
        _, groups = np.unique(self._groups, return_inverse=True)
        weights = resamples(np.asarray(groups, np.int64))
        weights = np.vstack([np.ones(len(self.truths)), weights])
        drawn: dict[str, dict[int, Drawn]] = {}
        for name, found in self._found.items() if present else ():
            hits = hits_of(self.truths, found, classes=labels)
            drawn[name] = {
                label: average_precision(
                    matches_of(self.truths, found, hits, label=label), weights, ious=AP50
                )
                for label in present
            }
        return PrecisionFigures(objects, drawn, int(groups.max(initial=-1)) + 1)


class PrecisionFigures:
    """The figures as plain values; `objects` (labels,) counts the true boxes of each label."""

    def __init__(
        self, objects: NDArray[np.int64], drawn: Mapping[str, Mapping[int, Drawn]], groups: int
    ) -> None:
        self.objects = objects
        self._drawn, self._groups = drawn, groups

    def of_label(self, label: int) -> dict[str, Any]:
        """Network -> AP50 of one label, and its interval; nothing where no truth is known."""
        each = {name: of[label] for name, of in self._drawn.items() if label in of}
        absent = dict.fromkeys(self._drawn) if not each else {}
        return {
            "ap50": {name: float(one[0]) for name, one in each.items()} | absent,
            "ap50_interval": {name: self._interval(one[1:]) for name, one in each.items()} | absent,
        }

    def mean(self) -> dict[str, Any]:
        """Network -> mean over labels with its interval, and its loss against the first network."""
        means = {name: _mean(list(of.values())) for name, of in self._drawn.items()}
        first = next(iter(means.values()), None)
        losses = {} if first is None else {name: first - one for name, one in means.items()}
        return {
            "ap50_mean": {name: float(one[0]) for name, one in means.items()},
            "ap50_mean_interval": {name: self._interval(one[1:]) for name, one in means.items()},
            "ap50_loss": {
                name: {"value": float(one[0]), "interval": self._interval(one[1:])}
                for name, one in list(losses.items())[1:]
            },
        }

    def _interval(self, drawn: Drawn) -> list[float] | None:
        found = percentile_95(drawn, self._groups)
        return None if found is None else list(found)


def _mean(each: Sequence[Drawn]) -> Drawn:
    """Over the labels that occur in a resample."""
    table = np.array(each)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0.0).sum(axis=0) / known.sum(axis=0), np.float64)


NOTHING_KNOWN: Mapping[str, Any] = {"ap50_mean": {}, "ap50_mean_interval": {}, "ap50_loss": {}}
"""The figures of frames without true boxes."""
