"""Checks a quantized graph against the rules: one function a rule, one table.

Takes a model; returns findings, errors first. `fix.py` rewrites the file. Severity: TensorRT
refuses an error or computes other numbers than meant; a warning costs speed or accuracy; a note
says what could be better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from converters.graph.index import Graph, opset_of
from converters.graph.multiplications import multiplications
from converters.quantization.qdq_reader import Q_OPERATORS, Pair, QdqParts, take_apart
from converters.quantization.rules import (
    DATA,
    WEIGHT,
    WEIGHTED,
    moves_values,
    r2_weight_axis,
    r3_weight_is_constant,
    r5_inside_fusion,
    r6_skip_reads,
    r9_never,
    r10_prefers_float,
)
from edge.contract.severity import SEVERITIES, Severity


@dataclass(frozen=True)
class Finding:
    """One place where a rule is broken.

    Attributes:
        rule: its id.
        node: the node or tensor.
        macs_share: share of the network's multiplications that it concerns, 0..1; None where it
            concerns no particular operator.
        engine: type in which an engine computes the operator; "" without an engine.
    """

    rule: str
    severity: Severity
    node: str
    found: str
    remedy: str
    macs_share: float | None = None
    engine: str = ""


@dataclass(frozen=True)
class Inspection:
    """A model to check: as it is, its Q/DQ pairs, and its float graph."""

    model: ModelProto
    graph: Graph
    apart: QdqParts
    float_graph: Graph
    macs: int

    def share(self, node: NodeProto) -> float | None:
        """The share of the network's multiplications that a weighted operator makes."""
        return multiplications(self.float_graph, node) / self.macs if self.macs else None


def inspect_model(model: ModelProto) -> Inspection:
    """Reads the model's Q/DQ pairs. Raises ValueError where a scale of integers is computed."""
    apart = take_apart(model)
    float_graph = Graph(apart.model)
    total = sum(multiplications(float_graph, node) for node in float_graph.nodes)
    return Inspection(model, Graph(model), apart, float_graph, total)


def _r1(seen: Inspection) -> Iterator[Finding]:
    again = "quantize symmetric and signed: zero-point 0, scale = amax / 127 (--fix)"
    for pair in seen.apart.pairs:
        if pair.kind == "bias":
            continue
        if not (np.isfinite(pair.scale).all() and (pair.scale > 0.0).all()):
            yield Finding("R1", "error", pair.node, f"scale {pair.scale.min():g}", again)
        if pair.type != TensorProto.INT8 or pair.zero.any():
            kind = TensorProto.DataType.Name(pair.type).lower()
            found = f"{kind} with zero-point {int(np.abs(pair.zero).max())} on '{pair.tensor}'"
            yield Finding("R1", "error", pair.node, found, again)


def _r2(seen: Inspection) -> Iterator[Finding]:
    for pair in seen.apart.pairs:
        if pair.kind == "activation" and pair.axis is not None:
            found = f"{pair.scale.size} scales on activation '{pair.tensor}'"
            yield Finding("R2", "error", pair.node, found, "one scale for the tensor (--fix)")
    for node, pair in _weights(seen):
        axis = r2_weight_axis(node)
        channels = (seen.float_graph.shape(pair.tensor) or (1,))[axis]
        if pair.axis is None and channels > 1:
            found = f"one scale for {channels} output channels"
            yield Finding("R2", "warning", node.name, found, PER_CHANNEL, seen.share(node))
        elif pair.axis is not None and pair.axis != axis:
            found = f"scales along axis {pair.axis}, output channels along {axis}"
            yield Finding("R2", "error", node.name, found, PER_CHANNEL, seen.share(node))


PER_CHANNEL = "a scale for each output channel (--fix)"


def _weights(seen: Inspection) -> Iterator[tuple[NodeProto, Pair]]:
    by_tensor = {pair.tensor: pair for pair in seen.apart.pairs if pair.kind == "weight"}
    for node in seen.float_graph.nodes:
        if node.op_type in WEIGHTED and node.input[WEIGHT] in by_tensor:
            yield node, by_tensor[node.input[WEIGHT]]


def _r3(seen: Inspection) -> Iterator[Finding]:
    for node, pair in _weights(seen):
        if pair.stored:
            found = "the weight is stored as integers"
            remedy = (
                "weights as float behind a pair work from TensorRT 8.5 on, these from 10 (--fix)"
            )
            yield Finding("R3", "warning", node.name, found, remedy, seen.share(node))


def _r4(seen: Inspection) -> Iterator[Finding]:
    for pair in seen.apart.pairs:
        if pair.kind == "bias":
            found = f"the bias '{pair.tensor}' is quantized"
            yield Finding("R4", "error", pair.node, found, "leave biases in float (--fix)")


def _r5(seen: Inspection) -> Iterator[Finding]:
    inside = r5_inside_fusion(seen.float_graph)
    for pair in seen.apart.pairs:
        if pair.tensor in inside:
            found = f"a pair on '{pair.tensor}', between an operator and its activation"
            remedy = "quantize what the next operator reads, after the activation (--fix)"
            maker = seen.float_graph.producer.get(pair.tensor)
            share = seen.share(maker) if maker is not None and maker.op_type in WEIGHTED else None
            yield Finding("R5", "warning", pair.node, found, remedy, share)
    for node in seen.float_graph.nodes:
        if node.op_type not in WEIGHTED or not r3_weight_is_constant(seen.float_graph, node):
            continue
        if node.name not in seen.apart.quantized:
            has = [bool(seen.apart.of(node.input[slot])) for slot in (DATA, WEIGHT)]
            found = (
                "stays in float"
                if not any(has)
                else "only its "
                + ("data is", "weight is")[has[WEIGHT]]
                + " quantized, so it runs in float"
            )
            remedy = "meant? then say why; else give it a pair on its data and on its weight"
            yield Finding("R5", "note", node.name, found, remedy, seen.share(node))
        maker = seen.float_graph.sole_reader(node.output[0])
        if maker is not None and maker.op_type == "BatchNormalization":
            remedy = "fold it into the operator before quantizing"
            found = f"BatchNormalization '{maker.name}' follows"
            yield Finding("R5", "warning", node.name, found, remedy, seen.share(node))


def _r6(seen: Inspection) -> Iterator[Finding]:
    for read in r6_skip_reads(seen.float_graph, seen.apart.quantized):
        skip, fused = (read.node.input[slot] for slot in (read.slot, 1 - read.slot))
        if not seen.apart.of(skip):
            remedy = "a pair on the skip branch, so that Add runs in the convolution (--fix)"
            yield Finding("R6", "warning", read.node.name, f"skip '{skip}' is float", remedy)
        if seen.apart.of(fused):
            remedy = "none on the branch that ends in the convolution (--fix)"
            found = f"a pair on '{fused}', which the convolution could have added in place"
            yield Finding("R6", "warning", read.node.name, found, remedy)


def _scales(seen: Inspection, names: list[str]) -> set[float]:
    return {float(pair.scale) for n in names for pair in seen.apart.of(n) if pair.axis is None}


def _r7(seen: Inspection) -> Iterator[Finding]:
    for node in seen.float_graph.nodes:
        if node.op_type == "Concat":
            scales = _scales(seen, [*node.input, node.output[0]])
            if len(scales) > 1:
                found = f"{len(scales)} scales, {min(scales):.3g} to {max(scales):.3g}"
                remedy = "one scale for inputs and output, the largest (--fix)"
                yield Finding("R7", "warning", node.name, found, remedy)


def _r8(seen: Inspection) -> Iterator[Finding]:
    for node in seen.float_graph.nodes:
        if moves_values(node) and len(_scales(seen, [node.input[0], node.output[0]])) > 1:
            found = f"{node.op_type} changes the scale though it only moves values"
            yield Finding("R8", "warning", node.name, found, "one scale on both sides (--fix)")


def _r9(seen: Inspection) -> Iterator[Finding]:
    for pair in seen.apart.pairs:
        never = r9_never(seen.float_graph, pair.tensor) if pair.kind == "activation" else None
        if never is not None:
            found = f"a pair on '{pair.tensor}', {never}"
            yield Finding("R9", "warning", pair.node, found, "leave it in float (--fix)")


def _r10(seen: Inspection) -> Iterator[Finding]:
    for node in seen.float_graph.nodes:
        if node.name in seen.apart.quantized:
            why = r10_prefers_float(seen.float_graph, node)
            if why is not None:
                remedy = "measure it: `brakepoint convert` does"
                yield Finding("R10", "note", node.name, why, remedy, seen.share(node))


def _r11(seen: Inspection) -> Iterator[Finding]:
    for pair in seen.apart.pairs:
        if pair.scale_type == TensorProto.FLOAT16 and opset_of(seen.model) < 19:
            found = f"FP16 scales at opset {opset_of(seen.model)}"
            yield Finding("R11", "error", pair.node, found, "keep scales in float32 (--fix)")


def _r12(seen: Inspection) -> Iterator[Finding]:
    opset = opset_of(seen.model)
    if opset < 13 and any(pair.axis is not None for pair in seen.apart.pairs):
        yield Finding(
            "R12", "error", "opset", f"scales per axis at opset {opset}", "opset 13 or later"
        )
    if opset >= 19:
        remedy = "opset 18, or 17 for TensorRT 8.6"
        yield Finding(
            "R12", "note", "opset", f"opset {opset}: TensorRT 10.3 on Orin may fail", remedy
        )


def _r13(seen: Inspection) -> Iterator[Finding]:
    for name in seen.float_graph.inputs:
        if seen.apart.of(name):
            remedy = "bind INT8 and quantize while the picture is copied"
            yield Finding("R13", "note", name, "the float input is quantized first of all", remedy)


def _format(seen: Inspection) -> Iterator[Finding]:
    integer = [node for node in seen.graph.nodes if node.op_type in Q_OPERATORS]
    if integer:
        kinds = ", ".join(sorted({node.op_type for node in integer}))
        remedy = "quantize to Q/DQ (onnxruntime: QuantFormat.QDQ)"
        found = f"{len(integer)} operators that TensorRT does not know: {kinds}"
        yield Finding("R3", "error", integer[0].name or integer[0].output[0], found, remedy)


LINTS: dict[str, Callable[[Inspection], Iterator[Finding]]] = {
    "format": _format,
    "R1": _r1,
    "R2": _r2,
    "R3": _r3,
    "R4": _r4,
    "R5": _r5,
    "R6": _r6,
    "R7": _r7,
    "R8": _r8,
    "R9": _r9,
    "R10": _r10,
    "R11": _r11,
    "R12": _r12,
    "R13": _r13,
}
"""Every rule that a file alone can break, in order."""


def lint(seen: Inspection) -> tuple[Finding, ...]:
    """Every finding: errors first, within a severity by rule and share of multiplications."""
    return sort_findings([finding for rule in LINTS.values() for finding in rule(seen)])


def sort_findings(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors first, within a severity by rule and share of multiplications; R14 after all rules."""
    order = {rule: row for row, rule in enumerate((*LINTS, "R14"))}
    return tuple(
        sorted(
            found,
            key=lambda one: (
                -SEVERITIES.index(one.severity),
                order[one.rule],
                -(one.macs_share or 0.0),
                one.node,
            ),
        )
    )
