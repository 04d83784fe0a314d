"""Lowering 2, `strong.onnx`: Q/DQ with all other operators in FP16, for strongly typed networks
(TensorRT from 10.12 on, 11 always, TensorRT-RTX).

Takes `int8.onnx`; returns the same graph with types written into it, since in a strongly typed
network they are the precision. Scales stay float32, with a Cast before each Q and after each DQ,
and weights stay float32 before their Q: scales in FP16 would become 0, and the parser refuses the
file (rule R11). Every tensor keeps its name and its float32; its FP16 twin is `NAME/half`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from converters.graph.index import Array, Graph, subgraphs, with_nodes
from converters.graph.passes.eliminate_dead_code import drop_dead_code
from converters.graph.passes.infer_shapes import infer_shapes

HALF_MAX = float(np.finfo(np.float16).max)

STAYS_FLOAT = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "Cast", "ConstantOfShape", "Range", "Constant"}
    | {"RandomNormal", "RandomUniform", "EyeLike", "Bernoulli", "BatchNormalization"}
    | {"Exp", "Log", "Pow", "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSumExp"}
    | {"ReduceSumSquare", "LayerNormalization", "InstanceNormalization", "GroupNormalization"}
    | {"NonMaxSuppression", "TopK", "CumSum", "OneHot", "Loop", "If", "Scan"}
)
"""Operators that stay in float32: those that make or hold it by definition, and those whose results
leave FP16's range or need more digits than it has."""

FLOAT_SLOTS: Mapping[str, Collection[int]] = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that the ONNX standard wants in float32 whatever the type of the data."""


def to_strong(model: ModelProto, *, magnitudes: Mapping[str, float] | None = None) -> ModelProto:
    """The strongly typed form of a graph with Q/DQ (`int8.onnx`); inputs and outputs stay float32.

    Args:
        magnitudes: largest observed magnitude of tensors, where known: an operator that reads or
            makes one beyond FP16 stays in float32.
    """
    graph = Graph(model)
    wide = {name for name, seen in (magnitudes or {}).items() if seen > HALF_MAX / 2}
    writer = _Writer(graph)
    for node in graph.nodes:
        half = is_half(graph, node) and wide.isdisjoint((*node.input, *node.output))
        writer.write(node, half=half)
    for name in graph.outputs:
        writer.float_of(name)
    strong = with_nodes(model, nodes=writer.nodes, initializers=writer.constants)
    finished = infer_shapes(drop_dead_code(strong))
    onnx.checker.check_model(finished, full_check=True)
    return finished


def is_half(graph: Graph, node: NodeProto) -> bool:
    """Whether an operator computes in FP16: it works on float32 now, it is not in STAYS_FLOAT, and
    FP16 holds its constants."""
    floats = [name for name in node.input if name and graph.is_float(name)]
    if node.op_type in STAYS_FLOAT or not floats or any(True for _ in subgraphs(node)):
        return False
    if not any(graph.is_float(name) for name in node.output if name):
        return False  # comparisons and the like: casting their inputs could change the answer
    slots = FLOAT_SLOTS.get(node.op_type, ())
    constants = [
        value
        for slot, name in enumerate(node.input)
        if slot not in slots and name in floats and (value := graph.constant(name)) is not None
    ]
    return all(fits_half(value) for value in constants)


def fits_half(values: Array) -> bool:
    """Whether FP16 holds an array: no magnitude beyond its largest, and not all of it lost to 0."""
    finite = np.abs(values.astype(np.float64))
    if not np.isfinite(finite).all() or finite.max(initial=0.0) > HALF_MAX:
        return False
    return bool(np.any(values.astype(np.float16))) or not np.any(values)


class _Writer:
    """Nodes of the strongly typed graph so far, and which tensors and twins exist already."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._graph = graph
        self._there: set[str] = {*graph.inputs, *graph.initializers}

    def write(self, node: NodeProto, *, half: bool) -> None:
        """One node, with the casts that it needs before it."""
        other = NodeProto()
        other.CopyFrom(node)
        slots = FLOAT_SLOTS.get(node.op_type, ())
        for slot, name in enumerate(node.input):
            if name and self._graph.is_float(name):
                other.input[slot] = (
                    self.half_of(name) if half and slot not in slots else self.float_of(name)
                )
        for slot, name in enumerate(node.output):
            if not name:
                continue
            if half and self._graph.is_float(name):
                other.output[slot] = f"{name}/half"
            self._there.add(other.output[slot])
        for graph in subgraphs(node):
            for name in {read for inner in graph.node for read in inner.input}:
                if name in self._graph.producer and self._graph.is_float(name):
                    self.float_of(name)
        self.nodes.append(other)

    def half_of(self, name: str) -> str:
        """The FP16 twin of a tensor: one that exists, a constant, or a Cast."""
        twin = f"{name}/half"
        if twin not in self._there:
            value = self._graph.constant(name)
            if value is not None:
                self.constants[twin] = value.astype(np.float16)
            else:
                self._cast(name, twin, TensorProto.FLOAT16)
            self._there.add(twin)
        return twin

    def float_of(self, name: str) -> str:
        """The float32 tensor by its own name: one that exists, or a Cast of its twin."""
        if name not in self._there:
            self._cast(f"{name}/half", name, TensorProto.FLOAT)
            self._there.add(name)
        return name

    def _cast(self, source: str, made: str, to: int) -> None:
        self.nodes.append(helper.make_node("Cast", [source], [made], name=f"{made}/Cast", to=to))
