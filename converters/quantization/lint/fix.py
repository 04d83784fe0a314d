"""Writes a Q/DQ graph of any tool again by the rules, with the ranges that it holds.

Takes the checked model; returns the new graph and its placement. A tensor without a range in the
file stays in float.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onnx import ModelProto

from calibration.ranges.ranges import Range
from converters.graph.index import Graph
from converters.quantization.lint.checks import Inspection
from converters.quantization.placement import FloatOperator, QdqPlacement, place
from converters.quantization.qdq import quantize_int8
from converters.quantization.rules import DATA, WEIGHTED

NO_RANGE = "its data has no range in the file"


@dataclass(frozen=True)
class FixResult:
    """The new graph and its placement."""

    model: ModelProto
    placement: QdqPlacement


def fix(seen: Inspection) -> FixResult:
    """The same network and ranges by the rules, as `convert` would have written them."""
    model = seen.apart.model
    amax: dict[str, float] = {}
    for pair in seen.apart.pairs:
        if pair.kind == "activation":
            amax[pair.tensor] = max(pair.amax, amax.get(pair.tensor, 0.0))
    ranges = {name: Range(a, -a, a, -a, a, 0) for name, a in amax.items()}
    without = {
        node.name: NO_RANGE
        for node in Graph(model).nodes
        if node.op_type in WEIGHTED and node.input[DATA] not in ranges
    }
    placed = place(model, kept_float=without)
    placement = replace(
        placed,
        pairs=tuple(name for name in placed.pairs if name in ranges),
        reads=tuple(read for read in placed.reads if read.tensor in ranges),
        shared=tuple(
            group
            for group in (tuple(n for n in names if n in ranges) for names in placed.shared)
            if len(group) > 1
        ),
        left_float=tuple(
            FloatOperator(one.node, "R5", one.why) if one.why == NO_RANGE else one
            for one in placed.left_float
        ),
    )
    return FixResult(quantize_int8(model, placement, ranges), placement)
