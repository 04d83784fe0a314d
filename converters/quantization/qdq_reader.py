"""Reads a Q/DQ graph: its pairs, and the float graph without them.

Takes a model that any tool wrote: signed or unsigned, per tensor or per axis, weights as float
behind a pair or stored as integers behind a DequantizeLinear. Returns `QdqParts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from converters.graph.index import Array, Graph, attributes, rename_tensors, with_nodes
from converters.graph.passes.eliminate_dead_code import drop_dead_code
from converters.graph.passes.infer_shapes import infer_shapes
from converters.quantization.rules import BIAS, WEIGHT, WEIGHTED

Kind = Literal["activation", "weight", "bias"]


@dataclass(frozen=True)
class Pair:
    """One QuantizeLinear/DequantizeLinear pair, or one DequantizeLinear on stored integers.

    Attributes:
        tensor: the float tensor that it quantizes, by its name in the float graph.
        kind: what that tensor is.
        node: name of the DequantizeLinear, or its output where it has none.
        scale: () or (channels,) float64.
        zero: of the same shape, as integers.
        type: element type of the integers, a TensorProto enum.
        axis: of the scales, where they are per axis.
        stored: whether the integers are in the file, not computed from float.
        scale_type: element type that the scales are stored in.
    """

    tensor: str
    kind: Kind
    node: str
    scale: NDArray[np.float64]
    zero: NDArray[np.int64]
    type: int
    axis: int | None
    stored: bool
    scale_type: int

    @property
    def amax(self) -> float:
        """The largest magnitude that its integers represent."""
        low, high = INTEGERS.get(self.type, (-128, 127))
        ends = [np.abs((end - self.zero) * self.scale).max(initial=0.0) for end in (low, high)]
        return float(max(ends))


INTEGERS: dict[int, tuple[int, int]] = {
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-(2**15), 2**15 - 1),
    TensorProto.UINT16: (0, 2**16 - 1),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
}


@dataclass(frozen=True)
class QdqParts:
    """The pairs of a quantized graph, and its float graph.

    Attributes:
        model: the same network in float, with shapes; weights and biases dequantized.
        pairs: every pair, in graph order.
        quantized: names of weighted operators that read data and weight through pairs.
    """

    model: ModelProto
    pairs: tuple[Pair, ...]
    quantized: frozenset[str]

    def of(self, tensor: str) -> list[Pair]:
        """The pairs on a tensor of the float graph."""
        return [pair for pair in self.pairs if pair.tensor == tensor]


def take_apart(model: ModelProto) -> QdqParts:
    """The pairs of a Q/DQ graph, and the graph without them."""
    graph = Graph(model)
    quantizers = {n.output[0]: n for n in graph.nodes if n.op_type == "QuantizeLinear"}
    dequantizers = [n for n in graph.nodes if n.op_type == "DequantizeLinear"]
    names: dict[str, str] = {}
    constants: dict[str, Array] = {}
    for node in dequantizers:
        source = node.input[0]
        if source in quantizers:
            names[node.output[0]] = quantizers[source].input[0]
        elif source in graph.initializers:
            constants[node.output[0]] = _dequantized(graph, node)
    names = {name: _last(name, names) for name in names}
    # A graph output that a pair makes keeps its name: the tensor under the pair takes it.
    taken = {names[name]: name for name in graph.outputs if name in names}
    names = {name: taken.get(source, source) for name, source in names.items()} | taken
    gone = {n.output[0] for n in dequantizers if n.output[0] in names or n.output[0] in constants}
    kept = [
        rename_tensors(node, names)
        for node in graph.nodes
        if node.op_type != "QuantizeLinear"
        and not (set(node.output) & gone and node in dequantizers)
    ]
    bare = with_nodes(model, nodes=kept, initializers=constants)
    bare = infer_shapes(drop_dead_code(bare))
    float_graph = Graph(bare)
    pairs = tuple(
        _pair(graph, node, names.get(node.output[0], node.output[0]), quantizers, float_graph)
        for node in dequantizers
        if node.output[0] in gone and node.input[1] in graph.initializers
    )
    return QdqParts(bare, pairs, _quantized(graph, gone))


def _quantized(graph: Graph, dequantized: set[str]) -> frozenset[str]:
    return frozenset(
        node.name
        for node in graph.nodes
        if node.op_type in WEIGHTED
        and all(name in dequantized for name in node.input[: WEIGHT + 1])
    )


def _last(name: str, names: dict[str, str]) -> str:
    """The tensor under pairs on pairs."""
    while name in names:
        name = names[name]
    return name


def _pair(
    graph: Graph,
    node: NodeProto,
    tensor: str,
    quantizers: dict[str, NodeProto],
    float_graph: Graph,
) -> Pair:
    scale = graph.constant(node.input[1])
    assert scale is not None  # the caller asked for a constant one
    zero = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    stored = node.input[0] in graph.initializers
    if stored:
        kind_of_integers = graph.initializers[node.input[0]].data_type
    elif len(node.input) > 2 and node.input[2] in graph.initializers:
        kind_of_integers = graph.initializers[node.input[2]].data_type
    else:
        kind_of_integers = TensorProto.UINT8  # the standard's default
    axis = attributes(node).get("axis", 1)
    return Pair(
        tensor=tensor,
        kind=_kind(float_graph, tensor),
        node=node.name or node.output[0],
        scale=np.squeeze(scale.astype(np.float64)) if scale.size == 1 else scale.astype(np.float64),
        zero=np.zeros((), np.int64) if zero is None else np.squeeze(zero.astype(np.int64)),
        type=kind_of_integers,
        axis=axis if scale.size > 1 and isinstance(axis, int) else None,
        stored=stored,
        scale_type=graph.initializers[node.input[1]].data_type,
    )


def _kind(graph: Graph, tensor: str) -> Kind:
    if tensor not in graph.initializers:
        return "activation"
    slots = {r.slot for r in graph.readers(tensor) if r.node.op_type in WEIGHTED}
    return "bias" if slots == {BIAS} else "weight"


def _dequantized(graph: Graph, node: NodeProto) -> Array:
    """The float value of stored integers: (q - zero) * scale along the axis."""
    stored, scale = graph.constant(node.input[0]), graph.constant(node.input[1])
    assert stored is not None
    if scale is None:
        raise ValueError(f"'{node.name}' dequantizes by a computed scale")
    zero = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    axis = attributes(node).get("axis", 1)
    shape = [1] * stored.ndim
    if scale.size > 1 and isinstance(axis, int):
        shape[axis] = -1
    by = scale.astype(np.float64).reshape(shape if stored.ndim else ())
    offset = 0.0 if zero is None else zero.astype(np.float64).reshape(by.shape)
    return ((stored.astype(np.float64) - offset) * by).astype(np.float32)


Q_OPERATORS = frozenset(
    {"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
    | {"QLinearAdd", "QLinearConcat", "QLinearSigmoid", "QLinearMul", "QGemm", "QLinearLeakyRelu"}
    | {"QLinearGlobalAveragePool", "QLinearAveragePool", "QLinearSoftmax"}
)
"""Operators that compute in integers themselves instead of between pairs."""
