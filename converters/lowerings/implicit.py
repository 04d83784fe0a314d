"""Lowering 3, implicit INT8: no Q/DQ in the graph (`implicit.onnx`), and a range for every tensor
in calibration caches beside it; for DLA up to TensorRT 10.7, trtexec and DeepStream.

Takes the float graph, the placement and the ranges; returns a scale for every tensor of the INT8
region. Implicit INT8 and DLA take a scale from every tensor, not only from those with a Q/DQ pair.
Ranges of pairs stay, the others were observed; operators that need one scale on both sides get one,
the largest. A tensor without a range is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper

from calibration.ranges.ranges import Range
from converters.graph.fused_activations import fused_tensors
from converters.graph.index import Array, Graph, rename_tensors, with_nodes
from converters.graph.passes.infer_shapes import infer_shapes
from converters.quantization.placement import QdqPlacement
from converters.quantization.qdq import shared_ranges
from converters.quantization.qdq_reader import take_apart
from converters.quantization.rules import (
    DATA,
    HIGH_PRECISION,
    WEIGHT,
    WEIGHTED,
    moves_values,
    r1_scale,
    r2_weight_amax,
)
from edge.engine.calibration_cache import INT8_LEVELS, CalibrationCache
from edge.engine.releases import Release
from firmware_bridge.errors import UsageError

POOLING = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
"""On a DLA the ranges of input and output are equal."""

ELEMENT_WISE = frozenset({"Add", "Sub", "Mul", "Max", "Min", "Sum"})
"""On a DLA all inputs have one range, the largest; the output has its own."""


def int8_region(model: ModelProto) -> tuple[str, ...]:
    """Every tensor that needs a range, in graph order: float32, and not the output of an operator
    that needs high precision (rule R9)."""
    graph = Graph(model)
    made = [
        name
        for node in graph.nodes
        if node.op_type not in HIGH_PRECISION
        for name in node.output
        if name
    ]
    return tuple(name for name in (*graph.inputs, *made) if graph.is_float(name))


def tensors_to_observe(model: ModelProto) -> tuple[str, ...]:
    """The tensors of the region whose range does not follow from another's."""
    graph = Graph(model)
    members = int8_region(model)
    moved = {
        name
        for node in graph.nodes
        # A tensor outside of the region has no range to follow from.
        if moves_values(node) and node.input[0] in members
        for name in node.output
    }
    return tuple(name for name in members if name not in moved)


def dynamic_ranges(
    model: ModelProto, placement: QdqPlacement, ranges: Mapping[str, Range]
) -> dict[str, float]:
    """The largest magnitude that INT8 covers, for every tensor of the region.

    Raises:
        UsageError: a tensor has no range and none follows from its neighbours.
    """
    graph = Graph(model)
    known = {name: seen.amax for name, seen in ranges.items()}
    known |= {name: seen.amax for name, seen in shared_ranges(placement, ranges).items()}
    members = int8_region(model)
    group = {name: {name} for name in members}
    for names in equal_range_groups(graph):
        joined = set().union(*(group[name] for name in names if name in group))
        for name in joined:
            group[name] = joined
    found: dict[str, float] = {}
    for name in members:
        seen = [known[other] for other in group[name] if other in known]
        if not seen:
            raise UsageError(
                f"tensor '{name}' has no range",
                expected="a range for every tensor of the INT8 region, observed or following from "
                "a neighbour",
                found=f"ranges of {len(known)} tensors, not of this one",
                remedy="take the ranges again: brakepoint convert MISSION --out DIR",
            )
        found[name] = max(seen)
    return found


def cache_differences(
    model: ModelProto,
    int8: ModelProto,
    cache: CalibrationCache,
    ranges: Mapping[str, Range],
) -> tuple[str, ...]:
    """Differences of a cache from `int8.onnx` and the observed ranges, in words, to the bit.

    Exactly the tensors of the region have a scale; none is below that of its pair or of its range,
    so that the cache clips no more than they do; each is the scale of some tensor's own range; and
    scales that must be equal are.
    """
    scales = {name: float(np.float32(scale)) for name, scale in cache.scales.items()}
    members = int8_region(model)
    own = {name: float(r1_scale(ranges[name].amax)) for name in members if name in ranges}
    for pair in take_apart(int8).pairs:
        if pair.kind == "activation":
            own[pair.tensor] = max(float(pair.scale), own.get(pair.tensor, 0.0))
    found = [f"'{name}' has no scale" for name in members if name not in scales]
    found += [f"'{name}' is no tensor of the region" for name in scales if name not in members]
    natural = {scale for name, scale in own.items() if scales.get(name) == scale}
    for name, scale in scales.items():
        if scale < own.get(name, 0.0):
            found.append(f"scale {scale:.6g} of '{name}' is below its own {own[name]:.6g}")
        elif scale not in natural:
            found.append(f"scale {scale:.6g} of '{name}' is that of no tensor's range")
    for names in equal_range_groups(Graph(model)):
        if len({scales[name] for name in names if name in scales}) > 1:
            found.append(f"scales of '{names[0]}' and '{names[-1]}' are not equal")
    return tuple(found)


def to_cache(amax: Mapping[str, float], release: Release) -> CalibrationCache:
    """The calibration cache of the region for one release."""
    return CalibrationCache(release, {name: float(r1_scale(seen)) for name, seen in amax.items()})


def fake_quantize(
    model: ModelProto, placement: QdqPlacement, scales: Mapping[str, float]
) -> ModelProto:
    """The float graph with every tensor of `scales` rounded to its INT8 steps, in plain arithmetic.

    This is the worst that implicit INT8 computes: every tensor is stored and rounded, even where a
    layer in float reads it. Exceptions are the graph's outputs, and the tensor between an operator
    and the one activation that works on it in place; a gate, x * sigmoid(x), reads a stored x on
    DLA. Weights of the operators that the placement quantizes are rounded by channel.
    """
    graph = Graph(model)
    spared = {*_before_activation(graph), *graph.outputs}
    constants: dict[str, Array] = {
        "int8/low": np.asarray(-INT8_LEVELS - 1, np.float32),
        "int8/high": np.asarray(INT8_LEVELS, np.float32),
    }
    constants |= _rounded_weights(graph, placement)
    rounded: dict[str, str] = {}
    nodes: list[NodeProto] = []

    def add(names: Iterator[str]) -> None:
        for name in names:
            if name in scales and name not in spared:
                constants[f"{name}/scale"] = np.asarray(scales[name], np.float32)
                nodes.extend(_round(name))
                rounded[name] = f"{name}/rounded"

    add(iter(graph.inputs))
    for node in graph.nodes:
        nodes.append(rename_tensors(node, {name: rounded.get(name, name) for name in node.input}))
        add(iter(node.output))
    return infer_shapes(with_nodes(model, nodes=nodes, initializers=constants))


def equal_range_groups(graph: Graph) -> Iterator[list[str]]:
    """Groups of tensors that must have one range, operator by operator; groups may overlap."""
    for node in graph.nodes:
        floats = [name for name in node.input if graph.is_float(name)]
        computed = [name for name in floats if name not in graph.initializers]
        if moves_values(node):
            yield [node.input[0], *node.output]
        elif node.op_type in POOLING or node.op_type == "Concat":
            yield [*computed, *node.output]
        elif node.op_type in ELEMENT_WISE:
            yield computed


def _before_activation(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if node.op_type in WEIGHTED:
            made = fused_tensors(graph, node)
            if len(made) == 2:  # its own and its activation's; a gate makes three
                yield made[0]


def _rounded_weights(graph: Graph, placement: QdqPlacement) -> dict[str, Array]:
    quantized = {read.node for read in placement.reads if read.slot == DATA}
    found: dict[str, Array] = {}
    for node in graph.nodes:
        if node.op_type not in WEIGHTED or node.name not in quantized:
            continue
        name = node.input[WEIGHT]
        constant, axis = graph.constant(name), placement.weights[name]
        assert constant is not None  # R3
        weight = constant.astype(np.float32)
        shape = [1] * weight.ndim
        shape[axis] = -1
        scale = r1_scale(r2_weight_amax(weight, axis)).reshape(shape)
        steps = np.clip(np.rint(weight / scale), -INT8_LEVELS - 1, INT8_LEVELS)
        found[name] = (steps * scale).astype(np.float32)
    return found


def _round(name: str) -> list[NodeProto]:
    scale = f"{name}/scale"
    return [
        helper.make_node("Div", [name, scale], [f"{name}/steps"], name=f"{name}/Div"),
        helper.make_node("Round", [f"{name}/steps"], [f"{name}/near"], name=f"{name}/Round"),
        helper.make_node(
            "Clip",
            [f"{name}/near", "int8/low", "int8/high"],
            [f"{name}/held"],
            name=f"{name}/Clip",
        ),
        helper.make_node("Mul", [f"{name}/held", scale], [f"{name}/rounded"], name=f"{name}/Mul"),
    ]
