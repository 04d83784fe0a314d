"""The method of each tensor by itself, chosen by the error it makes in what reads the tensor.

Every candidate range quantizes the tensor (symmetric INT8, as rule R1 has it) in front of copies of
its readers, and what comes out is compared with float's on real frames. One graph holds this for
all tensors, each apart from the others, with the scales of all candidates as inputs: a run tries
them all. A reader that is linear is given the rounding error alone, which is what it would differ
by; of large tensors a window in the middle is looked at. Never looks at a whole quantized network:
that is the judgement's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

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

Amax = Mapping[str, float]
"""Tensor -> the magnitude that INT8 covers."""

CHOICE_FRAMES = 2
"""Frames on which methods are compared."""

WINDOW_PX = 32
"""Height and width of what is looked at of a larger tensor."""

REARRANGED = frozenset(
    {"Add", "Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)
"""Readers whose output differs by the tensor's own rounding error, wherever it lies there."""

LINEAR = frozenset({"AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"})
"""Readers whose output differs by what they make of the rounding error without their bias."""


class Chosen(NamedTuple):
    """Tensor -> the magnitude that INT8 covers, and tensor -> the method it is by."""

    amax: Amax
    method: dict[str, str]


def choose(
    model: onnx.ModelProto,
    seen: Mapping[str, Histogram],
    frames: Sequence[RoadFrame],
    *,
    percentile: float,
    preprocess_spec: PreprocessSpec,
    threads: int,
    progress: Progress,
) -> Chosen:
    """The range of least error on `frames` by any of METHODS, for each tensor that was seen; by the
    first of them that is as good. A tensor that nothing reads takes the first.
    """
    with ThreadPoolExecutor(1) as aside:  # the graph is laid out while ranges are sought
        laid_out = aside.submit(_session, model, list(seen))
        offered = {
            name: ranges(seen, name, percentile=percentile, threads=threads) for name in METHODS
        }
    session, outputs = laid_out.result()
    (picture,) = (value.name for value in model.graph.input)
    scales = {
        _scales(tensor): np.array([_step(offered[name][tensor]) for name in METHODS], np.float32)
        for tensor in seen
    }

    def errors(frame: RoadFrame) -> NDArray[np.float64]:
        x, _ = preprocess(frame.read(), preprocess_spec)
        return np.array(session.run({picture: x, **scales}, outputs), np.float64)

    total = np.zeros((len(outputs), len(METHODS)))
    with ThreadPoolExecutor(threads) as pool:
        for row, found in enumerate(pool.map(errors, frames), start=1):
            total += found  # in the order of the frames: the same sum every time
            progress("choose methods", row, len(frames))
    best = dict(zip(outputs, total.argmin(axis=1), strict=True))
    names = list(METHODS)
    method = {tensor: names[best.get(_error(tensor), 0)] for tensor in seen}
    return Chosen({tensor: offered[name][tensor] for tensor, name in method.items()}, method)


def ranges(seen: Mapping[str, Histogram], method: str, *, percentile: float, threads: int) -> Amax:
    """The ranges of all tensors by one of METHODS."""
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda one: METHODS[method](one, percentile), seen.values())
        return dict(zip(seen, found, strict=True))


def _session(model: onnx.ModelProto, tensors: Sequence[str]) -> tuple[ModelSession, list[str]]:
    probe = _Probe(model, tensors, len(METHODS)).model
    outputs = [value.name for value in probe.graph.output]
    return ModelSession(probe.SerializeToString(), threads=1), outputs


class _Probe:
    """Builds the float graph with the error of every candidate for every tensor as its outputs."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], count: int) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self._graph, self._count = self.model.graph, count
        self._opset = max(
            one.version for one in model.opset_import if one.domain in ("", "ai.onnx")
        )
        self._constants = {value.name for value in model.graph.initializer}
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        shapes = {
            value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in values
        }
        readers: dict[str, list[NodeProto]] = {tensor: [] for tensor in tensors}
        for node in model.graph.node:
            for name in dict.fromkeys(node.input):
                if name in readers:
                    readers[name].append(node)
        del self._graph.output[:]
        self._zeros = self._constant("choice/zeros", np.zeros(count, np.int8))
        self._zero = self._constant("choice/zero", np.zeros((), np.int8))
        self._flat = self._constant("choice/flat", np.array([1], np.int64))
        for tensor in tensors:
            scales = helper.make_tensor_value_info(_scales(tensor), TensorProto.FLOAT, [count])
            self._graph.input.append(scales)
            if readers[tensor]:
                self._compare(tensor, shapes[tensor], readers[tensor])

    def _compare(self, tensor: str, shape: Sequence[int], readers: Sequence[NodeProto]) -> None:
        parts: list[str] = []
        linear = [node for node in readers if shape[:1] == [1] and self._linear(node, tensor)]
        if linear:
            error = self._rounding(tensor, shape)
            if rearranged := sum(node.op_type in REARRANGED for node in linear):
                parts += [self._squared(error)] * rearranged
            for row, node in enumerate(n for n in linear if n.op_type in LINEAR):
                made = f"{tensor}/choice/linear{row}"
                inputs = [error, *node.input[1:2]]
                self._copy(node, inputs, [made])
                parts.append(self._squared(made))
        for row, node in enumerate(node for node in readers if node not in linear):
            parts.append(self._whole(tensor, node, f"{tensor}/choice/whole{row}"))
        self._add("Sum", parts, _error(tensor))
        made_info = helper.make_tensor_value_info(_error(tensor), TensorProto.FLOAT, [self._count])
        self._graph.output.append(made_info)

    def _linear(self, node: NodeProto, tensor: str) -> bool:
        if list(node.input).count(tensor) != 1:
            return False
        if node.op_type in REARRANGED:
            return True
        return (
            node.op_type in LINEAR
            and node.input[0] == tensor
            and all(name in self._constants for name in node.input[1:] if name)
            and not any(one.name == "transA" and one.i for one in node.attribute)
        )

    def _rounding(self, tensor: str, shape: Sequence[int]) -> str:
        """(candidates, ...): by how much each candidate's rounding moves the tensor."""
        seen, prefix = tensor, f"{tensor}/choice"
        if len(shape) == 4 and max(shape[2:]) > WINDOW_PX:
            starts = [max(0, (side - WINDOW_PX) // 2) for side in shape[2:]]
            ends = [start + WINDOW_PX for start in starts]
            bounds = [
                self._constant(f"{prefix}/{name}", np.array(value, np.int64))
                for name, value in (("starts", starts), ("ends", ends), ("axes", [2, 3]))
            ]
            seen = self._add("Slice", [tensor, *bounds], f"{prefix}/window")
        sizes = np.array([self._count, *[1] * (len(shape) - 1)], np.int64)
        many = self._add(
            "Expand", [seen, self._constant(f"{prefix}/sizes", sizes)], f"{prefix}/many"
        )
        step = self._add(
            "QuantizeLinear", [many, _scales(tensor), self._zeros], f"{prefix}/q", axis=0
        )
        back = self._add(
            "DequantizeLinear", [step, _scales(tensor), self._zeros], f"{prefix}/dq", axis=0
        )
        return self._add("Sub", [back, seen], f"{prefix}/rounding")

    def _squared(self, value: str) -> str:
        """(candidates,): the sum of squares of a value (candidates, ...)."""
        flat = self._add("Flatten", [value], f"{value}/flat", axis=1)
        if self._opset >= 18:
            return self._add("ReduceSumSquare", [flat, self._flat], f"{value}/squared", keepdims=0)
        return self._add("ReduceSumSquare", [flat], f"{value}/squared", axes=[1], keepdims=0)

    def _whole(self, tensor: str, node: NodeProto, prefix: str) -> str:
        """(candidates,): the error of a reader of any kind, by running it for each candidate."""
        shape = self._constant(f"{prefix}/shape", np.array([1], np.int64))
        told = []
        for number in range(self._count):
            one = f"{prefix}/{number}"
            row = self._constant(f"{one}/row", np.array(number, np.int64))
            scale = self._add("Gather", [_scales(tensor), row], f"{one}/scale")
            step = self._add("QuantizeLinear", [tensor, scale, self._zero], f"{one}/q")
            back = self._add("DequantizeLinear", [step, scale, self._zero], f"{one}/dq")
            made = [f"{one}/{name}" if name else "" for name in node.output]
            self._copy(node, [back if name == tensor else name for name in node.input], made)
            parts = []
            for name in filter(None, node.output):
                off = self._add("Sub", [name, f"{one}/{name}"], f"{one}/{name}/difference")
                parts.append(self._add("ReduceSumSquare", [off], f"{off}/squared", keepdims=0))
            total = self._add("Sum", parts, f"{one}/error")
            told.append(self._add("Reshape", [total, shape], f"{one}/told"))
        return self._add("Concat", told, f"{prefix}/errors", axis=0)

    def _copy(self, node: NodeProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = outputs[0]
        copy.input[:] = inputs
        copy.output[:] = outputs
        self._graph.node.append(copy)

    def _add(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self._graph.node.append(
            helper.make_node(kind, list(inputs), [output], name=output, **attributes)
        )
        return output

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _scales(tensor: str) -> str:
    return f"{tensor}/choice/scales"


def _error(tensor: str) -> str:
    return f"{tensor}/choice/error"


def _step(amax: float) -> float:
    return max(amax / LEVELS, float(np.finfo(np.float32).tiny))
