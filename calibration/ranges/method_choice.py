"""Chooses the calibration method of each tensor by the error that it makes in the tensor's readers.

In: a float graph, histograms and a few frames. Out: a `MethodChoice`. Every candidate range
quantizes the tensor (symmetric INT8, rule R1) before copies of its readers, whose outputs are
compared with float's. One graph does this for all tensors, each apart from the others, with the
scales of all candidates as inputs, so one run tries all. A linear reader gets the rounding error
alone, since its output differs by that; of a large tensor only a window in the middle is used. The
error of a whole quantized network is measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from calibration.dataset.frames.frame import RoadFrame
from calibration.inference.sessions import ModelSession, split_weights
from calibration.observation.histogram import Histogram
from calibration.ranges.methods.table import METHODS
from edge.engine.calibration_cache import INT8_LEVELS
from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.progress import Advance

Amax = Mapping[str, float]
"""Tensor -> the magnitude that INT8 covers."""

Errors = NDArray[np.float64]

CHOICE_FRAMES = 2
"""Frames on which methods are compared."""

WINDOW_PX = 32
"""Height and width of the window of a larger tensor."""

REARRANGED = frozenset(
    {"Add", "Concat", "Flatten", "Identity", "Reshape", "Squeeze", "Sub", "Transpose", "Unsqueeze"}
)
"""Readers whose output differs by the tensor's own rounding error, at other positions."""

LINEAR = frozenset({"AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "MatMul"})
"""Readers whose output differs by their output for the rounding error, without their bias."""


class MethodChoice(NamedTuple):
    """Tensor -> the magnitude that INT8 covers, and tensor -> the method that gave it."""

    amax: Amax
    method: dict[str, str]


def choose_method(
    model: onnx.ModelProto,
    histograms: Mapping[str, Histogram],
    frames: Sequence[RoadFrame],
    *,
    percentile: float,
    preprocess_spec: PreprocessSpec,
    threads: int,
    progress: Advance,
) -> MethodChoice:
    """The range with the smallest error on `frames` by any of METHODS, for each tensor; of equals
    the first method. A tensor whose readers have no float outputs gets the first method.
    """
    tensors, names = list(histograms), list(METHODS)
    with ThreadPoolExecutor(1) as aside:  # builds the graph while ranges are computed
        laid_out = aside.submit(Probe, model, tensors, candidates=len(names))
        offered = [
            ranges(histograms, name, percentile=percentile, threads=threads) for name in names
        ]
    probe = laid_out.result()
    amax = np.array([[of[tensor] for of in offered] for tensor in tensors])

    def errors(frame: RoadFrame) -> Errors:
        return probe.errors(preprocess(frame.read(), preprocess_spec)[0], amax)

    total = np.zeros(amax.shape)
    with ThreadPoolExecutor(threads) as pool:
        for row, found in enumerate(pool.map(errors, frames), start=1):
            total += found  # in the order of the frames: the same sum every time
            progress("choose methods", row, len(frames))
    best = dict(zip(tensors, total.argmin(axis=1).tolist(), strict=True))
    return MethodChoice(
        {tensor: offered[row][tensor] for tensor, row in best.items()},
        {tensor: names[row] for tensor, row in best.items()},
    )


def ranges(
    histograms: Mapping[str, Histogram], method: str, *, percentile: float, threads: int
) -> Amax:
    """The ranges of all tensors by one of METHODS."""
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda one: METHODS[method](one, percentile), histograms.values())
        return dict(zip(histograms, found, strict=True))


class Probe:
    """A session that computes the errors of candidate ranges, tensor by tensor."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], *, candidates: int) -> None:
        (self._picture,) = (value.name for value in model.graph.input)
        self._tensors = list(tensors)
        probe = _ProbeGraph(model, tensors, candidates).model
        self._outputs = [value.name for value in probe.model.graph.output]
        self._session = ModelSession(probe, threads=1)

    def errors(self, x: NDArray[np.float32], amax: NDArray[np.float64]) -> Errors:
        """(tensors, candidates) float64: the sum of squared differences from float in the outputs
        of a tensor's readers; 0 without a reader with float outputs, infinite where one gives NaN.

        Args:
            x: the network's input.
            amax: (tensors, candidates), the magnitudes that INT8 covers, at least 0.
        """
        steps = np.maximum(amax / INT8_LEVELS, np.finfo(np.float32).tiny).astype(np.float32)
        scales = {_scales(name): row for name, row in zip(self._tensors, steps, strict=True)}
        found = self._session.run({self._picture: x, **scales}, self._outputs)
        by_name = dict(zip(self._outputs, found, strict=True))
        nothing = np.zeros(amax.shape[1])
        errors = np.array(
            [by_name.get(_error(name), nothing) for name in self._tensors], np.float64
        )
        return np.where(np.isnan(errors), np.inf, errors)  # the minimum would be NaN


class _ProbeGraph:
    """Builds the graph of a `Probe`: errors are its outputs, the candidates' scales its inputs."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str], count: int) -> None:
        self.model = split_weights(model)
        self._graph, self._count = self.model.model.graph, count
        self._opset = max(
            one.version for one in model.opset_import if one.domain in ("", "ai.onnx")
        )
        self._constants = {value.name: list(value.dims) for value in model.graph.initializer}
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self._shapes = {
            value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
            for value in values
        }
        self._other_types = {
            value.name for value in values if value.type.tensor_type.elem_type != TensorProto.FLOAT
        }
        readers: dict[str, list[NodeProto]] = {tensor: [] for tensor in tensors}
        for node in model.graph.node:
            if not self._floats(node):
                continue
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
                self._compare(tensor, self._shapes[tensor], readers[tensor])

    def _compare(self, tensor: str, shape: Sequence[int], readers: Sequence[NodeProto]) -> None:
        linear = [node for node in readers if shape[:1] == [1] and self._linear(node, tensor)]
        others = [node for node in readers if node not in linear]
        parts: list[str] = []
        if linear:
            # Only if every reader is then measured on the same pixels.
            window = not others and all(self._span(node) <= WINDOW_PX for node in linear)
            error = self._rounding(tensor, shape, window=window)
            if rearranged := sum(node.op_type in REARRANGED for node in linear):
                parts += [self._squared(error)] * rearranged
            for row, node in enumerate(node for node in linear if node.op_type in LINEAR):
                made = f"{tensor}/choice/linear{row}"
                self._copy(node, [error, *node.input[1:2]], [made])
                parts.append(self._squared(made))
        for row, node in enumerate(others):
            parts.append(self._whole(tensor, node, f"{tensor}/choice/whole{row}"))
        self._add("Sum", parts, _error(tensor))
        made_info = helper.make_tensor_value_info(_error(tensor), TensorProto.FLOAT, [self._count])
        self._graph.output.append(made_info)

    def _floats(self, node: NodeProto) -> list[str]:
        """The float outputs of a node, without indices, comparisons and the like."""
        return [name for name in node.output if name and name not in self._other_types]

    def _linear(self, node: NodeProto, tensor: str) -> bool:
        if list(node.input).count(tensor) != 1:
            return False
        if node.op_type in ("Add", "Sub"):  # a broadcast error counts for each copy
            return self._shapes.get(node.output[0]) == self._shapes[tensor]
        if node.op_type in REARRANGED:
            return True
        return (
            node.op_type in LINEAR
            and node.input[0] == tensor
            and all(name in self._constants for name in node.input[1:] if name)
            and not any(one.name == "transA" and one.i for one in node.attribute)
            # A constant stack of matrices would be matched with the axis of candidates.
            and not (node.op_type == "MatMul" and len(self._constants[node.input[1]]) > 2)
        )

    def _span(self, node: NodeProto) -> float:
        """Pixels that one output of a linear reader depends on, along an axis."""
        given: dict[str, list[int]] = {one.name: list(one.ints) for one in node.attribute}
        kernel: list[int] = [1]
        if node.op_type in ("Gemm", "GlobalAveragePool", "MatMul") or "output_shape" in given:
            return math.inf
        if node.op_type == "AveragePool":
            kernel = given["kernel_shape"]
        if node.op_type in ("Conv", "ConvTranspose"):
            kernel = self._constants[node.input[1]][2:]
        return max(kernel) * max(given.get("dilations", [1]))

    def _rounding(self, tensor: str, shape: Sequence[int], *, window: bool) -> str:
        """(candidates, ...): the rounding error of each candidate in the tensor."""
        histograms, prefix = tensor, f"{tensor}/choice"
        if window and len(shape) == 4 and max(shape[2:]) > WINDOW_PX:
            starts = [max(0, (side - WINDOW_PX) // 2) for side in shape[2:]]
            ends = [start + WINDOW_PX for start in starts]
            bounds = [
                self._constant(f"{prefix}/{name}", np.array(value, np.int64))
                for name, value in (("starts", starts), ("ends", ends), ("axes", [2, 3]))
            ]
            histograms = self._add("Slice", [tensor, *bounds], f"{prefix}/window")
        sizes = np.array([self._count, *[1] * (len(shape) - 1)], np.int64)
        many = self._add(
            "Expand", [histograms, self._constant(f"{prefix}/sizes", sizes)], f"{prefix}/many"
        )
        step = self._add(
            "QuantizeLinear", [many, _scales(tensor), self._zeros], f"{prefix}/q", axis=0
        )
        back = self._add(
            "DequantizeLinear", [step, _scales(tensor), self._zeros], f"{prefix}/dq", axis=0
        )
        return self._add("Sub", [back, histograms], f"{prefix}/rounding")

    def _squared(self, value: str) -> str:
        """(candidates,): the sum of squares of a value (candidates, ...)."""
        flat = self._add("Flatten", [value], f"{value}/flat", axis=1)
        if self._opset >= 18:
            return self._add("ReduceSumSquare", [flat, self._flat], f"{value}/squared", keepdims=0)
        return self._add("ReduceSumSquare", [flat], f"{value}/squared", axes=[1], keepdims=0)

    def _whole(self, tensor: str, node: NodeProto, prefix: str) -> str:
        """(candidates,): the error of a reader of any kind, which is run for each candidate."""
        shape = self._constant(f"{prefix}/shape", np.array([1], np.int64))
        errors = []
        for number in range(self._count):
            one = f"{prefix}/{number}"
            row = self._constant(f"{one}/row", np.array(number, np.int64))
            scale = self._add("Gather", [_scales(tensor), row], f"{one}/scale")
            step = self._add("QuantizeLinear", [tensor, scale, self._zero], f"{one}/q")
            back = self._add("DequantizeLinear", [step, scale, self._zero], f"{one}/dq")
            made = [f"{one}/{name}" if name else "" for name in node.output]
            self._copy(node, [back if name == tensor else name for name in node.input], made)
            parts = []
            for name in self._floats(node):
                off = self._add("Sub", [name, f"{one}/{name}"], f"{one}/{name}/difference")
                parts.append(self._add("ReduceSumSquare", [off], f"{off}/squared", keepdims=0))
            total = self._add("Sum", parts, f"{one}/error")
            errors.append(self._add("Reshape", [total, shape], f"{one}/told"))
        return self._add("Concat", errors, f"{prefix}/errors", axis=0)

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
