"""Reads from an engine inspector's JSON which layers of a built engine compute in INT8 (rule R14).

JSON text goes in; an `InspectorReport` comes out. TensorRT writes that JSON for an engine loaded on
a GPU, if it was built with detailed profiling verbosity, as `build/builder.py` does; reading it
needs no GPU. Never loads an engine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edge.contract.json_text import parse_json
from firmware_bridge.errors import Missing, NotTrusted

INT8 = re.compile(r"int8|\bi8\b", re.IGNORECASE)
TYPES = {
    "INT8": INT8,
    "FP16": re.compile(r"fp16|half", re.IGNORECASE),
    "FP32": re.compile(r"fp32|float", re.IGNORECASE),
}
"""The inspector's words for a type, anywhere in a sentence."""

ONNX_NODE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
"""How `Metadata` names the ONNX nodes of a layer."""
SEPARATORS = re.compile(r" \+ |[(),|]+|\s+")
"""Separators of node names in a fused layer's name."""

QUANTIZE = re.compile(r"QuantizeLinear|_quantize|Quantize", re.IGNORECASE)
WEIGHTED = re.compile(r"conv|deconv|gemm|matmul|matrixmultiply|fullyconnected", re.IGNORECASE)


Kind = Literal["int8", "float", "quantize", "reformat", "other"]


@dataclass(frozen=True)
class EngineLayer:
    """One layer of a built engine.

    Attributes:
        kind: a convolution or matrix product with INT8 weights and data, or another; a Quantize
            that stayed a layer of its own; one that only changes format or type.
        nodes: names of its ONNX nodes, and other parts of its name.
        type: type of its first input: "INT8", "FP16", "FP32".
    """

    name: str
    kind: Kind
    nodes: frozenset[str]
    type: str


@dataclass(frozen=True)
class InspectorReport:
    """The layers of a built engine in order."""

    each: tuple[EngineLayer, ...]

    def _named(self, kind: Kind) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.each if layer.kind == kind)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.each)

    @property
    def int8(self) -> tuple[str, ...]:
        """Weighted layers in INT8."""
        return self._named("int8")

    @property
    def in_float(self) -> tuple[str, ...]:
        """Weighted layers that are not in INT8."""
        return self._named("float")

    @property
    def reformats(self) -> tuple[str, ...]:
        """Layers that only change format or type, Quantize layers not among them."""
        return self._named("reformat")

    @property
    def unfused_quantize(self) -> tuple[str, ...]:
        """Quantize layers that stayed a layer of their own."""
        return self._named("quantize")

    @property
    def int8_share(self) -> float | None:
        """Share of INT8 among the weighted layers, 0..1; None without weighted layers."""
        total = len(self.int8) + len(self.in_float)
        return len(self.int8) / total if total else None

    def to_json(self) -> dict[str, Any]:
        """Figures and names."""
        names = ("layers", "int8", "in_float", "reformats", "unfused_quantize", "int8_share")
        return {name: getattr(self, name) for name in names}


def read_inspector_file(path: Path) -> InspectorReport:
    """The report on the JSON in a file.

    Raises:
        Missing: it cannot be read.
        NotTrusted: as `read_inspector`.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Missing(
            f"cannot read {path}",
            expected="JSON of TensorRT's engine inspector",
            found=error.strerror or str(error),
            remedy="correct the path",
        ) from error
    return read_inspector(text, name=str(path))


def read_inspector(text: str, *, name: str) -> InspectorReport:
    """The report on an inspector's JSON; messages call it `name`.

    Raises:
        NotTrusted: not an inspector's JSON, or one without detail.
    """
    try:
        layers = parse_json(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise _refused(name, "layers by name only: the engine was built without detail")
    return InspectorReport(tuple(map(_layer, layers)))


def _layer(layer: dict[str, Any]) -> EngineLayer:
    called = str(layer.get("Name", ""))
    kind: Kind = "other"
    if _is_quantize(layer, called):
        kind = "quantize"
    elif layer.get("LayerType") == "Reformat" or layer.get("ParameterType") == "Reformat":
        kind = "reformat"
    elif _is_weighted(layer):
        kind = "int8" if _is_int8(layer) else "float"
    named = ONNX_NODE.findall(str(layer.get("Metadata", "")))
    return EngineLayer(called, kind, frozenset((*named, *SEPARATORS.split(called))), _words(layer))


def _words(layer: dict[str, Any]) -> str:
    inputs = layer.get("Inputs", [])
    text = _type(inputs[0]) if inputs else ""
    if kind := layer.get("Weights"):  # the layer computes in the wider type of both
        weights = str(kind.get("Type", "")) if isinstance(kind, dict) else ""
        text = weights if INT8.search(text) and not INT8.search(weights) else text
    return next((word for word, pattern in TYPES.items() if pattern.search(text)), "float")


def _is_quantize(layer: dict[str, Any], called: str) -> bool:
    """A Quantize of its own: a reformat from Q/DQ, or a scale, that makes INT8 of float."""
    kind = str(layer.get("LayerType", ""))
    if layer.get("Origin") == "QDQ" or kind == "Quantize":
        makes = [_type(tensor) for tensor in layer.get("Outputs", [])]
        return any(INT8.search(one) for one in makes)
    return kind in ("Scale", "Reformat") and bool(QUANTIZE.search(called)) and "+" not in called


def _is_weighted(layer: dict[str, Any]) -> bool:
    kinds = (layer.get("ParameterType"), layer.get("LayerType"))
    return any(WEIGHTED.search(str(kind)) for kind in kinds if kind)


def _is_int8(layer: dict[str, Any]) -> bool:
    """By its weights' type where that is given, and always by its first input."""
    weights = layer.get("Weights")
    if isinstance(weights, dict) and not INT8.search(str(weights.get("Type", ""))):
        return False
    inputs = layer.get("Inputs", [])
    return bool(inputs) and bool(INT8.search(_type(inputs[0])))


def _type(tensor: dict[str, Any]) -> str:
    return f"{tensor.get('Format/Datatype', '')} {tensor.get('Datatype', '')}"


def _refused(name: str, found: str) -> NotTrusted:
    return NotTrusted(
        f"{name} does not tell what an engine computes in",
        expected='the engine inspector\'s JSON: {"Layers": [{...}, ...]} with types',
        found=found,
        remedy="take it from an engine that brakepoint built, with get_engine_information(JSON)",
    )
