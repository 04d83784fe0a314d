"""Writes a placement into a float graph as explicit Q/DQ, for TensorRT and for onnxruntime's CPU.

`int8.onnx`: rules R1 to R9, the form every TensorRT from 8.6 on takes. `cpu.onnx`: the same places
and the same ranges, unsigned affine, the form onnxruntime fuses into integer kernels. Never chooses
a place or a range.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from calibration.ranges import Range
from converters.graph import Array, Graph, rebuilt
from converters.passes.shapes import infer_shapes
from converters.placement import Placement
from converters.rules import (
    BIAS,
    DATA,
    SMALLEST_SCALE,
    WEIGHT,
    WEIGHTED,
    r1_scale,
    r2_weight_amax,
)

Initializers = dict[str, Array]

UNSIGNED_ZERO = 128
"""Zero-point of cpu.onnx's weights: symmetric values moved to unsigned. Unsigned weights, since
onnxruntime's signed ones saturate in 16 bits on x86 processors without VNNI."""

INT32_MAX = 2**31 - 1


def shared_ranges(placement: Placement, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The range of every pair, the widest of its group where pairs share a scale (R7, R8)."""
    taken = {name: ranges[name] for name in placement.pairs}
    for group in placement.shared:
        members = [taken[name] for name in group]
        widest = replace(
            members[0],
            amax=max(one.amax for one in members),
            low=min(one.low for one in members),
            high=max(one.high for one in members),
        )
        taken.update(dict.fromkeys(group, widest))
    return taken


def quantize_int8(
    model: ModelProto, placement: Placement, ranges: Mapping[str, Range]
) -> ModelProto:
    """The graph with symmetric signed Q/DQ: per tensor for activations, per channel for weights."""
    graph = Graph(model)
    constants: Initializers = {}
    after: dict[str, list[NodeProto]] = {}
    for name, taken in shared_ranges(placement, ranges).items():
        constants[f"{name}/scale"] = r1_scale(taken.amax)
        constants[f"{name}/zero"] = np.zeros((), np.int8)
        after[name] = _pair(name)
    first: list[NodeProto] = []
    for name, axis in placement.weights.items():
        weight = graph.constant(name)
        assert weight is not None  # R3
        scale = r1_scale(r2_weight_amax(weight, axis))
        constants[f"{name}/scale"] = scale
        constants[f"{name}/zero"] = np.zeros(scale.shape, np.int8)
        first += _pair(name, axis=axis)
    return _write(model, placement, first=first, after=after, constants=constants)


def quantize_cpu(
    model: ModelProto, placement: Placement, ranges: Mapping[str, Range]
) -> ModelProto:
    """The graph with unsigned affine activations, stored weights, and biases in INT32."""
    graph = Graph(model)
    constants: Initializers = {}
    after: dict[str, list[NodeProto]] = {}
    scales: dict[str, float] = {}
    for name, taken in shared_ranges(placement, ranges).items():
        scale, zero = affine(taken.low, taken.high)
        scales[name] = float(scale)
        constants[f"{name}/scale"], constants[f"{name}/zero"] = scale, zero
        after[name] = _pair(name)
    reads = {(read.node, read.slot) for read in placement.reads}
    first: list[NodeProto] = []
    replaced: dict[tuple[str, int], str] = {}
    for node in graph.nodes:
        if node.op_type not in WEIGHTED or (node.name, DATA) not in reads:
            continue
        axis = placement.weights[node.input[WEIGHT]]
        constant = graph.constant(node.input[WEIGHT])
        assert constant is not None  # R3
        weight = constant.astype(np.float32)
        amax = r2_weight_amax(weight, axis)
        scale = r1_scale(amax)
        name = f"{node.name}/weight"
        bias = _int32_bias(graph, node, len(scale))
        if bias is not None:
            given, step = bias, scales[node.input[DATA]]
            # Weights of 0 fit any scale, and the bias is counted in steps of it: the finest. But a
            # channel whose weights are next to nothing would need a bias beyond INT32.
            finest = np.where(amax > 0.0, scale, SMALLEST_SCALE)
            scale = np.maximum(finest, np.abs(given) / (step * INT32_MAX * 0.5)).astype(np.float32)
            product = np.maximum(scale.astype(np.float64) * step, SMALLEST_SCALE)
            constants[f"{node.name}/bias/q"] = np.rint(given / product).astype(np.int32)
            constants[f"{node.name}/bias/scale"] = product.astype(np.float32)
            constants[f"{node.name}/bias/zero"] = np.zeros(scale.shape, np.int32)
            first.append(_dequantize(f"{node.name}/bias", axis=0))
            replaced[node.name, BIAS] = f"{node.name}/bias/dq"
        shape = [1] * weight.ndim
        shape[axis] = -1
        steps = np.clip(np.rint(weight / scale.reshape(shape)), -127, 127) + UNSIGNED_ZERO
        constants[f"{name}/q"] = steps.astype(np.uint8)
        constants[f"{name}/scale"] = scale
        constants[f"{name}/zero"] = np.full(scale.shape, UNSIGNED_ZERO, np.uint8)
        first.append(_dequantize(name, axis=axis))
        replaced[node.name, WEIGHT] = f"{name}/dq"
    return _write(
        model, placement, first=first, after=after, constants=constants, replaced=replaced
    )


def affine(low: float, high: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scale and zero-point of uint8 over [low, high], which holds 0."""
    scale = np.float32((high - low) / 255.0)
    if not scale > 0.0:
        return np.asarray(1.0, np.float32), np.asarray(0, np.uint8)
    scale = max(scale, np.finfo(np.float32).tiny)
    zero = int(np.clip(np.rint(-low / float(scale)), 0, 255))
    return np.asarray(scale, np.float32), np.asarray(zero, np.uint8)


def _int32_bias(graph: Graph, node: NodeProto, channels: int) -> NDArray[np.float64] | None:
    """The bias of a convolution as (channels,), where it is constant."""
    if node.op_type != "Conv" or len(node.input) <= BIAS or not node.input[BIAS]:
        return None
    bias = graph.constant(node.input[BIAS])
    if bias is None or bias.shape != (channels,):
        return None
    return bias.astype(np.float64)


def _pair(name: str, axis: int | None = None) -> list[NodeProto]:
    quantize = helper.make_node(
        "QuantizeLinear",
        [name, f"{name}/scale", f"{name}/zero"],
        [f"{name}/q"],
        name=f"{name}/QuantizeLinear",
    )
    if axis is not None:
        quantize.attribute.append(helper.make_attribute("axis", axis))
    return [quantize, _dequantize(name, axis=axis)]


def _dequantize(name: str, *, axis: int | None) -> NodeProto:
    dequantize = helper.make_node(
        "DequantizeLinear",
        [f"{name}/q", f"{name}/scale", f"{name}/zero"],
        [f"{name}/dq"],
        name=f"{name}/DequantizeLinear",
    )
    if axis is not None:
        dequantize.attribute.append(helper.make_attribute("axis", axis))
    return dequantize


def _write(
    model: ModelProto,
    placement: Placement,
    *,
    first: list[NodeProto],
    after: Mapping[str, list[NodeProto]],
    constants: Initializers,
    replaced: Mapping[tuple[str, int], str] | None = None,
) -> ModelProto:
    graph = Graph(model)
    reads: dict[str, dict[int, str]] = defaultdict(dict)
    for read in placement.reads:
        reads[read.node][read.slot] = f"{read.tensor}/dq"
    for name, axis_reader in _weight_reads(graph, placement):
        reads[axis_reader][WEIGHT] = f"{name}/dq"
    for (node_name, slot), tensor in (replaced or {}).items():
        reads[node_name][slot] = tensor
    nodes = [*first, *(node for name in graph.inputs for node in after.get(name, []))]
    for node in graph.nodes:
        nodes.append(_reading(node, reads.get(node.name, {})))
        nodes += [pair for name in node.output for pair in after.get(name, [])]
    wide = rebuilt(model, nodes=nodes, initializers=constants)
    used = {name for node in wide.graph.node for name in node.input}
    kept = [
        onnx.TensorProto.FromString(tensor.SerializeToString())
        for tensor in wide.graph.initializer
        if tensor.name in used
    ]
    del wide.graph.initializer[:]
    wide.graph.initializer.extend(kept)
    finished = infer_shapes(wide)
    onnx.checker.check_model(finished, full_check=True)
    return finished


def _weight_reads(graph: Graph, placement: Placement) -> list[tuple[str, str]]:
    """(weight, node) for every quantized weighted operator."""
    quantized = {read.node for read in placement.reads if read.slot == DATA}
    return [
        (node.input[WEIGHT], node.name)
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.name in quantized
    ]


def _reading(node: NodeProto, names: Mapping[int, str]) -> NodeProto:
    """A copy of a node that reads other tensors in some slots."""
    other = NodeProto()
    other.CopyFrom(node)
    for slot, name in names.items():
        other.input[slot] = name
    return other
