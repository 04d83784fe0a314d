"""The stage that makes int8.onnx and cpu.onnx of float.onnx and ranges. Never judges them on
held-back frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto

from calibration.dataset.frames import RoadFrame
from calibration.dataset.splits import spread
from calibration.ranges import Range
from converters.agreement import CPU, INT8
from converters.damage import damage_measure
from converters.finetuning.tuned import Tuned
from converters.lowerings.cpu import quantize_cpu
from converters.mixed_precision import Search, choose, choose_cpu
from converters.placement import Placement, place
from converters.quantize import quantize_int8
from converters.remembered import NAME as REMEMBERED
from converters.remembered import Remembered
from converters.rounding import rounded_weights, with_weights
from converters.sensitivity import Judge, Writer
from edge.contract.mission import Mission
from edge.contract.preprocess import preprocess
from edge.progress import Advance


@dataclass(frozen=True)
class Quantized:
    """Where INT8 went, and how that was chosen where it was searched."""

    placement: Placement
    search: Search | None


def quantize(
    mission: Mission,
    floating: ModelProto,
    ranges: Mapping[str, Range],
    calibration: Sequence[RoadFrame],
    *,
    progress: Advance,
    tuned: Tuned | None,
    begun: Path,
) -> tuple[dict[str, ModelProto], Quantized]:
    """int8.onnx and cpu.onnx by name, the search done on frames of `calibration` alone.

    A search that was cut off goes on by what it left in the folder `begun`. With `tuned` there is
    no search: places and weights are those of the fine-tuning.
    """
    asked, threads = mission.precision, mission.target.threads
    if asked.search == "none" and tuned is None:
        placement = place(floating)
        int8 = quantize_int8(floating, placement, ranges)
        cpu = quantize_cpu(floating, placement, ranges)
        return {INT8: int8, CPU: cpu}, Quantized(placement, None)
    searched = spread(calibration, asked.search_frames)
    others = [frame for frame in calibration if frame not in searched] or searched
    spec = mission.model.preprocess_spec
    pictures = [
        [preprocess(frame.read(), spec)[0] for frame in part]
        for part in (searched, spread(others, asked.search_frames))
    ]
    judge = Judge(
        floating,
        pictures[0],
        damage_measure(mission),
        threads=threads,
        remembered=Remembered(begun / REMEMBERED),
    )
    if tuned is not None:
        models, placement = tuned.quantized(floating, ranges, judge, pictures[1], threads=threads)
        return models, Quantized(placement, None)
    whole = place(floating)
    progress("round weights", 0, 0)
    rounded = rounded_weights(floating, whole, pictures[1], threads=threads)

    def write_int8(graph: ModelProto, placement: Placement) -> ModelProto:
        return quantize_int8(graph, placement, ranges)

    def write_cpu(graph: ModelProto, placement: Placement) -> ModelProto:
        return quantize_cpu(graph, placement, ranges)

    def together(write: Writer) -> Writer:
        return lambda graph, placement: write(with_weights(graph, rounded, placement), placement)

    mixed = choose(
        floating,
        (write_int8, together(write_int8)),
        judge,
        pictures[1],
        macs_int8_min=asked.macs_int8_min,
        damage_max=asked.damage_max,
        threads=threads,
        progress=progress,
    )
    own = choose_cpu(
        floating,
        (write_cpu, together(write_cpu)),
        judge,
        pictures[1],
        mixed,
        damage_max=asked.damage_max,
        threads=threads,
        progress=progress,
    )
    return {INT8: mixed.quantized, CPU: own}, Quantized(mixed.placement, mixed.search)
