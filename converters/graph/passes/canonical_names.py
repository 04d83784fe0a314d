"""Gives the picture and the outputs their fixed names, and every node a name of its own.

Takes a model and the names of its outputs; returns a copy. Inner tensors keep their names, by which
people look for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto

from converters.graph.index import Graph, inner_tensors, rename_tensors, with_nodes

PICTURE = "images"


def name_everything(model: ModelProto, outputs: Sequence[str]) -> ModelProto:
    """The same model with one input `images`, outputs named `outputs` (see
    `edge.perception.decode.output_shapes`), and unique node names."""
    graph = Graph(model)
    wanted = {graph.inputs[0]: PICTURE, **dict(zip(graph.outputs, outputs, strict=True))}
    taken = {*graph.inputs, *graph.producer, *graph.initializers}
    taken |= {name for node in graph.nodes for name in inner_tensors(node)}
    # An inner tensor that already has such a name gets another.
    names = {name: _free(name, taken) for name in wanted.values() if name in taken - set(wanted)}
    names |= wanted
    other = with_nodes(model, nodes=[rename_tensors(node, names) for node in graph.nodes])
    for value in (*other.graph.input, *other.graph.output):
        value.name = names.get(value.name, value.name)
    for tensor in other.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    seen: set[str] = set()
    for row, node in enumerate(other.graph.node):
        name = node.name or f"{node.op_type}_{row}"
        while name in seen:
            name = f"{name}_{row}"
        seen.add(name)
        node.name = name
    return other


def _free(name: str, taken: set[str]) -> str:
    """A name that no tensor has, close to `name`."""
    while name in taken:
        name = f"{name}_inside"
    return name
