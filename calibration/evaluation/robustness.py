"""How the score falls when pictures get worse: corruption by corruption, on the same frames.

The corruptions are drawn, not photographed: they tell where a network is weak, not how good it will
be in that weather. Never chooses corruptions: that is the caller's.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from calibration.evaluation.data.evaluation_set import EvaluationSet
from calibration.evaluation.figures.detection import AP50, detected, mean_ap
from calibration.evaluation.figures.grouping import Groups
from calibration.evaluation.figures.segmentation import areas_of, mean_ious
from calibration.evaluation.figures.values import Fall
from calibration.evaluation.predictions.networks import Reading
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.confidence_intervals import percentile_95, resamples
from edge.perception.classification import HeadSpec
from edge.perception.segmentation import MaskSpec
from edge.perception.values import BgrImage
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Corrupted:
    """A change of pictures; the same frame is always changed alike, in every process."""

    name: str
    severity: int

    def __call__(self, image: BgrImage, frame: str) -> BgrImage:
        """The picture of a frame, corrupted."""
        return corrupt(image, self.name, self.severity, seed=zlib.crc32(frame.encode()))


def corruptions(asked: str, severities: str) -> list[Corrupted]:
    """The corruptions named ("fog,rain", or "all"), each in these severities ("1,3,5").

    Raises:
        UsageError: no such corruption or severity.
    """
    names = list(CORRUPTIONS) if asked == "all" else _listed(asked)
    if strange := [name for name in names if name not in CORRUPTIONS]:
        raise UsageError(
            f"no corruption '{strange[0]}'",
            expected=", ".join((*CORRUPTIONS, "all")),
            found=asked,
            remedy="correct --corruptions",
        )
    wanted = _listed(severities)
    if strange := [one for one in wanted if one not in map(str, SEVERITIES)]:
        raise UsageError(
            f"no severity '{strange[0]}'",
            expected=f"some of {','.join(map(str, SEVERITIES))}",
            found=severities,
            remedy="correct --severities",
        )
    return [Corrupted(name, severity) for name in names for severity in sorted(map(int, wanted))]


def _listed(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(one.strip() for one in text.split(",")))


def scores(
    reading: Reading,
    labels: Sequence[str],
    *,
    chosen: EvaluationSet,
    predictions: Sequence[Prediction],
) -> NDArray[np.float64]:
    """AP50, accuracy or mean IoU: the figure that stands for the whole, as the tables have it.

    (1 + REPLICATES,): over all frames, then over resamples of whole groups, the same ones for
    every set of answers to the same frames. NaN where it cannot be told.
    """
    weights = np.vstack([np.ones(len(predictions)), resamples(Groups.named(predictions).of)])
    main = reading.spec.main
    if isinstance(main, HeadSpec):
        right = np.array(
            [prediction.said == prediction.label for prediction in predictions], np.float64
        )
        return np.asarray(weights @ right / weights.sum(axis=1), np.float64)
    if isinstance(main, MaskSpec):
        return mean_ious(areas_of(predictions, chosen.naming.judged), weights)
    seen = detected(predictions, labels, chosen.naming.judged, score_min=main.score_threshold)
    return mean_ap(seen.matches, weights, AP50)


def fall(
    change: Corrupted, clean: NDArray[np.float64], worse: NDArray[np.float64], *, groups: int
) -> Fall:
    """One row of the table, from `scores` without and with the change.

    The interval is a paired cluster bootstrap: both scores on the same resamples of whole groups.
    """
    drops = clean - worse
    score, drop = (float(one[0]) if np.isfinite(one[0]) else None for one in (worse, drops))
    interval = None if drop is None else percentile_95(drops[1:], groups)
    low, high = interval or (None, None)
    return Fall(change.name, change.severity, score, drop, low, high)
