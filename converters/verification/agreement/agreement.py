"""Counts how many of float's predictions another network gives too: detections, likeliest labels,
or labels of pixels.

Takes what every network says of a frame, by name of network, the reference (float) first; returns
an `Agreement` a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calibration.metrics.matching import found_share
from converters.verification.agreement.masks import MaskAgreement, mean_iou
from edge.perception.classification import HeadSpec, top_label
from edge.perception.values import Detections, Floats, Known, LabelMap, Perception

SCORE_MIN = 0.3
"""Detections of float that count; all networks are decoded at the same score."""
IOU_MIN = 0.5
"""Overlap at which two detections of one label are the same."""


@dataclass(frozen=True)
class Agreement:
    """What a network finds again of what float finds: of a detector's detections, of frames with
    the same likeliest label, or of pixels with the same label.

    Attributes:
        found, of: predictions that both give, and all of float's.
        unreadable_frames: frames in which the network's output cannot be decoded.
        iou: mean over float's labels of the IoU of pixels, which gives small objects their weight;
            None of other networks than segmentation.
    """

    found: int
    of: int
    unreadable_frames: int
    iou: float | None = None

    @property
    def share(self) -> float | None:
        """`iou` where there is one, else found / of, 0..1; None where float finds nothing."""
        if self.iou is not None:
            return self.iou
        return self.found / self.of if self.of else None

    def to_json(self) -> dict[str, Any]:
        """The figures with their share, as plain values."""
        return {**asdict(self), "share": self.share}

    @staticmethod
    def of_masks(masks: MaskAgreement, name: str) -> Agreement:
        """Agreement of the network `name` with float on labels of pixels."""
        counts = masks.total(name)
        same = int(np.diagonal(counts).sum())
        return Agreement(same, int(counts.sum()), masks.unreadable(name), mean_iou(counts))


class _Counts:
    """Adds up an Agreement for each network, frame by frame. Subclasses compare one frame."""

    def __init__(self, names: Sequence[str]) -> None:
        self._agreement = {name: Agreement(0, 0, 0) for name in names}
        self._reference = names[0]

    def result(self) -> dict[str, Agreement]:
        """By network."""
        return dict(self._agreement)

    def _add(self, name: str, found: int, of: int, *, unreadable: bool) -> None:
        former = self._agreement[name]
        self._agreement[name] = Agreement(
            former.found + found, former.of + of, former.unreadable_frames + unreadable
        )


class DetectionCounts(_Counts):
    """Detections of float that each network finds."""

    def add(self, perceived: Mapping[str, Perception]) -> None:
        """What each network perceives in one frame; Unknown finds nothing."""
        known = {name: detections_of(one) for name, one in perceived.items()}
        for name, detections in known.items():
            found, of = found_share(
                [known[self._reference]], [detections], iou_threshold=IOU_MIN, score_min=SCORE_MIN
            )
            self._add(name, found, of, unreadable=not isinstance(perceived[name], Known))


class TopCounts(_Counts):
    """Frames in which each network's likeliest label is float's, at any score: a network that
    became unsure still says the same."""

    def add(self, logits: Mapping[str, Floats], head: HeadSpec) -> None:
        """The head's logits (1, C) of each network for one frame."""
        tops = {name: _top(one, head) for name, one in logits.items()}
        wanted = tops[self._reference]
        for name, row in tops.items():
            same = row is not None and row == wanted
            self._add(name, int(same), int(wanted is not None), unreadable=row is None)


def detections_of(perceived: Perception) -> Detections:
    """Detections of a detector in one frame; none where its output cannot be decoded."""
    return perceived.detections if isinstance(perceived, Known) else Detections.empty()


def areas_of(perceived: Perception) -> LabelMap | None:
    """The label map of a segmentation network; None where its output cannot be decoded."""
    return perceived.areas if isinstance(perceived, Known) else None


def _top(logits: Floats, head: HeadSpec) -> int | None:
    try:
        return top_label(logits, head)[0]
    except ValueError:
        return None
