"""Places Q/DQ for cpu.onnx: what onnxruntime's integer kernels need beyond TensorRT's placement.

Takes the float graph and its placement by the rules; returns `CpuPlaces`, without ranges.

TensorRT's convolution puts out float or INT8, as the next layer asks. onnxruntime's integer
convolution puts out INT8 only, and a float Add between two of them costs three conversions. So the
outputs of integer operators get a pair too, and the operators between them that have integer
kernels join. A tensor that only float operators read stays in float: rounding it would cost
accuracy and save nothing. A weighted operator that the placement leaves in float stays so.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto, NodeProto

from converters.graph.index import Graph
from converters.quantization.placement import QdqPlacement, groups
from converters.quantization.rules import DATA, WEIGHTED, moves_values

SATURATING = ("Relu", "Clip")
"""Activations that an unsigned range replaces by saturation."""

CARRIERS: dict[str, str] = {
    "Add": "QLinearAdd",
    "Mul": "QLinearMul",
    "Sigmoid": "QLinearSigmoid",
    "LeakyRelu": "QLinearLeakyRelu",
    "AveragePool": "QLinearAveragePool",
    "GlobalAveragePool": "QLinearGlobalAveragePool",
    "Concat": "QLinearConcat",
}
"""Operators that onnxruntime computes in integers -> its fused operator."""

FLOAT_OUT = ("Gemm", "MatMul")
"""Weighted operators whose integer kernel puts out float where no pair follows."""

FLOAT_ONLY = ("ConvTranspose",)
"""Weighted operators without an integer kernel."""

AVERAGING = ("ReduceMean", "GlobalAveragePool", "AveragePool")
"""Float operators that average out the rounding of their input."""


@dataclass(frozen=True)
class CpuPlaces:
    """Where INT8 goes in cpu.onnx.

    Attributes:
        pairs: tensors with a pair, in graph order; every reader of one reads it dequantized.
        weighted: names of the weighted operators in integers.
        shared: groups of pairs with one scale, since an operator only moves their values.
        saturated: a tensor before a Relu or Clip that its range may replace -> the one behind.
    """

    pairs: tuple[str, ...]
    weighted: frozenset[str]
    shared: tuple[tuple[str, ...], ...]
    saturated: dict[str, str]


def cpu_places(model: ModelProto, placement: QdqPlacement) -> CpuPlaces:
    """The places for cpu.onnx, from the `placement` of the same float graph."""
    graph = Graph(model)
    ends = {
        node.output[0]: end
        for node in graph.nodes
        if (end := graph.sole_reader(node.output[0])) is not None and end.op_type in SATURATING
    }
    integer = _worth_it(graph, placement, _grown(graph, placement, ends), ends)
    pairs = {name for node in integer for name in _data(node)}
    pairs |= {made for node in integer if _may(graph, made := _made(node, ends))}
    order = {name: row for row, name in enumerate((*graph.inputs, *graph.producer))}
    links = [
        (made, node.input[DATA])
        for node in integer
        if moves_values(node) and (made := _made(node, ends)) in pairs
    ]
    return CpuPlaces(
        pairs=tuple(sorted(pairs, key=lambda name: order[name])),
        weighted=frozenset(node.name for node in integer if node.op_type in WEIGHTED),
        shared=groups(links),
        saturated={
            node.output[0]: end.output[0]
            for node in integer
            if (end := ends.get(node.output[0])) is not None and end.output[0] in pairs
        },
    )


def cpu_tensors(model: ModelProto, placement: QdqPlacement) -> tuple[str, ...]:
    """Tensors whose ranges int8.onnx or cpu.onnx need, those of `placement` first."""
    return tuple(dict.fromkeys((*placement.pairs, *cpu_places(model, placement).pairs)))


def _grown(graph: Graph, placement: QdqPlacement, ends: dict[str, NodeProto]) -> list[NodeProto]:
    """Every operator that can be in integers, since all of its inputs can be."""
    grown: list[NodeProto] = []
    there = set(placement.pairs)
    for node in graph.nodes:
        weighted = node.name in placement.macs_of and node.op_type not in FLOAT_ONLY
        if weighted or (_carries(graph, node) and there.issuperset(_data(node))):
            grown.append(node)
            there.update(made for made in [_made(node, ends)] if _may(graph, made))
    return grown


def _worth_it(
    graph: Graph, placement: QdqPlacement, grown: list[NodeProto], ends: dict[str, NodeProto]
) -> list[NodeProto]:
    """Those whose output is quantized anyway, averaged, or read by another one that is kept."""
    wanted = set(placement.pairs)
    wanted.update(node.input[DATA] for node in graph.nodes if node.op_type in AVERAGING)
    kept: list[NodeProto] = []
    for node in reversed(grown):
        made = _made(node, ends)
        if (made in wanted and _may(graph, made)) or node.op_type in FLOAT_OUT:
            kept.append(node)
            wanted.update(_data(node))
    return kept[::-1]


def _may(graph: Graph, name: str) -> bool:
    """Whether a tensor can have a pair."""
    return graph.is_float(name) and name not in graph.outputs


def _made(node: NodeProto, ends: dict[str, NodeProto]) -> str:
    """The output of a node, behind its Relu or Clip."""
    made: str = ends.get(node.output[0], node).output[0]
    return made


def _carries(graph: Graph, node: NodeProto) -> bool:
    """Whether a node without weights has an integer kernel."""
    if moves_values(node):
        return graph.is_float(node.input[DATA]) and len(node.output) == 1
    return node.op_type in CARRIERS and not any(name in graph.initializers for name in node.input)


def _data(node: NodeProto) -> list[str]:
    """Tensors that a node computes with."""
    return list(node.input) if node.op_type in CARRIERS else [node.input[DATA]]
