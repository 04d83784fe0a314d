"""The method of each tensor by itself, chosen by the error it makes in what reads the tensor.

Every candidate range quantizes the tensor (symmetric INT8, as rule R1 has it) in front of copies of
its readers, and the readers' outputs are compared with the float ones on real frames. One graph
holds this for all tensors at once, each apart from the others, with the scales as inputs: a run is
one candidate for every tensor. Never looks at a whole quantized network: that is the judgement's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from calibration.dataset.frames import RoadFrame
from calibration.histogram import Histogram
from calibration.methods import METHODS
from calibration.observe import Progress
from calibration.sessions import ModelSession
from edge.contract.preprocess import PreprocessSpec, preprocess

LEVELS = 127
ZERO = "choice/zero"

Amax = Mapping[str, float]
"""Tensor -> the magnitude that INT8 covers."""


CHOICE_FRAMES = 2
"""Frames on which methods are compared. INT8 error of YOLOX-nano and EfficientNet-Lite0 with 2, 4
and 8: 0.232, 0.229, 0.226 and 0.0230, 0.0238, 0.0232."""


def candidates(
    seen: Mapping[str, Histogram], methods: Iterable[str], *, percentile: float, threads: int
) -> dict[str, Amax]:
    """Method -> the ranges of all tensors by it, for `methods` of METHODS."""
    with ThreadPoolExecutor(threads) as pool:
        found = {
            name: pool.map(lambda one, of=METHODS[name]: of(one, percentile), seen.values())
            for name in methods
        }
        return {name: dict(zip(seen, ranges, strict=True)) for name, ranges in found.items()}


def choose(
    model: onnx.ModelProto,
    offered: Mapping[str, Amax],
    frames: Sequence[RoadFrame],
    *,
    preprocess_spec: PreprocessSpec,
    threads: int,
    progress: Progress,
) -> dict[str, str]:
    """Tensor -> the candidate of least error on `frames`; the first of equals.

    `offered` all name the same tensors. A tensor that nothing reads takes the first candidate.
    """
    names = list(offered)
    tensors = list(offered[names[0]])
    probe = _probe(model, tensors)
    (picture,) = (value.name for value in model.graph.input)
    session = ModelSession(probe.SerializeToString(), threads=1)
    outputs = [value.name for value in probe.graph.output]
    scales = [
        {_scale(tensor): _scale_of(offered[name][tensor]) for tensor in tensors} for name in names
    ]

    def errors(frame: RoadFrame) -> NDArray[np.float64]:
        x, _ = preprocess(frame.read(), preprocess_spec)
        found = [session.run({picture: x, **scale}, outputs) for scale in scales]
        return np.array(found, np.float64)

    total = np.zeros((len(names), len(outputs)))
    with ThreadPoolExecutor(threads) as pool:
        for row, found in enumerate(pool.map(errors, frames), start=1):
            total += found  # in the order of the frames: the same sum every time
            progress("choose methods", row, len(frames))
    best = dict(zip(outputs, total.argmin(axis=0), strict=True))
    return {tensor: names[best.get(_error(tensor), 0)] for tensor in tensors}


def _probe(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The float graph with, for each tensor, quantized copies of its readers and their error."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    graph = probe.graph
    readers: dict[str, list[NodeProto]] = {tensor: [] for tensor in tensors}
    for node in model.graph.node:
        for name in dict.fromkeys(node.input):
            if name in readers:
                readers[name].append(node)
    graph.initializer.append(numpy_helper.from_array(np.zeros((), np.int8), ZERO))
    del graph.output[:]
    for tensor in tensors:
        graph.input.append(helper.make_tensor_value_info(_scale(tensor), TensorProto.FLOAT, []))
        step, back = f"{tensor}/choice/q", f"{tensor}/choice/dq"
        _add(graph, "QuantizeLinear", [tensor, _scale(tensor), ZERO], step)
        _add(graph, "DequantizeLinear", [step, _scale(tensor), ZERO], back)
        parts = []
        for row, reader in enumerate(readers[tensor]):
            prefix = f"{tensor}/choice/{row}"
            copy = NodeProto()
            copy.CopyFrom(reader)
            copy.name = prefix
            copy.input[:] = [back if name == tensor else name for name in reader.input]
            copy.output[:] = [f"{prefix}/{name}" if name else "" for name in reader.output]
            graph.node.append(copy)
            for name in filter(None, reader.output):
                _add(graph, "Sub", [name, f"{prefix}/{name}"], f"{prefix}/{name}/difference")
                parts.append(f"{prefix}/{name}/error")
                _add(graph, "ReduceSumSquare", [f"{prefix}/{name}/difference"], parts[-1])
                graph.node[-1].attribute.append(helper.make_attribute("keepdims", 0))
        if parts:
            _add(graph, "Sum", parts, _error(tensor))
            made = helper.make_tensor_value_info(_error(tensor), TensorProto.FLOAT, [])
            graph.output.append(made)
    return probe


def _add(graph: onnx.GraphProto, kind: str, inputs: Sequence[str], output: str) -> None:
    graph.node.append(helper.make_node(kind, list(inputs), [output], name=output))


def _scale(tensor: str) -> str:
    return f"{tensor}/choice/scale"


def _error(tensor: str) -> str:
    return f"{tensor}/choice/error"


def _scale_of(amax: float) -> NDArray[np.float32]:
    return np.asarray(max(amax / LEVELS, float(np.finfo(np.float32).tiny)), np.float32)
