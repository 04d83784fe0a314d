"""Rule R14: what a built engine really computes in, from the JSON of its engine inspector.

TensorRT gives that JSON for a loaded engine, so it is taken on a GPU; reading it needs none. The
engine must be built with detailed profiling verbosity, as `builder.py` does. Never loads an engine.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from firmware_bridge.errors import NotTrusted

INT8 = re.compile(r"int8|\bi8\b", re.IGNORECASE)
QUANTIZE = re.compile(r"QuantizeLinear|_quantize|Quantize", re.IGNORECASE)
WEIGHTED = re.compile(r"conv|deconv|gemm|matmul|matrixmultiply|fullyconnected", re.IGNORECASE)


@dataclass(frozen=True)
class InspectorReport:
    """Layers of a built engine, by name.

    Attributes:
        layers: how many there are.
        int8, in_float: convolutions and matrix products with INT8 weights and data, and others.
        reformats: layers that only change format or type, Quantize layers not among them.
        unfused_quantize: Quantize layers that stayed a layer of their own.
    """

    layers: int
    int8: tuple[str, ...]
    in_float: tuple[str, ...]
    reformats: tuple[str, ...]
    unfused_quantize: tuple[str, ...]

    @property
    def int8_share(self) -> float | None:
        """INT8 among the weighted layers, 0..1; None where there is none."""
        total = len(self.int8) + len(self.in_float)
        return len(self.int8) / total if total else None


def read_inspector(text: str, *, name: str) -> InspectorReport:
    """The report on an inspector's JSON; `name` is what to call it.

    Raises:
        NotTrusted: not an inspector's JSON, or one without detail.
    """
    try:
        layers = json.loads(text)["Layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(name, f"{type(error).__name__}: {error}") from error
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise _refused(name, "layers by name only: the engine was built without detail")
    int8: list[str] = []
    in_float: list[str] = []
    reformats: list[str] = []
    unfused: list[str] = []
    for layer in layers:
        called = str(layer.get("Name", ""))
        if _is_quantize(layer, called):
            unfused.append(called)
        elif layer.get("LayerType") == "Reformat" or layer.get("ParameterType") == "Reformat":
            reformats.append(called)
        elif _is_weighted(layer):
            (int8 if _is_int8(layer) else in_float).append(called)
    return InspectorReport(
        len(layers), tuple(int8), tuple(in_float), tuple(reformats), tuple(unfused)
    )


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
