"""Counts the multiply-accumulates of an operator for one picture: one table of the operators that
multiply, by the shapes of their inputs and outputs.

Every share of multiplications in this project is counted by it, whether an operator can be INT8 or
not. Element-wise products do not count: there are only as many as values, and TensorRT fuses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnx import GraphProto, NodeProto

from converters.graph.index import Graph, attributes, subgraphs

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
"""Shapes of an operator's inputs or outputs, in order; None where one is unknown or left out."""

ShapeOf = Callable[[str], Shape | None]
"""Tensor -> its shape."""

Count = Callable[[Shapes, Shapes, Mapping[str, Any]], int]
"""Shapes of inputs, shapes of outputs and attributes -> multiply-accumulates."""


class UnknownShape(Exception):
    """A shape that the count needs is unknown."""


def _known(shapes: Shapes, slot: int) -> Shape:
    shape = shapes[slot] if slot < len(shapes) else None
    if shape is None:
        raise UnknownShape
    return shape


def _convolution(weight: int) -> Count:
    """Every output value sums a kernel: (channels of a group) x kernel."""
    return lambda read, made, _: math.prod(_known(made, 0)) * math.prod(_known(read, weight)[1:])


def _transposed(read: Shapes, made: Shapes, _: Mapping[str, Any]) -> int:
    """Every input value is multiplied by a whole kernel."""
    del made
    return math.prod(_known(read, 0)) * math.prod(_known(read, 1)[1:])


def _product(read: Shapes, made: Shapes, given: Mapping[str, Any]) -> int:
    """Every output value sums over the inner side of the first matrix."""
    a = _known(read, 0)
    inner = a[0] if given.get("transA") and len(a) == 2 else a[-1]
    return math.prod(_known(made, 0)) * inner


def _recurrent(read: Shapes, made: Shapes, _: Mapping[str, Any]) -> int:
    """X (steps, batch, in) by W (directions, gates x hidden, in) and R, at every step."""
    del made
    steps, batch = _known(read, 0)[:2]
    return steps * batch * (math.prod(_known(read, 1)) + math.prod(_known(read, 2)))


def _einsum(read: Shapes, made: Shapes, given: Mapping[str, Any]) -> int:
    """A product for every combination of the indices, where two operands or more are multiplied."""
    del made
    equation = given.get("equation", b"")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    terms = text.replace(" ", "").split("->", maxsplit=1)[0].split(",")
    sizes: dict[str, int] = {}
    for slot, term in enumerate(terms):
        shape = _known(read, slot)
        letters = term.replace("...", "." * max(0, len(shape) - len(term.replace("...", ""))))
        for row, letter in enumerate(letters):
            index = f".{len(letters) - row}" if letter == "." else letter
            sizes[index] = max(sizes.get(index, 1), shape[row])
    return (len(terms) - 1) * math.prod(sizes.values())


MULTIPLYING: dict[str, Count] = {
    "Conv": _convolution(1),
    "ConvTranspose": _transposed,
    "DeformConv": _convolution(1),
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _product,
    "LSTM": _recurrent,
    "MatMul": _product,
    "RNN": _recurrent,
}
"""Operators of the standard that multiply."""

IN_INTEGERS: dict[str, Count] = {
    "ConvInteger": _convolution(1),
    "DynamicQuantizeLSTM": _recurrent,
    "DynamicQuantizeMatMul": _product,
    "MatMulInteger": _product,
    "MatMulIntegerToFloat": _product,
    "QGemm": _product,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _product,
}
"""Operators of the standard and of onnxruntime that multiply integers."""


def multiplications(graph: Graph, node: NodeProto) -> int:
    """Multiply-accumulates of a node of the main graph for one picture; 0 where it has none, or
    where its shapes are unknown.

    An If counts its larger branch, a Scan its body at every step, a Loop its body as often as a
    constant says, and once where the number is computed.
    """
    return _of_node(node, graph.shape, graph)


def _of_node(node: NodeProto, shape: ShapeOf, graph: Graph) -> int:
    inner = [_of_graph(one, shape, graph) for one in subgraphs(node)]
    if inner:
        return max(inner) * _times(node, shape, graph)
    count = MULTIPLYING.get(node.op_type)
    if count is None:
        return 0
    read, made = (
        [shape(name) if name else None for name in names] for names in (node.input, node.output)
    )
    try:
        return count(read, made, attributes(node))
    except UnknownShape:
        return 0


def _of_graph(inner: GraphProto, outer: ShapeOf, graph: Graph) -> int:
    known: dict[str, Shape] = {one.name: tuple(one.dims) for one in inner.initializer}
    for value in (*inner.input, *inner.value_info, *inner.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            known[value.name] = tuple(d.dim_value for d in dims)

    def shape(name: str) -> Shape | None:
        return known[name] if name in known else outer(name)

    return sum(_of_node(node, shape, graph) for node in inner.node)


def _times(node: NodeProto, shape: ShapeOf, graph: Graph) -> int:
    """How often the graph inside a node runs."""
    if node.op_type == "Loop" and node.input[0]:
        trips = graph.constant(node.input[0])
        return 1 if trips is None else max(1, int(trips.reshape(-1)[0]))
    if node.op_type == "Scan":
        read = shape(node.input[-1])
        return read[0] if read else 1
    return 1
