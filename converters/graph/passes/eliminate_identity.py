"""Removes nodes that pass their input on unchanged: Identity, and Dropout at inference.

Takes a model; returns a copy. Graph inputs and outputs keep their names.
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from converters.graph.index import Graph, rename_tensors, with_nodes


def removable(graph: Graph, node: NodeProto) -> bool:
    """Whether a node does nothing and its removal takes no name from a graph input or output."""
    if node.op_type == "Dropout":
        training = len(node.input) > 2 and node.input[2]
        mask = len(node.output) > 1 and (
            graph.readers(node.output[1]) or node.output[1] in graph.outputs
        )
        if training or mask:
            return False
    elif node.op_type != "Identity":
        return False
    source, made = node.input[0], node.output[0]
    inside = any(read.slot < 0 for read in (*graph.readers(made), *graph.readers(source)))
    # An output must keep its name: the producer takes it, unless its own name must stay too.
    fixed = source not in graph.producer or source in graph.outputs
    return not inside and not (made in graph.outputs and fixed)


def remove_identities(model: ModelProto) -> ModelProto:
    """The same model without nodes that do nothing."""
    while True:
        graph = Graph(model)
        node = next((node for node in graph.nodes if removable(graph, node)), None)
        if node is None:
            return model
        source, made = node.input[0], node.output[0]
        names = {source: made} if made in graph.outputs else {made: source}
        model = with_nodes(
            model,
            nodes=[rename_tensors(other, names) for other in graph.nodes if other is not node],
        )
