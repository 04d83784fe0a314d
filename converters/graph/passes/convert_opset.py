"""Converts a model to the opset that the target needs, and checks the result.

Takes a model and an opset; returns a copy or refuses. Upwards by onnx's own converter; downwards
from 18 to 17 by rewriting the few operators that differ, since onnx's converter has no adapters for
them.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import ModelProto, NodeProto, helper, version_converter

from converters.graph.index import Graph, all_nodes, attributes, opset_of, subgraphs, with_nodes
from converters.graph.passes.fold_constants import fold_constants
from converters.graph.passes.infer_shapes import infer_shapes
from firmware_bridge.errors import UsageError

MIN_OPSET, MAX_OPSET = 17, 21
"""Opsets that a mission may ask for (see INT8 rule R12)."""

ONLY_FROM_18 = frozenset(
    {"BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im"}
    | {"GroupNormalization", "Mish", "OptionalGetElement", "OptionalHasElement"}
)
"""Operators that opset 17 does not have (onnx changelog of opset 18)."""


def to_opset(model: ModelProto, opset: int) -> ModelProto:
    """The same model at `opset`.

    Raises:
        UsageError: an operator of the model does not exist at that opset, or has no conversion.
    """
    there = opset_of(model)
    if there == opset:
        return model
    try:
        if there > opset:
            at_18 = model if there == 18 else version_converter.convert_version(model, 18)
            other = at_18 if opset >= 18 else _lower_to_17(at_18)
            if opset > 18:
                other = version_converter.convert_version(other, opset)
        else:
            other = version_converter.convert_version(model, opset)
    # The converter's C++ errors reach Python as RuntimeError.
    except (RuntimeError, onnx.checker.ValidationError) as error:
        raise _no_way(there, opset, str(error).strip().splitlines()[0]) from error
    if opset_of(other) != opset:
        raise _no_way(there, opset, f"the conversion stopped at opset {opset_of(other)}")
    return other


def _lower_to_17(model: ModelProto) -> ModelProto:
    # How to write an operator depends on constants and shapes.
    model = fold_constants(infer_shapes(model))
    graph = Graph(model)
    foreign = sorted({n.op_type for n in all_nodes(model.graph)} & ONLY_FROM_18)
    if foreign:
        raise _no_way(18, 17, f"{', '.join(foreign)} exist from opset 18 on")
    for outer in graph.nodes:
        inside = {n.op_type for part in subgraphs(outer) for n in all_nodes(part)} & set(
            LOWER_TO_17
        )
        if inside:
            raise _no_way(18, 17, f"{', '.join(sorted(inside))} inside {outer.op_type}")
    nodes = []
    for node in graph.nodes:
        lower = LOWER_TO_17.get(node.op_type)
        nodes.append(node if lower is None else lower(graph, node))
    other = with_nodes(model, nodes=nodes)
    del other.opset_import[:]
    other.opset_import.append(helper.make_opsetid("", 17))
    other.opset_import.extend(item for item in model.opset_import if item.domain)
    return other


def _copy(node: NodeProto) -> NodeProto:
    other = NodeProto()
    other.CopyFrom(node)
    return other


def _without(node: NodeProto, *names: str) -> NodeProto:
    other = _copy(node)
    kept = [item for item in node.attribute if item.name not in names]
    del other.attribute[:]
    other.attribute.extend(kept)
    return other


def _reduce(graph: Graph, node: NodeProto) -> NodeProto:
    """Reduce*: axes became an input in 18."""
    if len(node.input) < 2 or not node.input[1]:
        if attributes(node).get("noop_with_empty_axes"):
            raise _no_way(18, 17, f"{node.op_type} '{node.name}' reduces nothing when empty")
        return _without(node, "noop_with_empty_axes")
    axes = graph.constant(node.input[1])
    if axes is None:
        raise _no_way(18, 17, f"the axes of {node.op_type} '{node.name}' are computed")
    other = _without(node, "noop_with_empty_axes")
    del other.input[1:]
    other.attribute.append(helper.make_attribute("axes", [int(axis) for axis in axes.flat]))
    return other


def _split(graph: Graph, node: NodeProto) -> NodeProto:
    """Split: num_outputs came in 18; without it parts are equal."""
    count = attributes(node).get("num_outputs")
    if count is None:
        return _copy(node)
    shape = graph.shape(node.input[0])
    axis = attributes(node).get("axis", 0)
    if shape is None or not isinstance(axis, int) or shape[axis] % len(node.output):
        raise _no_way(18, 17, f"Split '{node.name}' makes unequal parts")
    return _without(node, "num_outputs")


def _pad(graph: Graph, node: NodeProto) -> NodeProto:
    """Pad: axes came as an input in 18."""
    if len(node.input) < 4 or not node.input[3]:
        other = _copy(node)
        del other.input[3:]
        return other
    raise _no_way(18, 17, f"Pad '{node.name}' pads chosen axes")


def _resize(graph: Graph, node: NodeProto) -> NodeProto:
    """Resize: antialias, axes and keep_aspect_ratio_policy came in 18."""
    given = attributes(node)
    policy = given.get("keep_aspect_ratio_policy", b"stretch")
    if given.get("antialias") or given.get("axes") or policy != b"stretch":
        raise _no_way(18, 17, f"Resize '{node.name}' uses what came in opset 18")
    return _without(node, "antialias", "keep_aspect_ratio_policy")


REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")

LOWER_TO_17: dict[str, Callable[[Graph, NodeProto], NodeProto]] = {
    **{f"Reduce{name}": _reduce for name in REDUCTIONS},
    "Pad": _pad,
    "Resize": _resize,
    "Split": _split,
}
"""Operators whose form changed in 18 (onnx changelog) -> the function that writes them for 17."""


def _no_way(there: int, opset: int, found: str) -> UsageError:
    return UsageError(
        f"the model cannot be brought from opset {there} to {opset}",
        expected="operators that both know",
        found=found,
        remedy="choose another opset (--set precision.opset=18), or export the model with it",
    )
