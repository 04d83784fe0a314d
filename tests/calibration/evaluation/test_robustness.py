"""Confidence intervals of a loss under corruption: paired, and by whole groups."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration.evaluation.figures.values import ScoreDrop
from calibration.evaluation.robustness import PictureCorruption, score_drop
from calibration.metrics.confidence_intervals import resamples

FOG = PictureCorruption("fog", 3)


def fell(
    clean: NDArray[np.bool_], worse: NDArray[np.bool_], groups: NDArray[np.int64]
) -> ScoreDrop:
    weights = np.vstack([np.ones(len(clean)), resamples(groups)])
    one, other = (weights @ right / weights.sum(axis=1) for right in (clean, worse))
    return score_drop(FOG, one, other, groups=len(np.unique(groups)))


def test_the_interval_is_of_the_difference_on_the_same_frames() -> None:
    random = np.random.default_rng(0)
    clean = random.random(400) < 0.6
    worse = clean & (random.random(400) < 0.9)
    found = fell(clean, worse, np.arange(400))
    assert found.low is not None
    assert found.high is not None
    assert found.drop == pytest.approx(clean.mean() - worse.mean())
    # By binomial arithmetic sqrt(0.06 * 0.94 / 400); unpaired it would be three times as wide.
    assert 0.0 < found.low < (found.drop or 0.0) < found.high
    assert 0.02 < found.high - found.low < 0.07
    # Frames of one drive are alike: four drives of a hundred tell less than 400 drives.
    drives = np.repeat(np.arange(4), 100)
    lost = np.where(drives == 0, clean & False, clean)
    whole = fell(clean, lost, drives)
    assert whole.low is not None
    assert whole.high is not None
    assert whole.high - whole.low > 0.3


def test_what_cannot_be_told_is_not_told() -> None:
    nothing = np.full(501, np.nan)
    assert score_drop(FOG, nothing, nothing, groups=9) == ScoreDrop(
        "fog", 3, None, None, None, None
    )
    right = np.ones(30, np.bool_)
    assert fell(right, right, np.zeros(30, np.int64)) == ScoreDrop("fog", 3, 1.0, 0.0, None, None)
