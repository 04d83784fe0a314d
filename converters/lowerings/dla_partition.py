"""Partitions a network for a DLA: cuts it behind the last operators that a DLA can run.

Takes a model with static shapes; returns a `Cut`, body and head, or None. Tensors keep their names,
and every operator is in exactly one of the two, so nothing changes in what is computed.

A detector ends in reshapes, transposes and decoding that no DLA runs. In one engine they send every
feature map from the DLA to the GPU and back; cut off, the body's last tensors are its outputs. What
a DLA runs: NVIDIA TensorRT developer guide, "DLA supported layers and restrictions", in its
strictest reading of Orin's releases; batch and alignment are the builder's to check.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from converters.graph.index import Graph, attributes, inner_reads

WEIGHTED = frozenset({"Conv", "ConvTranspose"})

LARGEST_KERNEL, LARGEST_SCALE = 32, 32


@dataclass(frozen=True)
class Cut:
    """A network in two parts.

    Attributes:
        body: from the picture to `tensors`.
        head: from `tensors` to the outputs that the body does not put out itself.
        tensors: the body's outputs, in graph order.
        fallback: operators of the body that no DLA runs: the GPU does, in between.
    """

    body: ModelProto
    head: ModelProto
    tensors: tuple[str, ...]
    fallback: tuple[str, ...]


def runs_on_dla(graph: Graph, node: NodeProto) -> bool:
    """Whether a DLA runs an operator: one of ON_DLA, on feature maps (1, C, H, W)."""
    fits = ON_DLA.get(node.op_type)
    fed = [name for name in node.input if name and name not in graph.initializers]
    shapes = [graph.shape(name) for name in (*fed, *node.output)]
    whole = all(shape is not None and len(shape) == 4 for shape in shapes)
    return fits is not None and len(node.output) == 1 and whole and fits(graph, node)


def cut_head(model: ModelProto) -> Cut | None:
    """The network in two parts; None where no operator lies behind the last one that a DLA runs, or
    none before it. Shapes must be static."""
    graph = Graph(model)
    body = _ancestors(
        graph, [n for n in graph.nodes if n.op_type in WEIGHTED and runs_on_dla(graph, n)]
    )
    if not body:
        return None
    for node in graph.nodes:
        makers = [graph.producer[name] for name in node.input if name in graph.producer]
        if makers and all(id(maker) in body for maker in makers) and runs_on_dla(graph, node):
            body.add(id(node))
    behind = [node for node in graph.nodes if id(node) not in body]
    if not behind:
        return None
    read = {name for node in behind for name in (*node.input, *inner_reads(node))}
    made = [name for node in graph.nodes if id(node) in body for name in node.output if name]
    tensors = [name for name in made if name in read or name in graph.outputs]
    inputs = [name for name in graph.inputs if name in read]
    front = [node for node in graph.nodes if id(node) in body]
    rest = [name for name in graph.outputs if name not in tensors]
    return Cut(
        body=_part(model, front, graph.inputs, tensors),
        head=_part(model, behind, [*inputs, *(n for n in tensors if n in read)], rest),
        tensors=tuple(tensors),
        fallback=tuple(node.name for node in front if not runs_on_dla(graph, node)),
    )


def _ancestors(graph: Graph, nodes: Iterable[NodeProto]) -> set[int]:
    """These nodes and all their ancestors, by id."""
    found: set[int] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if id(node) in found:
            continue
        found.add(id(node))
        names = (*node.input, *inner_reads(node))
        waiting += [graph.producer[name] for name in names if name in graph.producer]
    return found


def _part(
    model: ModelProto,
    nodes: Collection[NodeProto],
    inputs: Iterable[str],
    outputs: Iterable[str],
) -> ModelProto:
    """A model of some of the nodes, with the opset, tensor names and shapes of the whole."""
    whole = model.graph
    graph = Graph(model)
    read = {name for node in nodes for name in (*node.input, *inner_reads(node))}
    made = {name for node in nodes for name in node.output}
    part = helper.make_graph(
        list(nodes),
        whole.name,
        [_value(graph, name) for name in inputs],
        [_value(graph, name) for name in outputs],
        [tensor for tensor in whole.initializer if tensor.name in read],
        value_info=[value for value in whole.value_info if value.name in made],
    )
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def _value(graph: Graph, name: str) -> onnx.ValueInfoProto:
    shape = graph.shape(name)
    assert shape is not None  # static shapes are required
    kind = TensorProto.FLOAT if graph.is_float(name) else TensorProto.INT64
    return helper.make_tensor_value_info(name, kind, shape)


def _always(graph: Graph, node: NodeProto) -> bool:
    return True


def _convolution(graph: Graph, node: NodeProto) -> bool:
    weight = graph.shape(node.input[1])
    constant = all(name in graph.initializers for name in node.input[1:] if name)
    return constant and weight is not None and max(weight[2:], default=1) <= LARGEST_KERNEL


def _deconvolution(graph: Graph, node: NodeProto) -> bool:
    given = attributes(node)
    moved = [*_ints(given.get("pads")), *_ints(given.get("output_padding"))]
    plain = given.get("group", 1) == 1 and set(_ints(given.get("dilations"))) <= {1}
    return _convolution(graph, node) and plain and not any(moved)


def _pool(graph: Graph, node: NodeProto) -> bool:
    given = attributes(node)
    kernel, pads = _ints(given.get("kernel_shape")), _ints(given.get("pads"))
    plain = set(_ints(given.get("dilations"))) <= {1} and not given.get("ceil_mode")
    return plain and max(kernel, default=1) <= 8 and max(pads, default=0) < max(kernel, default=1)


def _clip(graph: Graph, node: NodeProto) -> bool:
    low = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return low is not None and not low.any()


def _element_wise(graph: Graph, node: NodeProto) -> bool:
    return len({graph.shape(name) for name in node.input}) == 1


def _concat(graph: Graph, node: NodeProto) -> bool:
    return attributes(node).get("axis") in (1, -3)


def _resize(graph: Graph, node: NodeProto) -> bool:
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if before is None or after is None or before[:2] != after[:2]:
        return False
    if attributes(node).get("mode", b"nearest") not in (b"nearest", b"linear"):
        return False
    pairs = list(zip(before[2:], after[2:], strict=True))
    return all(b % a == 0 and b // a <= LARGEST_SCALE for a, b in pairs)


def _ints(value: object) -> list[int]:
    return [int(one) for one in value] if isinstance(value, list | tuple) else []


ON_DLA: dict[str, Callable[[Graph, NodeProto], bool]] = {
    "Conv": _convolution,
    "ConvTranspose": _deconvolution,
    "Relu": _always,
    "LeakyRelu": _always,
    "PRelu": _always,
    "Sigmoid": _always,
    "Tanh": _always,
    "Clip": _clip,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Add": _element_wise,
    "Sub": _element_wise,
    "Mul": _element_wise,
    "Max": _element_wise,
    "Min": _element_wise,
    "Concat": _concat,
    "Resize": _resize,
}
"""Operator -> whether a DLA runs it with its attributes and inputs."""
