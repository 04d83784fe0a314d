"""The examples, random numbers and learning rate of a training step, as pure functions of the step.

Nothing here has a state, so a resumed training takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.training.class_weights import balanced_draw

ORDER, AUGMENTATION = 1, 2
"""Numbers of the random streams of one seed: order of an epoch, augmentation of a batch."""

WARM_UP_SHARE = 0.2


def rows_of(
    step: int,
    rows: Sequence[int],
    *,
    batch: int,
    seed: int,
    strata: Sequence[str] | None = None,
) -> list[int]:
    """The rows of a step: the next `batch` of epochs that are each shuffled on their own.

    With `strata`, one for each of `rows`, every stratum has an equal share of an epoch of the same
    length, so rows of a rare stratum are repeated.
    """
    picked: list[int] = []
    at = step * batch
    while len(picked) < batch:
        epoch, offset = divmod(at, len(rows))
        if strata is None:
            order = np.random.default_rng([seed, ORDER, epoch]).permutation(len(rows))
        else:
            order = balanced_draw(strata, len(rows), seed=[seed, ORDER, epoch])
        taken = order[offset : offset + batch - len(picked)]
        picked += [rows[row] for row in taken]
        at += len(taken)
    return picked


def random_of(step: int, *, seed: int) -> np.random.Generator:
    """The generator of a step's augmentation."""
    return np.random.default_rng([seed, AUGMENTATION, step])


def learning_rate_of(step: int, *, steps: int, peak: float) -> float:
    """One-cycle schedule: a cosine up over the first fifth, then down to zero
    (arXiv:1708.07120)."""
    rise = max(1.0, WARM_UP_SHARE * steps)
    if step < rise:
        start = peak / 25.0
        return start + (peak - start) * (1.0 - math.cos(math.pi * step / rise)) / 2.0
    return peak * (1.0 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise))) / 2.0
