"""Computes once what does not depend on the picture, and stores it as initializers.

Takes a model; returns a copy. It runs the model's own operators in onnxruntime, and again where
that made a shape known. Random operators, sequences and nodes with inner graphs stay.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.inference.sessions import ModelSession
from converters.graph.index import Array, Graph, inner_reads, opset_of, subgraphs, with_nodes
from converters.graph.passes.infer_shapes import infer_shapes

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)

NO_TENSOR = frozenset(
    {"SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SplitToSequence"}
    | {"Optional"}
)
"""Operators whose output no initializer can hold."""

LARGEST_BYTES = 16 << 20
"""Largest constant to store; a larger one stays computed, so that the file cannot grow without
bound."""


def foldable(graph: Graph) -> Iterator[NodeProto]:
    """Nodes that read only constants, or the shape of a tensor whose shape is known, in graph
    order."""
    constants = set(graph.initializers)
    for node in graph.nodes:
        if node.op_type in RANDOM | NO_TENSOR or any(True for _ in subgraphs(node)):
            continue
        shape_is_known = node.op_type == "Shape" and graph.shape(node.input[0]) is not None
        if not shape_is_known and any(name not in constants for name in node.input if name):
            continue
        shapes = [graph.shape(name) for name in node.output if name]
        if any(shape and np.prod(shape) * 8 > LARGEST_BYTES for shape in shapes):
            continue
        constants.update(node.output)
        yield node


def fold_constants(model: ModelProto) -> ModelProto:
    """The same model with every foldable node replaced by its value, and with inferred shapes."""
    while folding := list(foldable(Graph(model))):
        model = infer_shapes(_fold(model, folding))
    return model


def _fold(model: ModelProto, folding: list[NodeProto]) -> ModelProto:
    graph = Graph(model)
    folded = {id(node) for node in folding}
    kept = [node for node in graph.nodes if id(node) not in folded]
    needed = {name for node in kept for name in node.input} | set(graph.outputs)
    needed |= {name for node in kept for name in inner_reads(node)}
    wanted = [name for node in folding for name in node.output if name and name in needed]
    return with_nodes(model, nodes=kept, initializers=_evaluate(model, folding, wanted))


def _evaluate(model: ModelProto, nodes: list[NodeProto], wanted: list[str]) -> dict[str, Array]:
    graph = Graph(model)
    known: dict[str, TensorProto] = {}
    computing = []
    for node in nodes:
        if node.op_type == "Shape" and node.input[0] not in graph.initializers:
            known[node.output[0]] = _shape(graph, node)
            continue
        computing.append(node)
        for name in node.input:
            if name in graph.initializers:
                known[name] = graph.initializers[name]
    shapes = {name: numpy_helper.to_array(known[name]) for name in wanted if name in known}
    rest = [name for name in wanted if name not in known]
    if not rest:
        return shapes
    small = helper.make_model(
        helper.make_graph(
            computing,
            "constants",
            [],
            [helper.make_empty_tensor_value_info(name) for name in rest],
            list(known.values()),
        ),
        opset_imports=[helper.make_opsetid("", opset_of(model))],
        ir_version=model.ir_version,
    )
    session = ModelSession(small.SerializeToString(), threads=1)
    return shapes | dict(zip(rest, session.run({}, rest), strict=True))


def _shape(graph: Graph, node: NodeProto) -> TensorProto:
    sizes = graph.shape(node.input[0])
    assert sizes is not None
    bounds = {item.name: item.i for item in node.attribute}
    part = sizes[bounds.get("start", 0) : bounds.get("end", len(sizes))]
    return numpy_helper.from_array(np.asarray(part, np.int64), node.output[0])
