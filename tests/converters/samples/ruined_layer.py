"""A network of which INT8 ruins one layer, its ranges, and ways to write it in INT8."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto
from tiny_graphs import node, picture, ready, weights

from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range, range_of
from converters.graph.passes.canonical_names import PICTURE
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.adaptive_rounding import round_weights, with_weights
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.qdq import quantize_int8
from converters.quantization.range_scaling import scaled_ranges
from converters.search.evaluator import Writer, Writers
from converters.search.task_loss import TaskLoss
from converters.sources.network import Outputs

FRAMES = [picture(seed) for seed in range(6)]

FRAMES = [picture(seed) for seed in range(6)]


def network() -> ModelProto:
    """Three convolutions. The second reads a tensor of which one channel is a thousand times the
    others, so that one scale for all of it leaves nothing of them: INT8 ruins it, and it alone.
    """
    loud = weights(16, 3, 3, 3)
    loud[0] *= 1000.0
    quiet = weights(16, 16, 3, 3, seed=1)
    quiet[:, 0] = 0.0
    return ready(
        [
            node("Conv", [PICTURE, "w0"], ["c0"], pads=[1, 1, 1, 1]),
            node("Relu", ["c0"], ["r0"]),
            node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"]),
            node("Conv", ["r1", "w2"], ["c2"]),
            node("GlobalAveragePool", ["c2"], ["p"]),
            node("Flatten", ["p"], ["y"]),
        ],
        {"w0": loud, "w1": quiet, "b1": weights(16, seed=3), "w2": weights(8, 16, 1, 1, seed=2)},
        inputs={PICTURE: (1, 3, 8, 8)},
    )


def ranges_of(model: ModelProto) -> dict[str, Range]:
    pairs = cpu_tensors(model, place(model))
    seen = {name: Histogram() for name in pairs}
    inner = [name for name in pairs if name != PICTURE]
    session = ModelSession(with_outputs(model, inner), threads=1)
    for x in FRAMES:
        for name, values in zip(inner, session.run({PICTURE: x}, inner), strict=True):
            seen[name].add(values)
        seen[PICTURE].add(x)
    return {name: range_of(one, method="max", percentile=100.0) for name, one in seen.items()}


def difference(reference: Outputs, candidate: Outputs) -> TaskLoss:
    apart = np.abs(reference[0] - candidate[0]).mean() / np.abs(reference[0]).mean()
    return TaskLoss(float(apart), 1)


def writers(model: ModelProto, *, narrowed: float = 1.0) -> Writers:
    """To the nearest step, and together, with ranges of which a part is there."""
    ranges = {name: range_of_part(one, narrowed) for name, one in ranges_of(model).items()}
    rounded = round_weights(model, place(model), FRAMES, threads=1)

    def of(range_scale: float) -> tuple[Writer, Writer]:
        wide = scaled_ranges(ranges, range_scale)

        def nearest(graph: ModelProto, placement: QdqPlacement) -> ModelProto:
            return quantize_int8(graph, placement, wide)

        def together(graph: ModelProto, placement: QdqPlacement) -> ModelProto:
            return nearest(with_weights(graph, rounded, placement), placement)

        return nearest, together

    return of


def range_of_part(whole: Range, share: float) -> Range:
    amax = whole.amax * share
    return Range(amax, max(whole.low, -amax), min(whole.high, amax), whole.lowest, whole.highest, 1)
