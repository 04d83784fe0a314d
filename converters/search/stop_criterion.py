"""Stop criterion of the search for layers in float: the gates on agreement with float hold on the
search frames, with room for chance.

Takes a candidate and the evaluators that hold the search frames; returns an `AimVerdict`. A gate is
judged on held-back frames, which the search never uses. So on the search frames not the share but
the lower end of its 95 % interval must reach the limit: a share that is high by chance on few
predictions does not end the search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from onnx import ModelProto

from calibration.metrics.confidence_intervals import percentile_95, resamples, wilson_95
from calibration.metrics.pixel_counts import pixel_counts
from converters.search.candidate import Candidate
from converters.search.evaluator import Evaluator
from converters.sources.network import Outputs
from converters.verification.agreement.agreement import (
    SCORE_MIN,
    Agreement,
    DetectionCounts,
    TopCounts,
    areas_of,
)
from converters.verification.agreement.masks import labels_in_frame, mean_iou
from converters.verification.agreement.shares import (
    CONDITION,
    MAIN,
    OTHER,
    agreement_limits,
)
from edge.contract.artifact_names import FLOAT
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.model import Model
from edge.perception.classification import HeadSpec
from edge.perception.decode import perceive, with_threshold
from edge.perception.preprocess import InputPlacement
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Perception

TASK_LOSS_MAX = 0.04
"""Mean task loss that is enough where no gate can decide."""

AS_IT_IS = InputPlacement(1.0, 1.0, 0.0, 0.0)
"""Predictions are compared in pixels of the network input."""


@dataclass(frozen=True)
class GateAgreement:
    """Agreement of a candidate with float on the search frames, for one gate.

    Attributes:
        share: 0..1; of segmentation networks the mean IoU. None where float gives no prediction.
        low: the lower end of its 95 % interval.
        of: how many predictions of float, or pixels.
    """

    share: float | None
    low: float | None
    of: int


@dataclass(frozen=True)
class AimVerdict:
    """Whether a candidate is enough, and its agreement by gate."""

    enough: bool
    kept: Mapping[str, GateAgreement]


class Aim(Protocol):
    """What a candidate must reach."""

    def __call__(self, found: Candidate) -> AimVerdict:
        """Whether it is enough."""
        ...


@dataclass(frozen=True)
class TaskLossAim:
    """A candidate is enough with a mean task loss of at most this, where there is no gate."""

    task_loss_max: float

    def __call__(self, found: Candidate) -> AimVerdict:
        """By the task loss alone."""
        return AimVerdict(found.task_loss <= self.task_loss_max, {})


class GatesAim:
    """A candidate is enough where every gate of `limits` holds on the frames of the evaluators, and
    its task loss is at most `task_loss_max` where that is given.

    Where float finds so little that no share could reach a limit, all of it must be found again,
    and the task loss must be at most TASK_LOSS_MAX.
    """

    def __init__(
        self,
        model: Model,
        limits: Mapping[str, float],
        evaluators: Sequence[Evaluator],
        *,
        task_loss_max: float | None,
    ) -> None:
        self._model, self._limits = model, limits
        self._evaluators, self._task_loss_max = evaluators, task_loss_max

    def __call__(self, found: Candidate) -> AimVerdict:
        """By gates, then by task loss."""
        kept = self.agreement(found.quantized)
        task_loss_max = self._task_loss_max
        enough = True
        for gate, limit in self._limits.items():
            one = kept[gate]
            if one.share is None or one.low is None or _too_few(one, limit):
                enough &= one.share is None or one.share >= 1.0
                task_loss_max = min(task_loss_max or TASK_LOSS_MAX, TASK_LOSS_MAX)
            else:
                enough &= one.low >= limit
        return AimVerdict(
            enough and (task_loss_max is None or found.task_loss <= task_loss_max), kept
        )

    def agreement(self, candidate: ModelProto) -> dict[str, GateAgreement]:
        """Agreement of a candidate with float, by gate."""
        spec = self._model.network_spec
        both = (FLOAT, OTHER)
        detections, tops, conditions = DetectionCounts(both), TopCounts(both), TopCounts(both)
        masks = []
        for wanted, offered in self._answers(candidate):
            raw = {FLOAT: wanted, OTHER: offered}
            if isinstance(spec.main, HeadSpec):
                tops.add({name: one[0] for name, one in raw.items()}, spec.main)
            else:
                seen = {name: self._perceived(one) for name, one in raw.items()}
                if isinstance(spec.main, MaskSpec):
                    sides = [
                        labels_in_frame(areas_of(seen[name]), raw[name][0].shape) for name in both
                    ]
                    classes = len(spec.main.labels)
                    masks.append(pixel_counts(sides[0], sides[1], classes=classes))
                else:
                    detections.add(seen)
            if spec.condition is not None:
                conditions.add({name: one[-1] for name, one in raw.items()}, spec.condition)
        main = _counted((tops if isinstance(spec.main, HeadSpec) else detections).result()[OTHER])
        if isinstance(spec.main, MaskSpec):
            main = _of_masks(np.array(masks))
        if spec.condition is None:
            return {MAIN: main}
        return {MAIN: main, CONDITION: _counted(conditions.result()[OTHER])}

    def _answers(self, candidate: ModelProto) -> Iterator[tuple[Outputs, Outputs]]:
        return chain.from_iterable(evaluator.answers(candidate) for evaluator in self._evaluators)

    def _perceived(self, outputs: Outputs) -> Perception:
        size = (self._model.input.width_px, self._model.input.height_px)
        spec = self._model.network_spec
        score_min = 0.0 if isinstance(spec.main, MaskSpec) else SCORE_MIN
        return perceive(
            outputs,
            with_threshold(spec, score_min),
            placement=AS_IT_IS,
            input_size=size,
            frame_size=size,
        )


def aim_of(mission: Mission, evaluators: Sequence[Evaluator]) -> Aim:
    """What the mission asks for: its gates on agreement with float, or else a task loss."""
    limits, task_loss_max = agreement_limits(mission.gates), mission.precision.task_loss_max
    if mission.model.network_spec.condition is None:
        limits.pop(CONDITION, None)
    if limits:
        return GatesAim(mission.model, limits, evaluators, task_loss_max=task_loss_max)
    return TaskLossAim(TASK_LOSS_MAX if task_loss_max is None else task_loss_max)


def _too_few(kept: GateAgreement, limit: float) -> bool:
    """Whether even full agreement on so few predictions would not reach the limit."""
    return wilson_95(kept.of, kept.of)[0] < limit


def _counted(found: Agreement) -> GateAgreement:
    low = wilson_95(found.found, found.of)[0] if found.of else None
    return GateAgreement(found.share, low, found.of)


def _of_masks(counts: np.ndarray) -> GateAgreement:
    """(F, C, C + 1) pixels; the interval resamples frames, since pixels of one are alike."""
    drawn = resamples(np.arange(len(counts)))
    flat = counts.reshape(len(counts), -1)
    values = [mean_iou((one @ flat).reshape(counts.shape[1:])) for one in drawn]
    known = [one for one in values if one is not None]
    interval = percentile_95(known, len(counts))
    share = mean_iou(counts.sum(axis=0))
    return GateAgreement(share, share if interval is None else interval[0], int(counts.sum()))
