"""Bounds the size of an ONNX model before anything of it is expanded, allocated or run.

In: a model. Out: its `Size` with all functions expanded, or a refusal. Computed from the file:
nodes and bytes of its functions, the sizes that its tensors declare, the iterations of its loops.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

from firmware_bridge.errors import UsageError

LARGEST_BYTES = 2**31 - 1
"""Bytes of a model with its weights and functions expanded: the limit of a protobuf message."""

LARGEST_NODES = 200_000
"""Operators, with those of a function counted at each call. Networks for pictures have hundreds to
some thousands."""

LARGEST_STEPS = 10_000_000
"""Operators run for one picture, with those of a loop counted in each iteration."""

LARGEST_TURNS = 100_000
"""Iterations of one loop, where the file states their number."""

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""


@dataclass(frozen=True)
class Size:
    """The size of a graph with all functions that it calls.

    Attributes:
        nodes, bytes: with functions expanded.
        steps: operators run for one picture; a loop of unknown length counts once.
        open_loops: whether it has such a loop.
    """

    nodes: int = 0
    bytes: int = 0
    steps: int = 0
    open_loops: bool = False


def check_bounds(model: ModelProto, path: Path) -> Size:
    """The size of a model that a machine can hold.

    Raises:
        UsageError: a function calls itself or is defined twice, or the model is too large when
            expanded, declares tensors too large, or has a loop of too many iterations.
    """
    functions: dict[Key, FunctionProto] = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if key in functions:
            raise _refused(path, f"the function '{function.name}' is there twice")
        functions[key] = function
    _check_tensors(model, path)
    sizes: dict[Key, Size] = {}
    for key in _innermost_first(functions, path):
        sizes[key] = _checked(_size(functions[key].node, sizes, {}, path), path)
    constants = _constants(model.graph.initializer, model.graph.node)
    return _checked(_size(model.graph.node, sizes, constants, path), path)


def check_shapes(model: ModelProto, path: Path) -> None:
    """Refuses a model with a tensor that no machine can hold, as far as shape inference finds it.
    Raises UsageError.
    """
    try:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return  # the caller that needs the shapes reports the fault
    for value in (*known.graph.value_info, *known.graph.output):
        sizes = [size.dim_value for size in value.type.tensor_type.shape.dim]
        held = math.prod(sizes) * _item_bytes(value.type.tensor_type.elem_type)
        if held > LARGEST_BYTES:
            raise _refused(path, f"a tensor of {held / 1e9:.1f} GB, '{value.name}'")


GROWING = frozenset(
    {"ConstantOfShape", "Expand", "Tile", "Range", "Resize", "Upsample", "Pad", "OneHot"}
)
"""Operators whose output may have any size, which depends on the values of an input."""


def may_run_on(model: ModelProto, size: Size) -> bool:
    """Whether time or memory of the model are known only from a run: it has a loop of unknown
    length, or an operator whose output has an unknown size."""
    if size.open_loops:
        return True
    bodies = [function.node for function in model.functions]
    if not any(
        node.op_type in GROWING for row in (model.graph.node, *bodies) for node in _every_node(row)
    ):
        return False
    try:
        known = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return True
    shaped = {
        value.name
        for value in (*known.value_info, *known.output)
        if value.type.tensor_type.HasField("shape")
        and all(one.HasField("dim_value") for one in value.type.tensor_type.shape.dim)
    }
    outer = {name for node in known.node for name in node.output}
    return any(
        node.op_type in GROWING and (node.output[0] not in shaped or node.output[0] not in outer)
        for row in (known.node, *bodies)
        for node in _every_node(row)
    )


def check_unconverted(data: bytes, path: Path) -> None:
    """Refuses a file, not written by `convert`, whose time or memory only a run would show:
    `convert` tries such networks in a process that can be ended. Raises UsageError.
    """
    try:
        model = onnx.load_from_string(data, format="protobuf")
        size = check_bounds(model, path)
    except (DecodeError, ValueError):
        return  # onnxruntime refuses it later, with its reason
    beside = external_tensor(model)
    check_shapes(model, path)
    if beside is None and not may_run_on(model, size):
        return
    raise UsageError(
        f"{path} cannot be judged as it is",
        expected="one file with its weights inside, whose loops and sizes it tells",
        found="loops or sizes that are known once it runs"
        if beside is None
        else f"'{beside}' in another file",
        remedy="convert it, which takes both: brakepoint convert MISSION --out OUT; then "
        "brakepoint evaluate MISSION --from OUT",
    )


def external_tensor(model: ModelProto) -> str | None:
    """The name of a tensor anywhere in the model with data in another file; None without any."""
    bodies = (function.node for function in model.functions)
    for tensor in _tensors(model.graph, bodies):
        if tensor.data_location == TensorProto.EXTERNAL:
            return tensor.name
    return None


def _innermost_first(functions: Mapping[Key, FunctionProto], path: Path) -> list[Key]:
    """Functions in an order in which each comes after those that it calls. Without recursion, since
    a chain of calls may be as long as the file."""
    calls = {
        key: {_key(node) for node in _every_node(function.node)} & set(functions)
        for key, function in functions.items()
    }
    callers: dict[Key, list[Key]] = {key: [] for key in functions}
    waiting = {key: len(called) for key, called in calls.items()}
    for key, called in calls.items():
        for one in called:
            callers[one].append(key)
    ready = [key for key, count in waiting.items() if not count]
    done = []
    while ready:
        key = ready.pop()
        done.append(key)
        for caller in callers[key]:
            waiting[caller] -= 1
            if not waiting[caller]:
                ready.append(caller)
    if len(done) < len(functions):
        names = sorted(key[1] for key in set(functions) - set(done))
        raise _refused(path, f"functions that call themselves: {', '.join(names[:3])}")
    return done


def _size(
    nodes: Iterable[NodeProto],
    functions: Mapping[Key, Size],
    constants: Mapping[str, TensorProto],
    path: Path,
) -> Size:
    """The size of a sequence of nodes. Recurses into subgraphs, whose depth protobuf bounds."""
    count = size = steps = 0
    is_open = False
    for node in nodes:
        called = functions.get(_key(node))
        if called is not None:
            count, size, steps = count + called.nodes, size + called.bytes, steps + called.steps
            is_open = is_open or called.open_loops
            continue
        count, size, steps = count + 1, size + node.ByteSize(), steps + 1
        for graph in _graphs(node):
            inside = {**constants, **_constants(graph.initializer, graph.node)}
            inner = _size(graph.node, functions, inside, path)
            turns = _turns(node, graph, constants)
            if turns is not None and turns > LARGEST_TURNS:
                raise _refused(path, f"a loop of {turns} turns ('{node.name or node.output[0]}')")
            count, size = count + inner.nodes, size + inner.bytes
            steps += inner.steps * (1 if turns is None else max(turns, 0))
            is_open = is_open or inner.open_loops or (node.op_type == "Loop" and turns is None)
    return Size(count, size, steps, is_open)


def _turns(node: NodeProto, body: GraphProto, constants: Mapping[str, TensorProto]) -> int | None:
    """How often a subgraph of a node runs; None where the file does not state it. Exporters write
    `while` as a loop of 2^63 iterations with a computed condition."""
    if node.op_type != "Loop":
        return None if node.op_type == "Scan" else 1  # Scan runs once for each row of a tensor
    if not node.input or not node.input[0] or _may_end(body):
        return None
    given = constants.get(node.input[0])
    if given is None or math.prod(given.dims) != 1:
        return None
    try:
        return int(onnx.numpy_helper.to_array(given).reshape(()))
    except (ValueError, TypeError, KeyError, OverflowError):  # damaged, or in another file
        return None


def _may_end(body: GraphProto) -> bool:
    """Whether a loop's body computes its condition, which may end it before its count."""
    if len(body.output) < 1 or len(body.input) < 2:
        return False
    kept = {body.input[1].name, *(tensor.name for tensor in body.initializer)}
    for node in body.node:
        if node.op_type == "Constant" or (node.op_type == "Identity" and node.input[0] in kept):
            kept.update(node.output)
    return body.output[0].name not in kept


def _constants(
    initializers: Iterable[TensorProto], nodes: Iterable[NodeProto]
) -> dict[str, TensorProto]:
    """Tensors whose values the graph holds, by name."""
    found = {tensor.name: tensor for tensor in initializers}
    for node in nodes:
        for item in node.attribute:
            if node.op_type != "Constant" or len(node.output) != 1:
                continue
            if item.name == "value" and item.type == AttributeProto.TENSOR:
                found[node.output[0]] = item.t
            elif item.name == "value_int":
                found[node.output[0]] = onnx.numpy_helper.from_array(np.asarray(item.i))
    return found


def _check_tensors(model: ModelProto, path: Path) -> None:
    """Refuses tensors anywhere in the model that declare too large a size: readers allocate it."""
    total = 0
    bodies = (function.node for function in model.functions)
    for tensor in _tensors(model.graph, bodies):
        if any(size < 0 for size in tensor.dims):
            raise _refused(path, f"'{tensor.name}' with a size below 0")
        total += math.prod(tensor.dims) * _item_bytes(tensor.data_type)
        if total > LARGEST_BYTES:
            raise _refused(path, f"tensors of {total / 1e9:.1f} GB, with '{tensor.name}'")


def _tensors(graph: GraphProto, bodies: Iterable[Iterable[NodeProto]]) -> Iterator[TensorProto]:
    graphs = [graph]
    for nodes in (graph.node, *bodies):
        for node in _every_node(nodes):
            graphs += _graphs(node)
            for item in node.attribute:
                if item.type == AttributeProto.TENSOR:
                    yield item.t
                yield from item.tensors
                for sparse in (item.sparse_tensor, *item.sparse_tensors):
                    yield from _written_out(sparse)
    for one in graphs:
        yield from one.initializer
        for sparse in one.sparse_initializer:
            yield from _written_out(sparse)


def _written_out(sparse: onnx.SparseTensorProto) -> Iterator[TensorProto]:
    """The dense tensor that a sparse one expands to, without values."""
    if sparse.dims:
        yield TensorProto(
            name=sparse.values.name, dims=sparse.dims, data_type=sparse.values.data_type
        )


def _item_bytes(data_type: int) -> int:
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize)
    except (KeyError, TypeError, ValueError):
        return 1  # an unknown type, which onnx refuses when it reads the tensor


def _every_node(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Every node, with those in subgraphs."""
    for node in nodes:
        yield node
        for graph in _graphs(node):
            yield from _every_node(graph.node)


def _graphs(node: NodeProto) -> list[GraphProto]:
    found = []
    for item in node.attribute:
        if item.type == AttributeProto.GRAPH:
            found.append(item.g)
        found += item.graphs
    return found


def _key(node: NodeProto) -> Key:
    return (node.domain, node.op_type, node.overload)


def _checked(size: Size, path: Path) -> Size:
    limits = Counter(nodes=LARGEST_NODES, bytes=LARGEST_BYTES, steps=LARGEST_STEPS)
    for name, limit in limits.items():
        found: int = getattr(size, name)
        if found > limit:
            raise _refused(path, f"{_short(found)} {WORDS[name]}, of {_short(limit)} at most")
    return size


WORDS = {
    "nodes": "operators with its functions written out",
    "bytes": "bytes with its functions written out",
    "steps": "operators run for one picture, by its loops",
}


def _short(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"more than 10^{len(str(number)) - 1}"


def _refused(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is larger than it looks",
        expected="a network that fits into memory and ends, as its file says",
        found=found,
        remedy="export the network again; do not load a file whose origin you do not know",
    )
