"""The calibration profile: what frames of the calibrated kind look like to the network.

`fit` takes the features of calibration frames and gives a `Profile`; `Profile.score` says how far
from them a frame is. A Gaussian in few dimensions and the distance from those dimensions
(probabilistic principal components: Tipping & Bishop 1999, doi:10.1111/1467-9868.00196), with
shrunk weights. Reads and writes JSON values. Never sees a label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import NotTrusted

SCHEMA = "brakepoint.profile/1"

LEAST_FRAMES = 32
"""Frames that a profile needs; with fewer, no frame can be told from an unusual one."""

COMPONENTS = 16
RESIDUAL_WEIGHT = 32.0
"""Dimensions of the Gaussian, and how many all the others count for together: of 8, 16, 32 and 8,
32, all, a pair that separates well on YOLOX-nano (docs/decisions/0054)."""

FOLDS = 5
LIMIT_QUANTILE, LIMIT_MARGIN = 0.99, 1.15
"""The limit: that quantile of the calibration frames' own scores, each by a profile without its
fold, times the margin."""

_DIGITS = 6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """One fitted profile.

    Attributes:
        mean, deviation: (d,), of every feature.
        components: (k, d), orthonormal, of standardised features.
        variances: (k,), along each of them.
        residual: mean squared distance of a calibration frame from their span.
        limit: the score from which on a frame is of another kind.
        frames: number of calibration frames.
    """

    mean: Floats
    deviation: Floats
    components: Floats
    variances: Floats
    residual: float
    limit: float
    frames: int

    def score(self, features: NDArray[np.floating[Any]]) -> float:
        """How unlike the calibration frames a frame with these features is; 1 is usual.

        Raises:
            ValueError: another number of features.
        """
        if features.shape != self.mean.shape:
            raise ValueError(f"{features.size} features, the profile has {self.mean.size}")
        standard = (features - self.mean) / self.deviation
        along = self.components @ standard
        beside = max(float(standard @ standard - along @ along), 0.0)
        squared = float((along**2 / self.variances).sum())
        squared += RESIDUAL_WEIGHT * beside / self.residual
        return float(np.sqrt(squared / (len(self.variances) + RESIDUAL_WEIGHT)))

    def to_json(self) -> dict[str, Any]:
        """Plain values, of six digits."""
        return {
            "mean": _rounded(self.mean),
            "deviation": _rounded(self.deviation),
            "components": [_rounded(row) for row in self.components],
            "variances": _rounded(self.variances),
            "residual": float(f"{self.residual:.{_DIGITS}g}"),
            "limit": float(f"{self.limit:.{_DIGITS}g}"),
            "frames": self.frames,
        }


def profile_of(document: Mapping[str, Any], *, source: str) -> Profile:
    """The profile in a document.

    Raises:
        NotTrusted: it is not whole.
    """
    try:
        mean, deviation, variances = (
            np.array(document[key], np.float64) for key in ("mean", "deviation", "variances")
        )
        components = np.array(document["components"], np.float64)
        numbers = [float(document[key]) for key in ("residual", "limit")]
        frames = int(document["frames"])
        whole = (
            components.shape == (len(variances), len(mean))
            and deviation.shape == mean.shape
            and all(np.isfinite(one).all() for one in (mean, components, numbers))
            and all((one > 0.0).all() for one in (deviation, variances, np.array(numbers)))
        )
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise NotTrusted(
            f"{source} is not a whole profile",
            expected="means, deviations and components of finite numbers",
            found="missing keys, other lengths, or numbers that are none",
            remedy="convert again: brakepoint convert MISSION --out DIR",
        )
    return Profile(mean, deviation, components, variances, numbers[0], numbers[1], frames)


def fit(features: NDArray[np.floating[Any]]) -> Profile:
    """The profile of calibration frames.

    Args:
        features: (frames, forms, d): of at least LEAST_FRAMES frames, by each form of the network.
            Neighbours in the order belong to different folds.

    Raises:
        ValueError: too few frames.
    """
    frames, forms, size = features.shape
    if frames < LEAST_FRAMES:
        raise ValueError(f"{frames} frames, a profile needs {LEAST_FRAMES}")
    rows = np.asarray(features, np.float64).reshape(-1, size)
    whole = _fitted(rows, frames=frames)
    folds = np.repeat(np.arange(frames) % FOLDS, forms)
    scores = np.zeros(len(rows))
    for fold in range(FOLDS):
        others = _fitted(rows[folds != fold], frames=frames)
        scores[folds == fold] = [others.score(row) for row in rows[folds == fold]]
    limit = float(np.quantile(scores, LIMIT_QUANTILE)) * LIMIT_MARGIN
    return replace(whole, limit=limit)


def _fitted(rows: Floats, *, frames: int) -> Profile:
    """The profile of these rows, still without a limit."""
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    # A feature that never changes says nothing until it does: then by a thousandth of its size.
    deviation = np.maximum(deviation, 1e-3 * np.abs(mean) + 1e-6)
    standard = (rows - mean) / deviation
    _, sizes, directions = np.linalg.svd(standard, full_matrices=False)
    kept = min(COMPONENTS, frames // 4)
    variances = np.maximum(sizes[:kept] ** 2 / len(rows), 1e-9)
    residual = max(float((sizes[kept:] ** 2).sum() / len(rows)), 1e-9)
    return Profile(mean, deviation, directions[:kept], variances, residual, np.inf, frames)


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]
