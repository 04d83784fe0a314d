"""Recognises the activation that a runtime fuses into a weighted operator.

Takes a graph and an operator; returns the tensors from the operator's output to its activation's.
It knows Conv followed by Relu, LeakyRelu, Clip, HardSwish, SiLU written as Sigmoid x Mul (and
HardSigmoid x Mul, the older form of HardSwish), or any function of one number that an exporter
wrote out in several operators: Mish, GELU, HardSwish as x * Relu6(x + 3) / 6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container

from onnx import NodeProto

from converters.graph.index import Graph

ACTIVATIONS = ("Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Mish", "Elu", "Sigmoid", "Tanh")
GATES = ("Sigmoid", "HardSigmoid")

POINTWISE = frozenset(
    {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Neg", "Abs", "Sqrt", "Exp", "Log", "Erf"}
    | {
        "Relu",
        "LeakyRelu",
        "Elu",
        "Clip",
        "Sigmoid",
        "HardSigmoid",
        "Softplus",
        "Tanh",
        "HardSwish",
    }
)
"""Element-wise operators in which an exporter may write out an activation."""

LONGEST = 12
"""Most operators of one activation; GELU by Tanh, the longest known, takes eight."""


def gate_product(graph: Graph, name: str) -> NodeProto | None:
    """The Mul of x * gate(x) over tensor `name` (SiLU, HardSwish), or None."""
    reads = [read.node for read in graph.readers(name)]
    gates = [node for node in reads if node.op_type in GATES]
    if len(reads) != 2 or len(gates) != 1 or name in graph.outputs:
        return None
    product = graph.sole_reader(gates[0].output[0])
    other = next(node for node in reads if node is not gates[0])
    return product if product is other and product.op_type == "Mul" else None


def expanded_activation(graph: Graph, name: str) -> list[str]:
    """Tensors of an activation that an exporter wrote out over tensor `name`, the result last;
    empty where there is none.

    The result is the first tensor that depends only on `name` and constants of one value, and past
    which no other node reads a tensor in between.
    """
    inside, made = {name}, list[str]()
    left = Counter({name: len(graph.readers(name))})
    if left[name] < 2 or name in graph.outputs:
        return []
    for node in graph.nodes:
        if not inside.intersection(node.input):
            continue
        if not _of_one_number(graph, node, inside) or len(made) == LONGEST:
            return []
        left.subtract(one for one in node.input if one in inside)
        result = node.output[0]
        inside.add(result)
        made.append(result)
        if not any(left.values()):
            return [*made, *_scaled(graph, result)]
        if result in graph.outputs:
            return []
        left[result] = len(graph.readers(result))
    return []


def _of_one_number(graph: Graph, node: NodeProto, inside: Container[str]) -> bool:
    return node.op_type in POINTWISE and all(
        one in inside or (one in graph.initializers and math.prod(graph.shape(one) or ()) == 1)
        for one in node.input
        if one
    )


def _scaled(graph: Graph, name: str) -> list[str]:
    """The output of a product with a constant, where that alone reads the activation."""
    node = graph.sole_reader(name)
    if node is None or node.op_type not in ("Mul", "Div"):
        return []
    return [node.output[0]] if _of_one_number(graph, node, {name}) else []


def fused_tensors(graph: Graph, node: NodeProto) -> list[str]:
    """Tensors from a weighted operator's output to its activation's, which comes last.

    One tensor where no activation follows. All but the last are inside the fused kernel and must
    get no Q/DQ pair.
    """
    made = node.output[0]
    product = gate_product(graph, made)
    if product is not None:
        gate = next(r.node for r in graph.readers(made) if r.node.op_type in GATES)
        return [made, gate.output[0], product.output[0]]
    if inner := expanded_activation(graph, made):
        return [made, *inner]
    activation = graph.sole_reader(made)
    if activation is not None and activation.op_type in ACTIVATIONS:
        return [made, activation.output[0]]
    return [made]
