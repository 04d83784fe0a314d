"""Rule R14: compares a quantized file with the types in which an engine built from it computes.

Takes the file's findings and the engine's report; returns `EngineFindings`. An engine's layer names
the ONNX nodes that it was made of; these names lead from an operator of the file to its layer. It
reports differences in either direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from converters.quantization.lint.checks import Finding, Inspection, sort_findings
from converters.quantization.rules import DATA, WEIGHT, WEIGHTED
from edge.engine.inspector import EngineLayer, InspectorReport

MEANT_INT8 = "the engine computes it in {type}, though data and weight are quantized"
MEANT_FLOAT = "the engine computes it in INT8, though the file leaves it in float"


@dataclass(frozen=True)
class EngineFindings:
    """Findings, R14's among them, each with the type in which the engine computes its operator; and
    the engine in figures.

    Attributes:
        int8_macs_share: share of the file's multiplications that are INT8 in the engine, 0..1; None
            where it has none.
        not_found: weighted operators of the file that no layer names.
    """

    findings: tuple[Finding, ...]
    int8_macs_share: float | None
    not_found: tuple[str, ...]


def join(seen: Inspection, findings: Sequence[Finding], engine: InspectorReport) -> EngineFindings:
    """The file's findings together with the engine's."""
    layers = {name: layer for layer in engine.each for name in layer.nodes}
    weighted = [node for node in seen.float_graph.nodes if node.op_type in WEIGHTED]
    computed = {node.name: _words(layers[node.name]) for node in weighted if node.name in layers}
    about = _about(seen)
    joined = [
        replace(one, engine=computed.get(about.get(one.node, one.node), "")) for one in findings
    ]
    joined += _r14(seen, layers, engine, findings)
    in_int8 = sum(
        seen.share(node) or 0.0
        for node in weighted
        if node.name in layers and layers[node.name].kind == "int8"
    )
    return EngineFindings(
        sort_findings(joined),
        in_int8 if seen.macs else None,
        tuple(node.name for node in weighted if node.name not in layers),
    )


def _words(layer: EngineLayer) -> str:
    return "INT8" if layer.kind == "int8" else layer.type


def _about(seen: Inspection) -> dict[str, str]:
    """Name of a pair's node -> the first weighted operator that reads its output."""
    found: dict[str, str] = {}
    for pair in seen.apart.pairs:
        readers = [
            read.node.name
            for read in seen.float_graph.readers(pair.tensor)
            if read.node.op_type in WEIGHTED and read.slot in (DATA, WEIGHT)
        ]
        if readers:
            found[pair.node] = readers[0]
    return found


def _r14(
    seen: Inspection,
    layers: dict[str, EngineLayer],
    engine: InspectorReport,
    findings: Sequence[Finding],
) -> Iterator[Finding]:
    rules: dict[str, list[str]] = {}
    about = _about(seen)
    for one in findings:
        rules.setdefault(about.get(one.node, one.node), []).append(one.rule)
    for node in seen.float_graph.nodes:
        if node.op_type not in WEIGHTED:
            continue
        layer, share = layers.get(node.name), seen.share(node)
        meant = node.name in seen.apart.quantized
        if layer is None:
            if meant:
                remedy = "is the engine built from this file? then see what was fused into what"
                found = "no layer of the engine names it"
                yield Finding("R14", "note", node.name, found, remedy, share)
        elif meant and layer.kind != "int8":
            why = sorted(set(rules.get(node.name, [])))
            remedy = f"see {', '.join(why)} here" if why else "see the layers around it"
            found = MEANT_INT8.format(type=layer.type)
            yield Finding("R14", "warning", node.name, found, remedy, share, layer.type)
        elif not meant and layer.kind == "int8":
            remedy = "build it with its precision held: brakepoint engine build"
            yield Finding("R14", "error", node.name, MEANT_FLOAT, remedy, share, "INT8")
    for layer in engine.each:
        if layer.kind == "quantize":
            found = "a Quantize layer of its own: its input is written and read again"
            remedy = "quantize where the operator before it ends (R5), or bind INT8 (R13)"
            yield Finding("R14", "warning", layer.name, found, remedy, engine=layer.type)
        elif layer.kind == "reformat":
            found = "the engine copies a tensor into another format"
            remedy = "neighbours of one precision need none: see what stays in float beside it"
            yield Finding("R14", "note", layer.name, found, remedy, engine=layer.type)
