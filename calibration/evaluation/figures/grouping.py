"""Groups frames by drive or track and by condition, for the figures and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.data.labelled_frames import AXES
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.confidence_intervals import resamples

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Groups:
    """Which group each frame belongs to: (F,) int64 numbers from 0."""

    of: NDArray[np.int64]

    @staticmethod
    def named(predictions: Sequence[Prediction]) -> Groups:
        """The groups by their names."""
        _, numbers = np.unique(
            [prediction.group for prediction in predictions], return_inverse=True
        )
        return Groups(np.asarray(numbers, np.int64))

    def resamples(self, frames: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B, F): how often each frame counts when the groups of `frames` are resampled; other
        frames count 0."""
        drawn = resamples(self.of[frames])
        weights = np.zeros((len(drawn), len(self.of)))
        weights[:, frames] = drawn
        return weights


def by_condition(predictions: Sequence[Prediction]) -> dict[str, NDArray[np.int64]]:
    """Condition -> its frames, axis by axis; "unknown" last, only where others are known.

    Conditions guessed from pixels are apart from those in metadata.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for axis in AXES:
        words = [
            next((word for word in prediction.conditions if word.startswith(axis + " ")), "")
            for prediction in predictions
        ]
        for word in sorted(set(words) - {""}):
            found[word] = np.flatnonzero([word == other for other in words])
        if "" in words and any(words):
            found[f"{axis} {UNKNOWN}"] = np.flatnonzero([not word for word in words])
    return found
