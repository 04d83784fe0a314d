"""The properties that a pass may require or ensure of a graph: one table.

Each takes a model and yields its violations, in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnx import ModelProto

from converters.graph.index import Graph, opset_of
from converters.graph.passes.convert_opset import MAX_OPSET, MIN_OPSET
from converters.graph.passes.eliminate_identity import removable
from converters.graph.passes.fold_batchnorm import foldable as foldable_batchnorms
from converters.graph.passes.fold_constants import foldable as foldable_constants


def _initializers_are_no_inputs(model: ModelProto) -> Iterator[str]:
    graph = Graph(model)
    for name in graph.inputs:
        if name in graph.initializers:
            yield f"initializer '{name}' is also an input"


def _opset_in_range(model: ModelProto) -> Iterator[str]:
    if not MIN_OPSET <= opset_of(model) <= MAX_OPSET:
        yield f"opset {opset_of(model)}"


def _constants_are_initializers(model: ModelProto) -> Iterator[str]:
    for node in foldable_constants(Graph(model)):
        yield f"{node.op_type} '{node.name}' has constant inputs only"


def _no_identities(model: ModelProto) -> Iterator[str]:
    graph = Graph(model)
    for node in graph.nodes:
        if removable(graph, node):
            yield f"{node.op_type} '{node.name}' does nothing"


def _batchnorms_are_folded(model: ModelProto) -> Iterator[str]:
    graph = Graph(model)
    for node in graph.nodes:
        if foldable_batchnorms(graph, node):
            yield f"BatchNormalization '{node.name}' follows a convolution"


def _everything_is_used(model: ModelProto) -> Iterator[str]:
    graph = Graph(model)
    for node in graph.nodes:
        if not any(graph.readers(name) or name in graph.outputs for name in node.output):
            yield f"nobody reads {node.op_type} '{node.name}'"
    for name in graph.initializers:
        if not graph.readers(name) and name not in graph.outputs:
            yield f"nobody reads initializer '{name}'"


def _nodes_are_named(model: ModelProto) -> Iterator[str]:
    names = [node.name for node in model.graph.node]
    if not all(names) or len(set(names)) != len(names):
        yield "nodes without a name, or with the name of another"


def _carries_no_talk(model: ModelProto) -> Iterator[str]:
    if model.doc_string or model.metadata_props or model.graph.doc_string:
        yield "the model carries documentation or metadata"
    for node in model.graph.node:
        if node.doc_string or node.metadata_props:
            yield f"'{node.name}' carries documentation or metadata"


def _shapes_are_static(model: ModelProto) -> Iterator[str]:
    graph = Graph(model)
    for name in (*graph.inputs, *graph.producer):
        if graph.shape(name) is None:
            maker = graph.producer.get(name)
            made = "" if maker is None else f", which {maker.op_type} '{maker.name}' makes,"
            yield f"the size of '{name}'{made} is not known before it runs"


PROPERTIES: dict[str, Callable[[ModelProto], Iterator[str]]] = {
    "initializers are no inputs": _initializers_are_no_inputs,
    "opset in range": _opset_in_range,
    "constants are initializers": _constants_are_initializers,
    "no identities": _no_identities,
    "BatchNorm is folded": _batchnorms_are_folded,
    "everything is used": _everything_is_used,
    "nodes are named": _nodes_are_named,
    "carries no talk": _carries_no_talk,
    "shapes are static": _shapes_are_static,
}
