"""Reads from a parsed network, before its build, which layers will compute in INT8.

Refuses a float graph in an INT8 build. Sets dynamic ranges, and the precision of layers that must
not be INT8, where the lowering has no Q/DQ. Only the inspector (`edge/engine/inspector.py`) shows
the precision of the built engine.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from edge.engine.api_probe import Probe
from edge.engine.build.memory import MemoryNeed
from edge.engine.calibration_cache import CalibrationCache
from firmware_bridge.errors import UsageError

WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
CARRIERS = ("CAST", "SHUFFLE", "IDENTITY")
"""Layers that only pass a value on; the search for a Dequantize goes through them."""
NEVER_INT8 = ("SOFTMAX", "TOPK", "UNARY", "REDUCE", "NMS", "NORMALIZATION")
"""Layers whose results need more than 256 steps (rule R9): they may lack a range."""
SAME_RANGE = (*CARRIERS, "SLICE", "GATHER", "RESIZE", "POOLING")
"""Layers that a parser may add; their output has the range of their input."""


@dataclass(frozen=True)
class Precision:
    """Weighted layers of a network, how many of them read INT8, and which do not."""

    weighted: int
    int8: int
    quantize_layers: int
    in_float: tuple[str, ...]


def layers_of(network: Any) -> Iterator[Any]:
    """Every layer in order."""
    for row in range(network.num_layers):
        yield network.get_layer(row)


def read_precision(probe: Probe, network: Any) -> Precision:
    """Explicit INT8 in a network: data and weight both come from a Dequantize layer."""
    kinds = {name: probe.member("LayerType", name) for name in (*WEIGHTED, *CARRIERS)}
    dequantize = probe.member("LayerType", "DEQUANTIZE")
    quantize = probe.member("LayerType", "QUANTIZE")
    carriers = [kinds[name] for name in CARRIERS]
    weighted_kinds = [kinds[name] for name in WEIGHTED]
    makers = {
        layer.get_output(slot).name: layer
        for layer in layers_of(network)
        for slot in range(layer.num_outputs)
    }

    def dequantized(tensor: Any) -> bool:
        layer = makers.get(tensor.name) if tensor is not None else None
        while layer is not None and layer.type in carriers:
            tensor = layer.get_input(0)
            layer = makers.get(tensor.name) if tensor is not None else None
        return layer is not None and layer.type == dequantize

    weighted = [layer for layer in layers_of(network) if layer.type in weighted_kinds]
    floats = tuple(
        layer.name
        for layer in weighted
        if layer.num_inputs < 2 or not all(dequantized(layer.get_input(slot)) for slot in (0, 1))
    )
    return Precision(
        weighted=len(weighted),
        int8=len(weighted) - len(floats),
        quantize_layers=sum(layer.type == quantize for layer in layers_of(network)),
        in_float=floats,
    )


def require_int8(found: Precision, *, model: str, expected: str, count: int | None = None) -> None:
    """Refuse a network without INT8 layers, or with another number of them than the report's.

    Args:
        count: weighted operators that are INT8 by the report; None where that is not known.

    Raises:
        UsageError: no weighted layer reads INT8, or another number of them.
    """
    if not found.int8:
        raise UsageError(
            f"{model} would be built in float",
            expected=expected,
            found=f"{found.weighted} convolutions and the like, none reads INT8; "
            f"{found.quantize_layers} Quantize layers",
            remedy="give the folder of a conversion: brakepoint engine build DIR --out FILE",
        )
    if count is not None and found.int8 != count:
        raise UsageError(
            f"TensorRT reads {model} in another precision than was judged",
            expected=f"{count} of {found.weighted} convolutions and the like in INT8",
            found=f"{found.int8}; in float: {', '.join(found.in_float[:5]) or 'none'}",
            remedy="convert again: brakepoint convert MISSION --out DIR; report the model if it "
            "stays so",
        )


def memory_need(network: Any, *, weights: int) -> MemoryNeed:
    """The least memory of any build of `network`; open sizes count as 1."""

    def values(tensor: Any) -> int:
        if tensor is None:
            return 0
        try:
            return math.prod(max(int(size), 1) for size in tensor.shape)
        except ValueError:  # unknown rank
            return 0

    largest, name = 0, "none"
    for layer in layers_of(network):
        held = sum(values(layer.get_input(slot)) for slot in range(layer.num_inputs))
        held += sum(values(layer.get_output(slot)) for slot in range(layer.num_outputs))
        if held > largest:
            largest, name = held, layer.name
    return MemoryNeed(weights, name, largest)


def set_ranges(
    probe: Probe, network: Any, cache: CalibrationCache, *, kept_float: Collection[str]
) -> Precision:
    """Set every tensor's range from a cache (implicit INT8), and FP16 for the weighted layers named
    in `kept_float`: without Q/DQ nothing else keeps them from INT8.

    A tensor that the parser added has the range of its input; constants need none, nor do results
    of a layer that need more than 256 steps.

    Raises:
        UsageError: a tensor has no range; a layer of `kept_float` does not exist; the release has
            no dynamic ranges.
    """
    _keep_float(probe, network, kept_float)
    same = [probe.member("LayerType", name) for name in SAME_RANGE]
    constant = probe.member("LayerType", "CONSTANT")
    weighted = [probe.member("LayerType", name) for name in WEIGHTED]
    floats = [probe.member("DataType", name) for name in ("FLOAT", "HALF")]
    never = [probe.member("LayerType", name) for name in NEVER_INT8]
    exempt: set[str] = set()
    amax = {name: cache.amax(name) for name in cache.scales}
    tensors = [network.get_input(slot) for slot in range(network.num_inputs)]
    counted = 0
    for layer in layers_of(network):
        counted += layer.type in weighted
        if layer.type == constant:
            continue
        for slot in range(layer.num_outputs):
            tensor = layer.get_output(slot)
            source = layer.get_input(0) if layer.num_inputs else None
            known = None if source is None else amax.get(source.name)
            if known is not None and layer.type in same:
                amax.setdefault(tensor.name, known)
            tensors.append(tensor)
            if layer.type in never:
                exempt.add(tensor.name)
    missing = [
        t.name for t in tensors if t.dtype in floats and t.name not in amax and t.name not in exempt
    ]
    if missing:
        raise UsageError(
            "the calibration cache does not cover the network",
            expected="a range for every tensor: without one the layer falls back to float",
            found=f"none for {len(missing)} of {len(tensors)} tensors: {', '.join(missing[:5])}",
            remedy="give the folder of a conversion, whose cache belongs to its implicit.onnx",
        )
    for tensor in tensors:
        if tensor.name in amax:
            probe.attribute(tensor, "dynamic_range", of="ITensor")
            tensor.dynamic_range = (-amax[tensor.name], amax[tensor.name])
    kept = tuple(kept_float)
    return Precision(counted, counted - len(kept), quantize_layers=0, in_float=kept)


def _keep_float(probe: Probe, network: Any, names: Collection[str]) -> None:
    weighted = [probe.member("LayerType", name) for name in WEIGHTED]
    there = {layer.name: layer for layer in layers_of(network) if layer.type in weighted}
    missing = sorted(set(names) - set(there))
    if missing:
        raise UsageError(
            "a layer that must stay in float is not in the network",
            expected=f"a convolution or the like named '{missing[0]}'",
            found=f"{len(there)} others",
            remedy="give the folder of a conversion, whose report belongs to its implicit.onnx",
        )
    for name in names:
        probe.attribute(there[name], "precision", of="ILayer")
        there[name].precision = probe.member("DataType", "HALF")
