"""How much of what float sees the quantized networks still see, on frames none was calibrated on.

One preprocess, one decode: the device's. Streams; never decides whether it is enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.predictions.frame_outputs import run_networks
from calibration.inference.sessions import Kernels
from calibration.metrics.matching import found_share
from converters.sources.network import Network
from converters.verification.agreement_breakdown import AgreementBreakdown, Predictions
from converters.verification.mask_agreement import MaskAgreement, mean_iou
from converters.verification.parity import Comparison, Parity
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.schema import Mission
from edge.perception.classification import HeadSpec, top
from edge.perception.decode import output_shapes
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Detections, Floats, Known, LabelMap, Perception
from edge.progress import Advance

SCORE_MIN = 0.3
"""Detections of float that count; the networks are decoded at the same score."""
IOU_MIN = 0.5
PRECISION_SCORE_MIN = 0.05
"""Average precision ranks detections by score, so the unsure ones count too."""


KERNELS: dict[str, Kernels] = {FLOAT: "as_written", INT8: "as_written", CPU: "fused"}
"""How each artifact runs when it is judged: cpu.onnx as the device runs it, int8.onnx as the
numeric reference for TensorRT."""

PAIRS = ((FLOAT, INT8), (FLOAT, CPU), (INT8, CPU))
"""Which outputs are compared in numbers: reference, candidate."""


@dataclass(frozen=True)
class Found:
    """What a network still sees of what float sees: of a detector's detections, of frames with
    the same likeliest label, or of pixels with the same label.

    `share` is None where float itself found nothing: then nothing is known. `iou` is the mean over
    float's labels of pixels, which does not forget small things; None of other networks.
    """

    found: int
    of: int
    unreadable_frames: int
    iou: float | None = None

    @property
    def share(self) -> float | None:
        """found / of, or `iou` where there is one, 0..1."""
        if self.iou is not None:
            return self.iou
        return self.found / self.of if self.of else None

    def to_json(self) -> dict[str, Any]:
        """The figures with their share, as plain values."""
        return {**asdict(self), "share": self.share}

    @staticmethod
    def of_masks(seen: MaskAgreement, name: str) -> Found:
        """What `name` keeps of float's labels of pixels."""
        counts = seen.total(name)
        same = int(np.diagonal(counts).sum())
        return Found(same, int(counts.sum()), seen.unreadable(name), mean_iou(counts))


@dataclass(frozen=True)
class Judgement:
    """What the held-back frames say.

    Attributes:
        found: by artifact, what it still sees in the main output.
        condition: by artifact, the same for the condition head; empty where there is none.
        differences: by "reference -> candidate", raw outputs in numbers.
        evaluations: by output, the same told apart by class, condition and frame, as plain values.
        frames: how many were looked at.
    """

    found: dict[str, Found]
    condition: dict[str, Found]
    differences: dict[str, Parity]
    evaluations: dict[str, dict[str, Any]]
    frames: int

    def to_json(self) -> dict[str, Any]:
        """The section `agreement` of report.json."""
        condition = {name: found.to_json() for name, found in self.condition.items()}
        return {
            "score_min": SCORE_MIN,
            "iou_min": IOU_MIN,
            **{name: found.to_json() for name, found in self.found.items()},
            "condition": condition or None,
        }


class _Counts:
    """Adds up Found for each artifact, frame by frame. Subclasses say how one frame compares."""

    def __init__(self, names: Iterable[str]) -> None:
        self._found = {name: Found(0, 0, 0) for name in names}

    def result(self) -> dict[str, Found]:
        return dict(self._found)

    def _add(self, name: str, found: int, of: int, *, unreadable: bool) -> None:
        was = self._found[name]
        self._found[name] = Found(
            was.found + found, was.of + of, was.unreadable_frames + unreadable
        )


class DetectionCounts(_Counts):
    """Detections of float that each network finds."""

    def add(self, seen: Mapping[str, Perception]) -> None:
        """What each network perceived in one frame; Unknown finds nothing."""
        known = {name: _detections(one) for name, one in seen.items()}
        for name, detections in known.items():
            found, of = found_share(
                [known[FLOAT]], [detections], iou_threshold=IOU_MIN, score_min=SCORE_MIN
            )
            self._add(name, found, of, unreadable=not isinstance(seen[name], Known))


class TopCounts(_Counts):
    """Frames in which each network's likeliest label is float's. Thresholds play no part: a network
    that became unsure is not one that says something else."""

    def add(self, raw: Mapping[str, Floats], head: HeadSpec) -> None:
        """The head's logits of each network for one frame."""
        tops = {name: _top(logits, head) for name, logits in raw.items()}
        for name, row in tops.items():
            same = row is not None and row == tops[FLOAT]
            of = tops[FLOAT] is not None
            self._add(name, int(same), int(of), unreadable=row is None)


def _top(logits: Floats, head: HeadSpec) -> int | None:
    try:
        return top(logits, head)[0]
    except ValueError:
        return None


def judge(
    networks: Mapping[str, Network],
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> Judgement:
    """Runs float.onnx, int8.onnx and cpu.onnx over `frames`.

    An output that cannot be decoded counts as finding nothing, and is counted.
    """
    spec = mission.model.network_spec
    names = list(output_shapes(spec, mission.model.input.width_px, mission.model.input.height_px))
    comparisons = {pair: Comparison(names) for pair in PAIRS}
    labels = dict(zip(names, _labels(mission), strict=True))
    evaluations = {
        name: AgreementBreakdown(labels[name], list(networks), iou_min=IOU_MIN) for name in names
    }
    detections, classes, conditions = (
        DetectionCounts(networks),
        TopCounts(networks),
        TopCounts(networks),
    )
    masks = MaskAgreement(mission.model.labels, list(networks))
    for row, frame in enumerate(frames, start=1):
        outputs = run_networks(networks, frame.read(), spec, mission.model.preprocess_spec)
        for (reference, candidate), comparison in comparisons.items():
            comparison.add(outputs.raw[reference], outputs.raw[candidate])
        heads = {}
        if isinstance(spec.main, HeadSpec):
            heads[names[0]] = (spec.main, classes)
        elif isinstance(spec.main, MaskSpec):
            seen = outputs.perceptions(score_min=0.0)
            areas = {name: areas_of(one) for name, one in seen.items()}
            masks.add(frame, areas, outputs.output(0))
        else:
            seen = outputs.perceptions(score_min=SCORE_MIN)
            detections.add(seen)
            known = {name: Predictions.of(_detections(one)) for name, one in seen.items()}
            evaluations[names[0]].add(frame, known)
            if (truth := frame.truth()) is not None:
                unsure = outputs.perceptions(score_min=PRECISION_SCORE_MIN)
                evaluations[names[0]].add_truth(
                    truth,
                    {name: _detections(one) for name, one in unsure.items()},
                    group=frame.group,
                )
        if spec.condition is not None:
            heads[names[-1]] = (spec.condition, conditions)
        for output, (head, counts) in heads.items():
            logits = outputs.output(names.index(output))
            counts.add(logits, head)
            evaluations[output].add(
                frame, {name: _answer(values, head) for name, values in logits.items()}
            )
        progress("judge on held-back frames", row, len(frames))
    told = {name: evaluation.to_json() for name, evaluation in evaluations.items()}
    found = (classes if isinstance(spec.main, HeadSpec) else detections).result()
    if isinstance(spec.main, MaskSpec):
        told[names[0]] = masks.to_json()
        found = {name: Found.of_masks(masks, name) for name in networks}
    return Judgement(
        found=found,
        condition={} if spec.condition is None else conditions.result(),
        differences={
            f"{reference} -> {candidate}": comparison.result()
            for (reference, candidate), comparison in comparisons.items()
        },
        evaluations=told,
        frames=len(frames),
    )


def areas_of(seen: Perception) -> LabelMap | None:
    """What a segmentation network says; None where its output cannot be right."""
    return seen.areas if isinstance(seen, Known) else None


def _detections(seen: Perception) -> Detections:
    return seen.detections if isinstance(seen, Known) else Detections.empty()


def _answer(logits: Floats, head: HeadSpec) -> Predictions:
    """The likeliest label; none where the logits cannot be read."""
    try:
        return Predictions.top(*top(logits, head))
    except ValueError:
        return Predictions.top(None, 0.0)


def _labels(mission: Mission) -> list[tuple[str, ...]]:
    """The labels of every output, in order."""
    condition = mission.model.condition
    return [mission.model.labels, *([] if condition is None else [condition.labels])]
