"""Decides whether equalization pays: keeps the equalized float graph where its INT8 form is closer
to float.

Takes the float graph and calibration frames; returns an `EqualizationChoice`. Both graphs are
quantized whole, each by ranges of its own, and compared by task loss on calibration frames on which
neither was observed. It uses no held-back frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnx import ModelProto

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import spread
from calibration.observation.observe import observe
from calibration.ranges.ranges import range_of
from converters.graph.index import Graph
from converters.graph.passes.pipeline import PassResult
from converters.quantization.equalization.equalize import equalize_network
from converters.quantization.equalization.scale_links import links
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from converters.search.evaluator import Evaluator
from converters.search.task_loss import task_loss_measure
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import preprocess
from edge.progress import Advance

FRAMES = 32
"""Calibration frames that it uses: every second one to observe, the others to compare."""


@dataclass(frozen=True)
class EqualizationTrial:
    """Effect of equalization on INT8, all layers quantized.

    Attributes:
        places: how many there are where scale may move.
        task_loss_before, task_loss_after: mean task loss without and with it; see `task_loss.py`.
    """

    places: int
    task_loss_before: float
    task_loss_after: float

    @property
    def taken(self) -> bool:
        """Whether float.onnx is the equalized graph."""
        return self.task_loss_after < self.task_loss_before

    def to_json(self) -> dict[str, Any]:
        """The section `equalization` of report.json."""
        return {**asdict(self), "taken": self.taken}


@dataclass(frozen=True)
class EqualizationChoice:
    """The better float graph.

    Attributes:
        steps: the passes that made it; empty where it is the given one.
        balance: figures of both; None where equalization was not tried.
    """

    model: ModelProto
    steps: tuple[PassResult, ...]
    balance: EqualizationTrial | None


def choose_equalization(
    model: ModelProto, mission: Mission, frames: Sequence[RoadFrame], *, progress: Advance
) -> EqualizationChoice:
    """Chooses between `model` (float, after all passes) and its equalized form.

    Equalization is not tried where the mission searches nothing, or no scale can move.

    Args:
        frames: of the calibration.
    """
    places = sum(1 for _ in links(Graph(model)))
    if mission.precision.search == "none" or not places:
        return EqualizationChoice(model, (), None)
    progress("equalization", 0, 0)
    spec, threads = mission.model.preprocess_spec, mission.target.threads
    some = spread(frames, FRAMES)
    observed, judging = some[::2], some[1::2] or some
    shown = [preprocess(frame.read(), spec)[0] for frame in observed]
    # On one thread: more would round differently, and the same inputs must give the same file.
    other, step = equalize_network(model, shown, threads=1)
    evaluator = Evaluator(
        model,
        [preprocess(frame.read(), spec)[0] for frame in judging],
        task_loss_measure(mission.model),
        threads=threads,
    )
    before, after = (
        evaluator.task_loss(_whole(graph, mission, observed, progress=progress))
        for graph in (model, other)
    )
    found = EqualizationTrial(places, before, after)
    return (
        EqualizationChoice(other, (step,), found)
        if found.taken
        else EqualizationChoice(model, (), found)
    )


def _whole(
    model: ModelProto, mission: Mission, frames: Sequence[RoadFrame], *, progress: Advance
) -> ModelProto:
    """The graph with every layer in INT8 that the rules allow."""
    placement, asked = place(model), mission.calibration
    seen = observe(
        model,
        placement.pairs,
        frames,
        preprocess_spec=mission.model.preprocess_spec,
        threads=mission.target.threads,
        progress=progress,
    )
    method = "mse" if asked.method == "auto" else asked.method
    ranges = {
        name: range_of(one, method=method, percentile=asked.percentile)
        for name, one in seen.histograms.items()
    }
    return quantize_int8(model, placement, ranges)
