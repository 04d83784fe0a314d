"""Fixes the format of a parsed network's inputs and outputs, and reads names, shapes and types.

The caller of an engine hands over rows without padding, so every input and output is linear.
Refuses nothing: `edge/engine/plan/approve.py` compares them with the mission.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from edge.engine.api_probe import Probe
from edge.engine.build.network_check import layers_of
from edge.engine.plan.sidecar import EngineTensor

FORMAT = "LINEAR"


def fix_formats(probe: Probe, network: Any) -> list[dict[str, Any]]:
    """Allow only the linear format for inputs and outputs; returns them for the sidecar."""
    linear = 1 << int(probe.member("TensorFormat", FORMAT))
    told = []
    for role, tensor in _tensors(network):
        probe.attribute(tensor, "allowed_formats", of="ITensor")
        tensor.allowed_formats = linear
        shape = tuple(int(size) for size in tensor.shape)
        told.append(asdict(EngineTensor(tensor.name, role, shape, tensor.dtype.name, FORMAT)))
    return told


def layer_kinds(network: Any) -> set[str]:
    """The members of LayerType that the network has."""
    return {layer.type.name for layer in layers_of(network)}


def _tensors(network: Any) -> list[tuple[Literal["input", "output"], Any]]:
    inputs = [network.get_input(slot) for slot in range(network.num_inputs)]
    outputs = [network.get_output(slot) for slot in range(network.num_outputs)]
    return [*(("input", one) for one in inputs), *(("output", one) for one in outputs)]
