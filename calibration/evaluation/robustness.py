"""How the score falls when pictures get worse: corruption by corruption, on the same frames.

The corruptions are drawn, not photographed: they tell where a network is weak, not how good it will
be in that weather. Never chooses corruptions: that is the caller's.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from calibration.evaluation.answers import Answer, Reading
from calibration.evaluation.data import Chosen
from calibration.evaluation.detection import AP50, detected, mean_ap
from calibration.evaluation.values import Fall
from edge.contract.classify import HeadSpec
from edge.contract.perception import BgrImage
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


def score_of(
    reading: Reading, labels: Sequence[str], *, chosen: Chosen, answers: Sequence[Answer]
) -> float | None:
    """AP50, or accuracy: the figure that stands for the whole, as the tables have it."""
    main = reading.spec.main
    if isinstance(main, HeadSpec):
        return float(np.mean([answer.said == answer.label for answer in answers]))
    seen = detected(answers, labels, chosen.naming.judged, score_min=main.score_threshold)
    value = float(mean_ap(seen.matches, np.ones((1, len(answers))), AP50)[0])
    return value if np.isfinite(value) else None


def fall(change: Corrupted, score: float | None, clean: float | None) -> Fall:
    """One row of the table."""
    drop = None if score is None or clean is None else clean - score
    return Fall(change.name, change.severity, score, drop)
