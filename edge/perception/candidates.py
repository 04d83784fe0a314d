"""Finds the cells of a detector's output that may reach the score threshold, in one comparison.

Raw values of all cells go in; rows come out, or all of them. Every cell whose score reaches the
threshold is among them, whatever the values are, and seldom another: exact scores and boxes are
then computed of these rows alone. Never decides whether a cell is a detection.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import Floats

Rows = NDArray[np.int64] | slice

Candidates = Callable[[Floats, float, float], Rows]
"""From finite values of all cells (N, V), the score threshold and the largest magnitude of any
value to the rows, in ascending order."""

ALL: Rows = slice(None)

_ROUNDING = 1e-5
"""Share by which a threshold is lowered: float32 rounds threshold and score by a tenth of it at
most, from _LEAST on."""
_LEAST = 1e-30


def every_cell(values: Floats, threshold: float, largest: float) -> Rows:
    """All rows: for outputs so small that nothing is gained by leaving cells out."""
    del values, threshold, largest
    return ALL


def by_objectness(values: Floats, threshold: float, largest: float) -> Rows:
    """For scores that are column 4 times one of the columns from 5 on.

    No factor is larger than `largest`, so column 4 is at least the threshold divided by it. Of
    either sign: two negative factors make a score too, if an impossible one.
    """
    if threshold < _LEAST:
        return ALL
    least = threshold * (1.0 - _ROUNDING)
    if least > largest * largest:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.abs(values[:, 4]) >= least / largest)


def by_logit(values: Floats, threshold: float, largest: float) -> Rows:
    """For scores that are the sigmoid of the columns from 4 on: compares them with the threshold's
    own logit."""
    del largest
    if threshold < _LEAST:
        return ALL
    share = min(threshold, 1.0) * (1.0 - _ROUNDING)
    reaches = values >= np.float32(math.log(share) - math.log1p(-share))
    reaches[:, :4] = False
    found = np.flatnonzero(reaches)
    if len(found) >= len(values):
        return ALL
    rows: Rows = np.unique(found // values.shape[1])
    return rows
