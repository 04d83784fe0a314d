"""Answers to imbalance: weights of classes for a loss, and how often a record is drawn.

Pure arithmetic of labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def class_weights(labels: Sequence[str]) -> dict[str, float]:
    """Weight of every class: records / (classes * records of the class); their mean over records
    is 1. Classes in sorted order.

    Source: King & Zeng, "Logistic Regression in Rare Events Data", 2001; the formula that
    scikit-learn calls "balanced".
    """
    counted = Counter(labels)
    return {label: len(labels) / (len(counted) * count) for label, count in sorted(counted.items())}


def draw_probabilities(labels: Sequence[str]) -> NDArray[np.float64]:
    """(N,) float64, sum 1: drawn with these, every class comes equally often."""
    weights = class_weights(labels)
    found = np.array([weights[label] for label in labels], np.float64)
    return found / max(len(labels), 1)


def balanced_draw(labels: Sequence[str], count: int, *, seed: int) -> NDArray[np.int64]:
    """(count,) rows: the classes in turn, each in its own shuffled order, round and round.

    Unlike a random draw it is exact: no class comes more than once oftener than another.
    """
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    if not rows:
        return np.zeros(0, np.int64)
    random = np.random.default_rng(seed)
    names = sorted(rows)
    shuffled = {name: np.array(rows[name])[random.permutation(len(rows[name]))] for name in names}
    taken = [
        int(
            shuffled[names[turn % len(names)]][
                turn // len(names) % len(rows[names[turn % len(names)]])
            ]
        )
        for turn in range(count)
    ]
    return np.array(taken, np.int64)
