"""A read-only index over an ONNX graph: who makes and who reads a tensor, its shape and constant
value; and the ways to build a changed copy.

Takes a model, which it never changes; passes and rules query it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

Array = NDArray[np.generic]

STANDARD = ("", "ai.onnx")
"""Domains of the ONNX standard."""


INSIDE = -1
"""The slot of a read from a graph inside a node (If, Loop, Scan)."""


class Read(NamedTuple):
    """One input of one node."""

    node: NodeProto
    slot: int


class Graph:
    """Index of a model's main graph, valid as long as the model is not changed."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.nodes: list[NodeProto] = list(graph.node)
        self.inputs: list[str] = [value.name for value in graph.input]
        self.outputs: list[str] = [value.name for value in graph.output]
        self.initializers: dict[str, TensorProto] = {t.name: t for t in graph.initializer}
        self.producer: dict[str, NodeProto] = {
            name: node for node in self.nodes for name in node.output if name
        }
        readers: dict[str, list[Read]] = defaultdict(list)
        for node in self.nodes:
            for slot, name in enumerate(node.input):
                if name:
                    readers[name].append(Read(node, slot))
            for name in inner_reads(node):
                readers[name].append(Read(node, INSIDE))
        self._readers = dict(readers)
        values = (*graph.input, *graph.value_info, *graph.output)
        self._values: dict[str, ValueInfoProto] = {value.name: value for value in values}

    def readers(self, name: str) -> list[Read]:
        """The reads of a tensor, in graph order, without the graph's outputs."""
        return self._readers.get(name, [])

    def sole_reader(self, name: str) -> NodeProto | None:
        """The node that reads a tensor, if it is the only one and the tensor is no graph output."""
        reads = self.readers(name)
        return reads[0].node if len(reads) == 1 and name not in self.outputs else None

    def constant(self, name: str) -> Array | None:
        """The value of an initializer, or None for anything computed."""
        found = self.initializers.get(name)
        return None if found is None else numpy_helper.to_array(found)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Static shape of a tensor, or None where it is not known."""
        if name in self.initializers:
            return tuple(self.initializers[name].dims)
        value = self._values.get(name)
        if value is None or not value.type.tensor_type.HasField("shape"):
            return None
        sizes = value.type.tensor_type.shape.dim
        if any(not size.HasField("dim_value") for size in sizes):
            return None
        return tuple(size.dim_value for size in sizes)

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        if name in self.initializers:
            return self.initializers[name].data_type == TensorProto.FLOAT
        value = self._values.get(name)
        return value is not None and value.type.tensor_type.elem_type == TensorProto.FLOAT


def attributes(node: NodeProto) -> dict[str, object]:
    """Attributes of a node by name, as Python values."""
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def opset_of(model: ModelProto) -> int:
    """The version of the standard operators that a model imports; 0 if it imports none."""
    return next((item.version for item in model.opset_import if item.domain in STANDARD), 0)


def subgraphs(node: NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs inside a node (If, Loop, Scan)."""
    for item in node.attribute:
        if item.type == onnx.AttributeProto.GRAPH:
            yield item.g
        yield from item.graphs


def all_nodes(graph: onnx.GraphProto) -> Iterator[NodeProto]:
    """Every node of a graph, with those inside other nodes."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def inner_reads(node: NodeProto) -> set[str]:
    """Tensors that the graphs inside a node read."""
    inner = (within for graph in subgraphs(node) for within in all_nodes(graph))
    return {name for within in inner for name in within.input if name}


def inner_tensors(node: NodeProto) -> set[str]:
    """Outputs, inputs and initializers of the graphs inside a node."""
    made: set[str] = set()
    for graph in subgraphs(node):
        made.update(value.name for value in (*graph.initializer, *graph.input))
        for inner in graph.node:
            made.update(inner.output)
            made |= inner_tensors(inner)
    return made


def copy_model(model: ModelProto) -> ModelProto:
    """A copy that may be changed."""
    other = ModelProto()
    other.CopyFrom(model)
    return other


def with_nodes(
    model: ModelProto,
    *,
    nodes: Iterable[NodeProto],
    initializers: Mapping[str, Array | TensorProto] | None = None,
) -> ModelProto:
    """A copy with other nodes and, where given, further or replaced initializers.

    It has no value information; `passes/infer_shapes.py` writes that again.
    """
    kept = list(nodes)  # before the copy: they may be nodes of `model`
    other = copy_model(model)
    del other.graph.node[:]
    other.graph.node.extend(kept)
    del other.graph.value_info[:]
    if initializers:
        tensors = {tensor.name: tensor for tensor in other.graph.initializer}
        for name, value in initializers.items():
            tensors[name] = (
                value
                if isinstance(value, TensorProto)
                else numpy_helper.from_array(np.asarray(value, order="C"), name)
            )
        all_tensors = [onnx.TensorProto.FromString(t.SerializeToString()) for t in tensors.values()]
        del other.graph.initializer[:]
        other.graph.initializer.extend(all_tensors)
    return other


def rename_tensors(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A copy of a node whose inputs and outputs have other names, in the graphs inside it too."""
    other = NodeProto()
    other.CopyFrom(node)
    _rename(other, names)
    return other


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for graph in subgraphs(node):
        for inner in graph.node:
            _rename(inner, names)
        for value in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
            value.name = names.get(value.name, value.name)
