"""The rules of where INT8 goes: TensorRT's for explicit Q/DQ, each a function with its id.

They take a float graph and return reads, axes and scales; `placement.py` joins them and `qdq.py`
writes Q/DQ. Source: NVIDIA TensorRT developer guide, "Explicit quantization" (Q/DQ layer-placement
recommendations), and this project's INT8 design.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from converters.graph.fused_activations import fused_tensors
from converters.graph.index import Array, Graph, Read, attributes
from edge.engine.calibration_cache import INT8_LEVELS

RULES: dict[str, str] = {
    "R1": "signed INT8, zero-point 0, scale = amax / 127, finite and above 0",
    "R2": "activations per tensor, weights per output channel",
    "R3": "weights as float -> Q -> DQ",
    "R4": "no Q/DQ on a bias",
    "R5": "the inputs of weighted operators, nothing between them and their activation",
    "R6": "a residual Add reads its skip branch quantized, not the branch it fuses with",
    "R7": "a Concat shares one scale with its quantized inputs",
    "R8": "operators that move values get no pair of their own: one shared pair a tensor",
    "R9": "never: Softmax, LayerNorm, box decode, graph outputs, shape arithmetic",
    "R10": "few channels, depthwise with few, matrix times vector: float unless measured otherwise",
}
"""Every rule that is applied, by id."""

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)

DATA, WEIGHT, BIAS = 0, 1, 2
"""Slots of a weighted operator."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

MOVERS = frozenset(
    {"MaxPool", "Reshape", "Transpose", "Slice", "Flatten", "Squeeze", "Unsqueeze", "Split"}
    | {"Gather", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Identity"}
)
"""Operators whose output holds values of their input and no others; so does a nearest Resize."""

HIGH_PRECISION = frozenset(
    {"Softmax", "LogSoftmax", "LayerNormalization", "NonMaxSuppression", "TopK", "Exp", "Log"}
    | {"InstanceNormalization", "GroupNormalization", "ReduceL2", "Erf"}
)
"""Operators whose results need more than 256 steps."""


def r1_scale(amax: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Scale(s) of symmetric signed INT8 for magnitudes `amax`; 1 where everything is 0.

    Raises:
        ValueError: a magnitude is negative, NaN or infinite.
    """
    magnitude = np.asarray(amax, np.float64)
    if not (np.isfinite(magnitude).all() and (magnitude >= 0.0).all()):
        raise ValueError(f"no scale follows from a magnitude of {amax}")
    scale = np.maximum(magnitude / INT8_LEVELS, SMALLEST_SCALE)
    return np.where(magnitude > 0.0, scale, 1.0).astype(np.float32)


def r2_weight_axis(node: NodeProto) -> int:
    """The axis of a weight that counts output channels (of one group, for ConvTranspose)."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes(node).get("transB")):
        return 0
    return 1


def r2_weight_amax(weight: Array, axis: int) -> NDArray[np.float32]:
    """The largest magnitude of each channel: weights are never clipped."""
    others = tuple(row for row in range(weight.ndim) if row != axis)
    found: NDArray[np.float32] = np.abs(weight).max(axis=others, initial=0.0).astype(np.float32)
    return found


def r3_weight_is_constant(graph: Graph, node: NodeProto) -> bool:
    """Whether the weight is a float initializer with one axis of output channels: a matrix, or a
    kernel of a convolution. A Q/DQ pair can be put on it.

    A computed one (attention) is an activation; a stack of matrices has no such axis.
    """
    name = node.input[WEIGHT]
    if name not in graph.initializers or not graph.is_float(name):
        return False
    axes = len(graph.shape(name) or ())
    return axes == 2 if node.op_type in ("Gemm", "MatMul") else axes > 2


def r5_reads(graph: Graph) -> Iterator[Read]:
    """The data input of every weighted operator with a constant weight, in graph order."""
    inside = r5_inside_fusion(graph)
    for node in graph.nodes:
        if node.op_type not in WEIGHTED or not r3_weight_is_constant(graph, node):
            continue
        name = node.input[DATA]
        if graph.is_float(name) and name not in inside and name not in graph.initializers:
            yield Read(node, DATA)


def r5_inside_fusion(graph: Graph) -> set[str]:
    """Tensors between a weighted operator and the end of its activation."""
    return {
        name
        for node in graph.nodes
        if node.op_type in WEIGHTED
        for name in fused_tensors(graph, node)[:-1]
    }


def r6_skip_reads(graph: Graph, quantized: Collection[str]) -> Iterator[Read]:
    """For every Add that a convolution of `quantized` (names) fuses with: its read of the other
    branch, the skip.

    Where both branches end in a convolution, the later one fuses and the earlier is the skip; where
    the later one stays in float, nothing fuses and the skip needs no pair.
    """
    order = {id(node): row for row, node in enumerate(graph.nodes)}
    for node in graph.nodes:
        if node.op_type != "Add" or any(name in graph.initializers for name in node.input):
            continue
        ends = [
            order[id(maker)]
            if (maker := graph.producer.get(name)) is not None
            and maker.op_type in WEIGHTED
            and r3_weight_is_constant(graph, maker)  # a float one fuses with nothing
            and graph.sole_reader(name) is node
            else -1
            for name in node.input
        ]
        if max(ends) < 0 or graph.nodes[max(ends)].name not in quantized:
            continue
        if graph.shape(node.input[0]) == graph.shape(node.input[1]):
            yield Read(node, 1 - int(np.argmax(ends)))


def moves_values(node: NodeProto) -> bool:
    """Whether an operator's output holds only values of its first input (R8)."""
    if node.op_type == "Resize":
        return attributes(node).get("mode", b"nearest") == b"nearest"
    return node.op_type in MOVERS


def r8_shared(graph: Graph, pairs: Collection[str]) -> Iterator[tuple[str, Read]]:
    """Pairs with only movers between them: (later tensor, read of the earlier one).

    Both get one scale, and the mover reads the dequantized tensor.
    """
    for later in pairs:
        node = graph.producer.get(later)
        while node is not None and moves_values(node):
            if node.input[0] in pairs:
                yield later, Read(node, 0)
                break
            node = graph.producer.get(node.input[0])


def r7_concat(graph: Graph, pairs: Collection[str]) -> Iterator[tuple[str, Read]]:
    """Pairs that a Concat joins: (its paired output, read of a paired input).

    Both get one scale, and the Concat reads the dequantized tensor. Movers may lie between, on
    either side.
    """
    for later in pairs:
        node = _below_movers(graph, later, pairs)
        if node is None or node.op_type != "Concat":
            continue
        for slot in range(len(node.input)):
            read = Read(node, slot)
            while read.node.input[read.slot] not in pairs:
                maker = graph.producer.get(read.node.input[read.slot])
                if maker is None or not moves_values(maker):
                    break
                read = Read(maker, 0)
            if read.node.input[read.slot] in pairs:
                yield later, read


def _below_movers(graph: Graph, name: str, pairs: Collection[str]) -> NodeProto | None:
    """The first producer above `name` that is no mover; None where a pair lies between."""
    node = graph.producer.get(name)
    while node is not None and moves_values(node):
        if node.input[0] in pairs:
            return None
        node = graph.producer.get(node.input[0])
    return node


def r9_never(graph: Graph, name: str) -> str | None:
    """Why a tensor must stay in float, or None."""
    if name in graph.outputs:
        return "a graph output"
    if not graph.is_float(name):
        return "not float32: shape arithmetic"
    node = graph.producer.get(name)
    while node is not None and moves_values(node):
        node = graph.producer.get(node.input[0])
    if node is not None and node.op_type in HIGH_PRECISION:
        return f"made by {node.op_type}"
    return None


FEW_CHANNELS = 16


def r10_prefers_float(graph: Graph, node: NodeProto) -> str | None:
    """Why a weighted operator is probably better in float, or None. A first guess: INT8 kernels
    work on blocks of 16 channels, and few channels average out little of the rounding."""
    weight, made = graph.shape(node.input[WEIGHT]), graph.shape(node.output[0])
    read = graph.shape(node.input[DATA])
    if weight is None or made is None or read is None:
        return None
    if node.op_type == "MatMul" and 1 in made[-2:]:
        return "matrix times vector"
    if node.op_type not in ("Conv", "ConvTranspose"):
        return None
    group = attributes(node).get("group", 1)
    if isinstance(group, int) and group > 1 and group == read[1]:
        return f"depthwise, {group} channels" if group < 4 * FEW_CHANNELS else None
    if min(read[1], made[1]) < FEW_CHANNELS:
        return f"{read[1]} input and {made[1]} output channels"
    return None
