"""Writes cpu.onnx, for onnxruntime alone: the ranges of int8.onnx as unsigned affine activations.

Takes the float graph, the placement and the ranges; returns explicit Q/DQ of the standard's
operators, so that the file also runs step by step as a numeric reference, in a form in which
onnxruntime fuses all operators that `cpu_placement.py` names.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from calibration.ranges.ranges import Range
from converters.graph.index import Graph, rename_tensors
from converters.lowerings.cpu_placement import CpuPlaces, cpu_places
from converters.quantization.placement import QdqPlacement
from converters.quantization.qdq import (
    Initializers,
    dequantize,
    finish_model,
    pair,
    widest,
    with_inputs,
)
from converters.quantization.rules import (
    BIAS,
    DATA,
    SMALLEST_SCALE,
    WEIGHT,
    r1_scale,
    r2_weight_amax,
)

INT32_MAX = 2**31 - 1

TOLERANCE = 1e-3
"""Share of a step by which a range may reach beyond the Relu or Clip that it replaces."""

Grid = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Scale and zero-point of uint8."""


def quantize_cpu(
    model: ModelProto, placement: QdqPlacement, ranges: Mapping[str, Range]
) -> ModelProto:
    """The graph with unsigned affine activations, stored signed weights, and biases in INT32.

    Args:
        ranges: of every tensor in `cpu_tensors`.
    """
    graph = Graph(model)
    places = cpu_places(model, placement)
    shared = widest({name: ranges[name] for name in places.pairs}, places.shared)
    grids = {name: affine(one.low, one.high) for name, one in shared.items()}
    constants: Initializers = {}
    for name, (scale, zero) in grids.items():
        constants[f"{name}/scale"], constants[f"{name}/zero"] = scale, zero
    behind = _done_by_ranges(graph, places, grids)
    first: list[NodeProto] = []
    nodes = [made for name in graph.inputs if name in grids for made in pair(name)]
    for node in graph.nodes:
        if node.output[0] in behind.values():
            continue
        slots = {slot: f"{name}/dq" for slot, name in enumerate(node.input) if name in grids}
        if node.name in places.weighted:
            scale, _ = grids[node.input[DATA]]
            stored = {WEIGHT: f"{node.name}/weight", BIAS: f"{node.name}/bias"}
            axis = placement.weights[node.input[WEIGHT]]
            parts = _stored(graph, node, axis, float(scale))
            for slot, values in parts.items():
                constants |= {f"{stored[slot]}/{part}": value for part, value in values.items()}
                first.append(dequantize(stored[slot], axis=axis if slot == WEIGHT else 0))
                slots[slot] = f"{stored[slot]}/dq"
        nodes.append(rename_tensors(with_inputs(node, slots), behind))
        nodes += [made for name in nodes[-1].output if name in grids for made in pair(name)]
    return finish_model(model, [*first, *nodes], constants)


def affine(low: float, high: float) -> Grid:
    """Scale and zero-point of uint8 over [low, high], which holds 0."""
    scale = np.float32((high - low) / 255.0)
    if not scale > 0.0:
        return np.asarray(1.0, np.float32), np.asarray(0, np.uint8)
    scale = max(scale, np.finfo(np.float32).tiny)
    zero = int(np.clip(np.rint(-low / float(scale)), 0, 255))
    return np.asarray(scale, np.float32), np.asarray(zero, np.uint8)


def _done_by_ranges(graph: Graph, places: CpuPlaces, grids: Mapping[str, Grid]) -> dict[str, str]:
    """Tensors before a Relu or Clip that the saturation of its output's grid replaces -> that
    output."""
    behind: dict[str, str] = {}
    for before, after in places.saturated.items():
        low, high = _limits(graph, graph.producer[after])
        scale, zero = (float(value) for value in grids[after])
        reach = TOLERANCE * scale
        if low <= -zero * scale + reach and (255.0 - zero) * scale - reach <= high:
            behind[before] = after
    return behind


def _limits(graph: Graph, node: NodeProto) -> tuple[float, float]:
    """The limits of a Relu or Clip; an empty interval where they are computed."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    found = [-np.inf, np.inf]
    for row, name in enumerate(node.input[1:]):
        if name:
            value = graph.constant(name)
            found[row] = (np.inf, -np.inf)[row] if value is None else float(value)
    return found[0], found[1]


def _stored(
    graph: Graph, node: NodeProto, axis: int, step: float
) -> dict[int, dict[str, NDArray[np.generic]]]:
    """By slot, the stored values of the weight and of a constant bias: q, scale and zero.

    They are symmetric, with a scale for each output channel; `step` is the scale of the data.
    """
    constant = graph.constant(node.input[WEIGHT])
    assert constant is not None  # R3
    weight = constant.astype(np.float32)
    amax = r2_weight_amax(weight, axis)
    scale = r1_scale(amax)
    found: dict[int, dict[str, NDArray[np.generic]]] = {}
    bias = _bias(graph, node, len(scale))
    if bias is not None:
        # Weights of 0 fit any scale, and the bias is in steps of it, so take the finest. But the
        # bias of a channel with tiny weights would then exceed INT32.
        finest = np.where(amax > 0.0, scale, SMALLEST_SCALE)
        scale = np.maximum(finest, np.abs(bias) / (step * INT32_MAX * 0.5)).astype(np.float32)
        product = np.maximum(scale.astype(np.float64) * step, SMALLEST_SCALE)
        found[BIAS] = {
            "q": np.rint(bias / product).astype(np.int32),
            "scale": product.astype(np.float32),
            "zero": np.zeros(scale.shape, np.int32),
        }
    shape = [1] * weight.ndim
    shape[axis] = -1
    found[WEIGHT] = {
        "q": np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8),
        "scale": scale,
        "zero": np.zeros(scale.shape, np.int8),
    }
    return found


def _bias(graph: Graph, node: NodeProto, channels: int) -> NDArray[np.float64] | None:
    """The bias of a convolution or Gemm as (channels,), where it is constant."""
    if node.op_type == "MatMul" or len(node.input) <= BIAS or not node.input[BIAS]:
        return None
    bias = graph.constant(node.input[BIAS])
    if bias is None or bias.shape != (channels,):
        return None
    return bias.astype(np.float64)
