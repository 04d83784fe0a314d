"""Removes nodes and initializers that nothing reads; outputs stay."""

from __future__ import annotations

from onnx import ModelProto

from converters.graph.index import Graph, inner_reads, with_nodes


def drop_dead_code(model: ModelProto) -> ModelProto:
    """The same model with only what its outputs need."""
    graph = Graph(model)
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.output if name):
            kept.append(node)
            needed.update(name for name in node.input if name)
            needed.update(inner_reads(node))
    other = with_nodes(model, nodes=reversed(kept))
    alive = Graph(other)
    tensors = [t for t in model.graph.initializer if alive.readers(t.name) or t.name in needed]
    del other.graph.initializer[:]
    other.graph.initializer.extend(tensors)
    return other
