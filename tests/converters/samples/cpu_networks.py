"""Networks lowered to cpu.onnx with ranges over a few pictures."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto
from tiny_graphs import node, picture, ready, weights

from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import with_outputs
from calibration.ranges.ranges import Range, range_of
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.placement import place

PICTURES = [picture(seed) for seed in range(4)]

PICTURES = [picture(seed) for seed in range(4)]


def ranges_of(model: ModelProto) -> dict[str, Range]:
    """Largest magnitudes over PICTURES."""
    names = cpu_tensors(model, place(model))
    inner = [name for name in names if name != "x"]
    seen = {name: Histogram() for name in names}
    session = ModelSession(with_outputs(model, inner), threads=1)
    for x in PICTURES:
        for name, tensor in zip(inner, session.run({"x": x}, inner), strict=True):
            seen[name].add(tensor)
        seen["x"].add(x)
    return {name: range_of(one, method="max", percentile=100.0) for name, one in seen.items()}


def lowered(model: ModelProto) -> ModelProto:
    return quantize_cpu(model, place(model), ranges_of(model))


def residual(last: str = "Gemm") -> ModelProto:
    """Conv, Clip, a residual Add of two convolutions, an average, a classifier."""
    ending = {
        "Gemm": [
            node("GlobalAveragePool", ["t"], ["p"]),
            node("Flatten", ["p"], ["f"]),
            node("Gemm", ["f", "m", "mb"], ["y"]),
        ],
        "Conv": [node("Conv", ["t", "head"], ["y"])],
    }[last]
    return ready(
        [
            node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
            node("Clip", ["c0", "zero", "six"], ["r0"]),
            node("Conv", ["r0", "dw"], ["c1"], group=16, pads=[1, 1, 1, 1]),
            node("Clip", ["c1", "zero", "six"], ["r1"]),
            node("Conv", ["r1", "w2", "b2"], ["c2"]),
            node("Add", ["c2", "r0"], ["sum"]),
            node("Conv", ["sum", "w3"], ["c3"]),
            node("Relu", ["c3"], ["t"]),
            *ending,
        ],
        {
            "w0": weights(16, 3, 3, 3), "b0": weights(16), "dw": weights(16, 1, 3, 3, seed=1),
            "w2": weights(16, 16, 1, 1, seed=2), "b2": weights(16, seed=3),
            "w3": weights(32, 16, 1, 1, seed=4), "m": weights(32, 5, seed=5),
            "mb": weights(5, seed=6), "head": weights(7, 32, 1, 1, seed=7),
            "zero": np.float32(0.0), "six": np.float32(6.0),
        },
    )  # fmt: skip
