"""Counts what a network keeps of float's predictions, by class and by condition.

Takes labels and matches frame by frame; returns plain values: each share with its count and its
95 % interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.frames.frame import RoadFrame
from calibration.metrics.confidence_intervals import wilson_95
from edge.perception.conditions import LIGHTS, ROADS, WEATHERS

KINDS: Mapping[str, Sequence[str]] = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}
"""Kinds of conditions, with their words in the order they are shown."""
OWN_WORDS = "as labelled"
"""The kind for the words that the data set itself uses."""


def words_of(frame: RoadFrame) -> dict[str, str | None]:
    """Kind of condition -> the frame's word; None where it is not known."""
    told = frame.conditions
    known = {"weather": told.weather, "light": told.light, "road": told.road}
    return {**known, OWN_WORDS: frame.words or None}


def in_order(kind: str, words: Iterable[str | None]) -> list[str | None]:
    """Words of a kind in the vocabulary's order, the data set's own by name, not known last."""
    order = list(KINDS.get(kind, sorted(word for word in words if word is not None)))
    return sorted(words, key=lambda word: len(order) if word is None else order.index(word))


@dataclass
class Count:
    """Predictions of float (`of`), those that a network gives too (`found`), and those that it
    gives and float does not (`added`)."""

    found: int = 0
    of: int = 0
    added: int = 0

    def add(self, partner: NDArray[np.int64], own: int) -> None:
        """For each prediction of float its match or -1, and how many the network gave."""
        kept = int(np.count_nonzero(partner >= 0))
        self.found += kept
        self.of += len(partner)
        self.added += own - kept

    def to_json(self) -> dict[str, Any]:
        """With the share and its 95 % interval; None where float gave no prediction."""
        low, high = wilson_95(self.found, self.of)
        return {
            "found": self.found,
            "of": self.of,
            "added": self.added,
            "share": self.found / self.of if self.of else None,
            "low": low,
            "high": high,
        }


class Tally:
    """Counts of each network, by label and by condition."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = networks
        self._labels: dict[int, dict[str, Count]] = defaultdict(self._row)
        self._conditions: dict[tuple[str, str | None], dict[str, Count]] = defaultdict(self._row)
        self._frames: dict[tuple[str, str | None], int] = defaultdict(int)

    def _row(self) -> dict[str, Count]:
        return {name: Count() for name in self._networks}

    def add(
        self,
        frame: RoadFrame,
        reference: NDArray[np.int64],
        labels: Mapping[str, NDArray[np.int64]],
        partner: Mapping[str, NDArray[np.int64]],
    ) -> None:
        """One frame: float's labels, each network's, and the match of each of float's, or -1."""
        words = words_of(frame)
        for key in words.items():
            self._frames[key] += 1
        for name in self._networks:
            for label in np.union1d(reference, labels[name]).tolist():
                own = int(np.count_nonzero(labels[name] == label))
                self._labels[label][name].add(partner[name][reference == label], own)
            for key in words.items():
                self._conditions[key][name].add(partner[name], len(labels[name]))

    @property
    def labels(self) -> set[int]:
        """Labels that any network gave."""
        return set(self._labels)

    def by_label(self, label: int) -> dict[str, Any]:
        """Network -> its counts for one label."""
        return {name: count.to_json() for name, count in self._labels[label].items()}

    def by_condition(self) -> dict[str, list[dict[str, Any]]]:
        """Kind -> word, frames and each network's counts, in a fixed order."""
        return {
            kind: [
                {
                    "word": word,
                    "frames": self._frames[kind, word],
                    "networks": {
                        name: count.to_json()
                        for name, count in self._conditions[kind, word].items()
                    },
                }
                for word in in_order(kind, [word for met, word in self._frames if met == kind])
            ]
            for kind in (*KINDS, OWN_WORDS)
        }
