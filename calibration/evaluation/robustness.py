"""Measures how far the score drops when pictures are corrupted, on the same frames.

In: predictions with and without a corruption. Out: a `ScoreDrop` with its interval. Corruptions are
synthetic: they show where a network is weak, not how good it is in real fog or rain.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from calibration.evaluation.data.evaluation_set import EvaluationSet
from calibration.evaluation.figures.detection import AP50, match_predictions, mean_ap
from calibration.evaluation.figures.grouping import Groups
from calibration.evaluation.figures.segmentation import areas_of, mean_ious
from calibration.evaluation.figures.values import ScoreDrop
from calibration.evaluation.predictions.networks import InferenceSpec
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.confidence_intervals import percentile_95, resamples
from edge.perception.classification import HeadSpec
from edge.perception.segmentation import MaskSpec
from edge.perception.values import BgrImage
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class PictureCorruption:
    """A corruption of pictures, seeded by the frame's name: every process gets the same pixels."""

    name: str
    severity: int

    def __call__(self, image: BgrImage, frame: str) -> BgrImage:
        """The picture of a frame, corrupted."""
        return corrupt(image, self.name, self.severity, seed=zlib.crc32(frame.encode()))


def parse_corruptions(asked: str, severities: str) -> list[PictureCorruption]:
    """The corruptions in `asked` ("fog,rain", or "all"), each in these severities ("1,3,5").

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
    return [
        PictureCorruption(name, severity) for name in names for severity in sorted(map(int, wanted))
    ]


def _listed(text: str) -> list[str]:
    """Words between commas, each once."""
    return list(dict.fromkeys(one.strip() for one in text.split(",")))


def scores(
    inference: InferenceSpec,
    labels: Sequence[str],
    *,
    data: EvaluationSet,
    predictions: Sequence[Prediction],
) -> NDArray[np.float64]:
    """The score of a network: AP50, accuracy or mean IoU, as in its tables.

    (1 + REPLICATES,) float64: over all frames, then over resamples of whole groups, which are the
    same for all predictions of the same frames. NaN where it is not defined.
    """
    weights = np.vstack([np.ones(len(predictions)), resamples(Groups.named(predictions).of)])
    main = inference.spec.main
    if isinstance(main, HeadSpec):
        right = np.array(
            [prediction.likeliest == prediction.label for prediction in predictions], np.float64
        )
        return np.asarray(weights @ right / weights.sum(axis=1), np.float64)
    if isinstance(main, MaskSpec):
        return mean_ious(areas_of(predictions, data.mapping.judged), weights)
    seen = match_predictions(
        predictions, labels, data.mapping.judged, score_min=main.score_threshold
    )
    return mean_ap(seen.matches, weights, AP50)


def score_drop(
    change: PictureCorruption,
    clean: NDArray[np.float64],
    worse: NDArray[np.float64],
    *,
    groups: int,
) -> ScoreDrop:
    """The drop under a corruption, from `scores` without and with it.

    The interval is a paired cluster bootstrap: both scores on the same resamples of whole groups.
    """
    drops = clean - worse
    score, drop = (float(one[0]) if np.isfinite(one[0]) else None for one in (worse, drops))
    interval = None if drop is None else percentile_95(drops[1:], groups)
    low, high = interval or (None, None)
    return ScoreDrop(change.name, change.severity, score, drop, low, high)
