"""The stage that makes int8.onnx and cpu.onnx from float.onnx and ranges.

Runs adaptive rounding and the mixed precision search on calibration frames alone; returns both
graphs, the placement of Q/DQ, and how it was chosen. Held-back frames are never read here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import spread
from calibration.ranges.ranges import Range
from converters.conversion.tuned_weights import Tuned
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.integer_products import integer_multiplications
from converters.quantization.adaptive_rounding import round_weights, with_weights
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.qdq import quantize_int8
from converters.quantization.range_scaling import scaled_ranges
from converters.search.candidate import Candidate
from converters.search.checkpoint import NAME as CHECKPOINT
from converters.search.checkpoint import SearchCheckpoint
from converters.search.evaluator import Evaluator, Writer, Writers
from converters.search.mixed_precision import Search, choose_cpu, search_mixed_precision
from converters.search.score_bias import ScoreBias, Scores, with_score_bias
from converters.search.stop_criterion import aim_of
from converters.search.task_loss import task_loss_measure
from edge.contract.artifact_names import CPU, INT8
from edge.contract.mission.schema import Mission
from edge.perception.decode import DecodeSpec
from edge.perception.preprocess import preprocess
from edge.perception.segmentation import MaskSpec
from edge.perception.values import Floats
from edge.progress import Advance

Write = Callable[[ModelProto, QdqPlacement, Mapping[str, Range]], ModelProto]
"""Writes a float graph in INT8: graph, placement, ranges -> graph."""


@dataclass(frozen=True)
class QuantizationFacts:
    """Where INT8 was placed, and how the search chose it.

    Attributes:
        range_scale: factor on all ranges of ranges.json.
        in_integers: multiply-accumulates of cpu.onnx that onnxruntime computes in integers, by its
            operators.
        score_bias: correction of the score biases of int8.onnx and cpu.onnx, by name; empty without
            a search, or where the network is no detector.
    """

    placement: QdqPlacement
    search: Search | None
    range_scale: float
    score_bias: dict[str, ScoreBias]
    in_integers: dict[str, int]


def quantize(
    mission: Mission,
    floating: ModelProto,
    ranges: Mapping[str, Range],
    calibration: Sequence[RoadFrame],
    *,
    progress: Advance,
    tuned: Tuned | None,
    begun: Path,
) -> tuple[dict[str, ModelProto], QuantizationFacts]:
    """int8.onnx and cpu.onnx by name; the search reads frames of `calibration` alone.

    An interrupted search continues from its checkpoint in the folder `begun`. With `tuned` there is
    no search: placement and weights are those of the fine-tuning.
    """
    asked, threads = mission.precision, mission.target.threads
    if asked.search == "none" and tuned is None:
        placement = place(floating)
        int8 = quantize_int8(floating, placement, ranges)
        cpu = quantize_cpu(floating, placement, ranges)
        return _made({INT8: int8, CPU: cpu}, placement)
    searched = spread(calibration, asked.search_frames)
    others = [frame for frame in calibration if frame not in searched]
    spec = mission.model.preprocess_spec
    pictures = [
        [preprocess(frame.read(), spec)[0] for frame in part]
        for part in (searched, spread(others or searched, asked.search_frames))
    ]
    measure = task_loss_measure(mission.model)
    evaluator = Evaluator(
        floating,
        pictures[0],
        measure,
        threads=threads,
        checkpoint=SearchCheckpoint(begun / CHECKPOINT),
    )
    if tuned is not None:
        wide = scaled_ranges(ranges, tuned.range_scale)
        models, placement = tuned.quantized(floating, wide, evaluator, pictures[1], threads=threads)
        return _made(models, placement, range_scale=tuned.range_scale)
    whole = place(floating)
    progress("round weights", 0, 0)
    rounded = round_weights(floating, whole, pictures[1], threads=threads)

    def writers(write: Write) -> Writers:
        def of(range_scale: float) -> tuple[Writer, Writer]:
            wide = scaled_ranges(ranges, range_scale)

            def nearest(graph: ModelProto, placement: QdqPlacement) -> ModelProto:
                return write(graph, placement, wide)

            def together(graph: ModelProto, placement: QdqPlacement) -> ModelProto:
                return nearest(with_weights(graph, rounded, placement), placement)

            return nearest, together

        return of

    judges = [evaluator]
    if others and not isinstance(mission.model.network_spec.main, MaskSpec):  # masks are large
        judges.append(Evaluator(floating, pictures[1], measure, threads=threads))
    aim = aim_of(mission, judges)
    mixed = search_mixed_precision(
        floating,
        writers(quantize_int8),
        evaluator,
        pictures[1],
        macs_int8_min=asked.macs_int8_min,
        aim=aim,
        threads=threads,
        progress=progress,
    )
    own = choose_cpu(
        floating,
        writers(quantize_cpu),
        evaluator,
        pictures[1],
        mixed,
        aim=aim,
        threads=threads,
        progress=progress,
    )
    best = {INT8: mixed.best, CPU: own}
    models, biases = _scored(best, floating, mission, judges, pictures[1][0], progress=progress)
    return _made(
        models,
        mixed.placement,
        search=mixed.search,
        range_scale=mixed.search.range_scale,
        score_bias=biases,
    )


def _made(
    models: dict[str, ModelProto],
    placement: QdqPlacement,
    *,
    search: Search | None = None,
    range_scale: float = 1.0,
    score_bias: dict[str, ScoreBias] | None = None,
) -> tuple[dict[str, ModelProto], QuantizationFacts]:
    in_integers = integer_multiplications(models[CPU].SerializeToString())
    return models, QuantizationFacts(placement, search, range_scale, score_bias or {}, in_integers)


def _scored(
    best: Mapping[str, Candidate],
    floating: ModelProto,
    mission: Mission,
    judges: Sequence[Evaluator],
    picture: Floats,
    *,
    progress: Advance,
) -> tuple[dict[str, ModelProto], dict[str, ScoreBias]]:
    """The graphs by name; a detector's mean score is corrected to float's over all evaluators."""
    spec, size = mission.model.network_spec, mission.model.input
    if not isinstance(spec.main, DecodeSpec):
        return {name: one.quantized for name, one in best.items()}, {}
    progress("scores", 0, 0)
    scores = Scores.of(
        floating, spec.main, picture, width_px=size.width_px, height_px=size.height_px
    )
    evaluator, *also = judges
    found = {name: with_score_bias(one, scores, evaluator, also) for name, one in best.items()}
    return (
        {name: model for name, (model, _) in found.items()},
        {name: bias for name, (_, bias) in found.items()},
    )
