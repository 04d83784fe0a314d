"""Agreement of networks head by head: one class a kind of head.

Takes a model's section of the mission and, frame by frame, what every network puts out; returns for
each head the `Agreement` of every network and its breakdown by class, condition and frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.predictions.frame_outputs import FrameOutputs
from converters.verification.agreement.agreement import (
    IOU_MIN,
    SCORE_MIN,
    Agreement,
    DetectionCounts,
    TopCounts,
    areas_of,
    detections_of,
)
from converters.verification.agreement.breakdown import AgreementBreakdown, Predictions
from converters.verification.agreement.masks import MaskAgreement
from edge.contract.mission.sections.model import Model
from edge.perception.classification import HeadSpec, top_label
from edge.perception.decode import output_shapes
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Floats

PRECISION_SCORE_MIN = 0.05
"""Average precision ranks detections by score, so detections with low scores count too."""


class HeadAgreement(Protocol):
    """Adds up frames for one head. The first of the networks is the reference (float)."""

    def add(self, frame: RoadFrame, outputs: FrameOutputs) -> None:
        """One frame and what every network puts out for it. An output that cannot be decoded finds
        nothing, and is counted."""
        ...

    def result(self) -> dict[str, Agreement]:
        """By network."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The breakdown by class, condition and frame, as plain values."""
        ...


def heads_of(model: Model, networks: Sequence[str]) -> dict[str, HeadAgreement]:
    """Every head of the model by its output's name: the main one, then the condition head."""
    spec = model.network_spec
    names = list(output_shapes(spec, model.input.width_px, model.input.height_px))
    main: HeadAgreement
    if isinstance(spec.main, HeadSpec):
        main = LabelAgreement(0, spec.main, networks)
    elif isinstance(spec.main, MaskSpec):
        main = PixelAgreement(model, networks)
    else:
        main = DetectorAgreement(model, networks)
    heads: dict[str, HeadAgreement] = {names[0]: main}
    if spec.condition is not None:
        heads[names[-1]] = LabelAgreement(-1, spec.condition, networks)
    return heads


class DetectorAgreement:
    """Agreement of detectors; average precision too on frames whose true boxes are known."""

    def __init__(self, model: Model, networks: Sequence[str]) -> None:
        self._counts = DetectionCounts(networks)
        self._breakdown = AgreementBreakdown(model.labels, networks, iou_min=IOU_MIN)

    def add(self, frame: RoadFrame, outputs: FrameOutputs) -> None:
        """See `HeadAgreement`."""
        perceived = outputs.perceptions(score_min=SCORE_MIN)
        self._counts.add(perceived)
        found = {name: Predictions.of(detections_of(one)) for name, one in perceived.items()}
        self._breakdown.add(frame, found)
        if (truth := frame.truth()) is not None:
            unsure = outputs.perceptions(score_min=PRECISION_SCORE_MIN)
            scored = {name: detections_of(one) for name, one in unsure.items()}
            self._breakdown.add_truth(truth, scored, group=frame.group)

    def result(self) -> dict[str, Agreement]:
        """See `HeadAgreement`."""
        return self._counts.result()

    def to_json(self) -> dict[str, Any]:
        """See `HeadAgreement`."""
        return self._breakdown.to_json()


class PixelAgreement:
    """Agreement of segmentation networks, in the cells of their output."""

    def __init__(self, model: Model, networks: Sequence[str]) -> None:
        self._networks = networks
        self._masks = MaskAgreement(model.labels, networks)

    def add(self, frame: RoadFrame, outputs: FrameOutputs) -> None:
        """See `HeadAgreement`."""
        perceived = outputs.perceptions(score_min=0.0)
        areas = {name: areas_of(one) for name, one in perceived.items()}
        self._masks.add(frame, areas, outputs.output(0))

    def result(self) -> dict[str, Agreement]:
        """See `HeadAgreement`."""
        return {name: Agreement.of_masks(self._masks, name) for name in self._networks}

    def to_json(self) -> dict[str, Any]:
        """See `HeadAgreement`."""
        return self._masks.to_json()


class LabelAgreement:
    """Agreement of heads that name the whole frame: a classifier's, or the condition head."""

    def __init__(self, row: int, head: HeadSpec, networks: Sequence[str]) -> None:
        self._row, self._head = row, head
        self._counts = TopCounts(networks)
        self._breakdown = AgreementBreakdown(head.labels, networks, iou_min=IOU_MIN)

    def add(self, frame: RoadFrame, outputs: FrameOutputs) -> None:
        """See `HeadAgreement`."""
        logits = outputs.output(self._row)
        self._counts.add(logits, self._head)
        found = {name: _likeliest(one, self._head) for name, one in logits.items()}
        self._breakdown.add(frame, found)

    def result(self) -> dict[str, Agreement]:
        """See `HeadAgreement`."""
        return self._counts.result()

    def to_json(self) -> dict[str, Any]:
        """See `HeadAgreement`."""
        return self._breakdown.to_json()


def _likeliest(logits: Floats, head: HeadSpec) -> Predictions:
    """The likeliest label; none where the logits cannot be decoded."""
    try:
        return Predictions.top(*top_label(logits, head))
    except ValueError:
        return Predictions.top(None, 0.0)
