"""Recognises a weighted operator with the activation that a runtime fuses into it.

Looks only. Conv, then Relu, LeakyRelu, Clip, HardSwish, or SiLU written as Sigmoid x Mul (and
HardSigmoid x Mul, the older writing of HardSwish).
"""

from __future__ import annotations

from onnx import NodeProto

from converters.graph import Graph

ACTIVATIONS = ("Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "Mish", "Elu", "Sigmoid", "Tanh")
GATES = ("Sigmoid", "HardSigmoid")


def gated(graph: Graph, name: str) -> NodeProto | None:
    """The Mul of x * gate(x) over tensor `name` (SiLU, HardSwish), or None."""
    reads = [read.node for read in graph.readers(name)]
    gates = [node for node in reads if node.op_type in GATES]
    if len(reads) != 2 or len(gates) != 1 or name in graph.outputs:
        return None
    product = graph.sole_reader(gates[0].output[0])
    other = next(node for node in reads if node is not gates[0])
    return product if product is other and product.op_type == "Mul" else None


def fused(graph: Graph, node: NodeProto) -> list[str]:
    """Tensors from a weighted operator's output to its activation's, which comes last.

    One tensor where no activation follows; every one before the last is inside the fused kernel
    and must get no Q/DQ pair.
    """
    made = node.output[0]
    product = gated(graph, made)
    if product is not None:
        gate = next(r.node for r in graph.readers(made) if r.node.op_type in GATES)
        return [made, gate.output[0], product.output[0]]
    activation = graph.sole_reader(made)
    if activation is not None and activation.op_type in ACTIVATIONS:
        return [made, activation.output[0]]
    return [made]
