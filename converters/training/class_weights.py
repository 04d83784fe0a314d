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


def balanced_draw(
    labels: Sequence[str], count: int, *, seed: int | Sequence[int]
) -> NDArray[np.int64]:
    """(count,) rows: the classes in turn, each in its own shuffled order, round and round.

    Unlike a random draw it is exact: no class comes more than once oftener than another.
    """
    if not labels:
        return np.zeros(0, np.int64)
    random = np.random.default_rng(seed)
    classes, of_row = np.unique(labels, return_inverse=True)
    taken = np.empty(count, np.int64)
    for number in range(len(classes)):
        rows = random.permutation(np.flatnonzero(of_row == number))
        turns = taken[number :: len(classes)]
        turns[:] = rows[np.arange(len(turns)) % len(rows)]
    return taken
