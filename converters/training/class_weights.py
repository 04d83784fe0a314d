"""Weights of classes for a loss, and a balanced draw of records, against class imbalance.

Takes labels; returns a weight for each class, or rows. Pure functions.
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
    """(count,) rows: one of each class in turn, each class in its own repeated shuffled order.

    Unlike a random draw it is exact: counts of two classes differ by at most one.
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
