"""Writes a placement into a float graph as explicit Q/DQ: `int8.onnx`, by rules R1 to R9, the form
that every TensorRT from 8.6 on accepts.

Takes the float graph, the placement and the ranges; returns the quantized graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper

from calibration.ranges.ranges import Range
from converters.graph.index import Array, Graph, with_nodes
from converters.graph.passes.infer_shapes import infer_shapes
from converters.quantization.placement import QdqPlacement
from converters.quantization.rules import (
    DATA,
    WEIGHT,
    WEIGHTED,
    r1_scale,
    r2_weight_amax,
)

Initializers = dict[str, Array]


def shared_ranges(placement: QdqPlacement, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The range of every pair, the widest of its group where pairs share a scale (R7, R8)."""
    return widest({name: ranges[name] for name in placement.pairs}, placement.shared)


def widest(ranges: Mapping[str, Range], groups: Iterable[tuple[str, ...]]) -> dict[str, Range]:
    """The same ranges; all members of a group get the widest of their group."""
    taken = dict(ranges)
    for group in groups:
        members = [taken[name] for name in group]
        one = replace(
            members[0],
            amax=max(one.amax for one in members),
            low=min(one.low for one in members),
            high=max(one.high for one in members),
        )
        taken.update(dict.fromkeys(group, one))
    return taken


def quantize_int8(
    model: ModelProto, placement: QdqPlacement, ranges: Mapping[str, Range]
) -> ModelProto:
    """The graph with symmetric signed Q/DQ: per tensor for activations, per channel for weights."""
    graph = Graph(model)
    constants: Initializers = {}
    after: dict[str, list[NodeProto]] = {}
    for name, taken in shared_ranges(placement, ranges).items():
        constants[f"{name}/scale"] = r1_scale(taken.amax)
        constants[f"{name}/zero"] = np.zeros((), np.int8)
        after[name] = pair(name)
    first: list[NodeProto] = []
    for name, axis in placement.weights.items():
        weight = graph.constant(name)
        assert weight is not None  # R3
        scale = r1_scale(r2_weight_amax(weight, axis))
        constants[f"{name}/scale"] = scale
        constants[f"{name}/zero"] = np.zeros(scale.shape, np.int8)
        first += pair(name, axis=axis)
    return _write(model, placement, first=first, after=after, constants=constants)


def pair(name: str, axis: int | None = None) -> list[NodeProto]:
    """NAME -> NAME/q -> NAME/dq, with constants NAME/scale and NAME/zero."""
    quantize = helper.make_node(
        "QuantizeLinear",
        [name, f"{name}/scale", f"{name}/zero"],
        [f"{name}/q"],
        name=f"{name}/QuantizeLinear",
    )
    if axis is not None:
        quantize.attribute.append(helper.make_attribute("axis", axis))
    return [quantize, dequantize(name, axis=axis)]


def dequantize(name: str, *, axis: int | None) -> NodeProto:
    """NAME/q -> NAME/dq, with the same constants."""
    node = helper.make_node(
        "DequantizeLinear",
        [f"{name}/q", f"{name}/scale", f"{name}/zero"],
        [f"{name}/dq"],
        name=f"{name}/DequantizeLinear",
    )
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node


def _write(
    model: ModelProto,
    placement: QdqPlacement,
    *,
    first: list[NodeProto],
    after: Mapping[str, list[NodeProto]],
    constants: Initializers,
) -> ModelProto:
    graph = Graph(model)
    reads: dict[str, dict[int, str]] = defaultdict(dict)
    for read in placement.reads:
        reads[read.node][read.slot] = f"{read.tensor}/dq"
    for name, axis_reader in _weight_reads(graph, placement):
        reads[axis_reader][WEIGHT] = f"{name}/dq"
    nodes = [*first, *(node for name in graph.inputs for node in after.get(name, []))]
    for node in graph.nodes:
        nodes.append(with_inputs(node, reads.get(node.name, {})))
        nodes += [pair for name in node.output for pair in after.get(name, [])]
    return finish_model(model, nodes, constants)


def finish_model(model: ModelProto, nodes: list[NodeProto], constants: Initializers) -> ModelProto:
    """A copy with these nodes and further constants; drops unused ones, infers shapes, checks."""
    wide = with_nodes(model, nodes=nodes, initializers=constants)
    used = {name for node in wide.graph.node for name in node.input}
    kept = [
        onnx.TensorProto.FromString(tensor.SerializeToString())
        for tensor in wide.graph.initializer
        if tensor.name in used
    ]
    del wide.graph.initializer[:]
    wide.graph.initializer.extend(kept)
    shaped = infer_shapes(wide)
    onnx.checker.check_model(shaped, full_check=True)
    return shaped


def _weight_reads(graph: Graph, placement: QdqPlacement) -> list[tuple[str, str]]:
    """(weight, node) for every quantized weighted operator."""
    quantized = {read.node for read in placement.reads if read.slot == DATA}
    return [
        (node.input[WEIGHT], node.name)
        for node in graph.nodes
        if node.op_type in WEIGHTED and node.name in quantized
    ]


def with_inputs(node: NodeProto, names: Mapping[int, str]) -> NodeProto:
    """A copy of a node; `names` gives other tensors by slot."""
    other = NodeProto()
    other.CopyFrom(node)
    for slot, name in names.items():
        other.input[slot] = name
    return other
