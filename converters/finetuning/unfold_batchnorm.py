"""Unfolds BatchNorm: brings fine-tuned weights back into the PyTorch network that they came from.

Takes the network, its folded float graph and the tuned graph; returns a state dict. Folding made
weight' = weight * s and bias' = (bias - mean) * s + shift, s = scale / sqrt(variance + epsilon).
The values of a folded weight identify its convolution and BatchNorm. The tuned weight is divided by
the same s and the tuned bias becomes the shift; statistics and scales stay. An ambiguous weight is
refused, and the caller compares outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from torch import Tensor, nn

from converters.graph.index import Graph, attributes
from converters.quantization.rules import BIAS, WEIGHT, WEIGHTED

Doubles = NDArray[np.float64]
State = dict[str, Tensor]

ALIKE = 1e-4
"""Largest difference of folded values from those computed here, relative to the largest value."""

WITH_WEIGHTS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class CannotUnfold(Exception):
    """A folded weight cannot be matched to a module of the network; the text says which."""


@dataclass(frozen=True)
class _Place:
    """A weighted module with the gain and offset of its BatchNorm for each output channel, and the
    name of the tensor that takes the folded bias."""

    weight: str
    gain: Doubles
    offset: Doubles
    bias: str | None


def unfold(network: nn.Module, floating: ModelProto, tuned: ModelProto) -> State:
    """The state dict of `network` with the weights of `tuned`.

    Args:
        network: the network of the source, with the weights that `floating` was exported from.
        floating: its float graph with folded BatchNorm, not equalized.
        tuned: the same nodes with other weights.

    Raises:
        CannotUnfold: a weight or bias matches no module of the network.
    """
    own = {name: values.double().numpy() for name, values in network.state_dict().items()}
    state = {name: values.clone() for name, values in network.state_dict().items()}
    places = list(_places(network))
    before, after = Graph(floating), Graph(tuned)
    others = {node.name: node for node in after.nodes}
    for node in before.nodes:
        if node.op_type not in WEIGHTED or node.input[WEIGHT] not in before.initializers:
            continue
        given, moved = _folded(before, node), _folded(after, others[node.name])
        place = _place_of(places, own, given, node)
        gain = _along(place.gain, given.weight)
        # A channel with a BatchNorm gain of zero stays zero, whatever its weight.
        made = np.where(gain == 0.0, own[place.weight], moved.weight / np.where(gain, gain, 1.0))
        state[place.weight] = torch.from_numpy(made.astype(np.float32))
        if moved.bias is not None and place.bias is not None:
            state[place.bias] = torch.from_numpy((moved.bias - place.offset).astype(np.float32))
    return state


@dataclass(frozen=True)
class _Folded:
    """A weight (output channels, ...) and a bias (output channels,) of a float graph."""

    weight: Doubles
    bias: Doubles | None


def _folded(graph: Graph, node: NodeProto) -> _Folded:
    weight = graph.constant(node.input[WEIGHT])
    bias = graph.constant(node.input[BIAS]) if len(node.input) > BIAS else None
    if weight is None or node.op_type == "ConvTranspose":
        raise CannotUnfold(f"{node.name}: a {node.op_type}")
    if node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes(node).get("transB")):
        weight = weight.T
    return _Folded(weight.astype(np.float64), None if bias is None else bias.astype(np.float64))


def _place_of(
    places: Sequence[_Place], own: Mapping[str, Doubles], given: _Folded, node: NodeProto
) -> _Place:
    for place in places:
        weight = own[place.weight]
        if weight.shape != given.weight.shape:
            continue
        shift = place.offset if place.bias is None else place.offset + own[place.bias]
        bias = np.zeros_like(shift) if given.bias is None else given.bias
        if _alike(shift, bias) and _alike(weight * _along(place.gain, weight), given.weight):
            return place
    raise CannotUnfold(f"{node.name}: no weight of the network, alone or with a BatchNorm")


def _along(gain: Doubles, weight: Doubles) -> Doubles:
    """`gain` (output channels,) shaped to multiply the weight."""
    return gain.reshape(-1, *(1,) * (weight.ndim - 1))


def _alike(computed: Doubles, found: Doubles) -> bool:
    limit = ALIKE * max(float(np.abs(found).max(initial=0.0)), 1e-6)
    return float(np.abs(computed - found).max(initial=0.0)) <= limit


def _places(network: nn.Module) -> Iterator[_Place]:
    """Every weighted module, alone and with each BatchNorm of the same number of channels."""
    modules = dict(network.named_modules())
    for name, module in modules.items():
        if not isinstance(module, WITH_WEIGHTS):
            continue
        channels = module.weight.shape[0]
        own = np.zeros(channels) if module.bias is None else module.bias.detach().double().numpy()
        has_bias = None if module.bias is None else f"{name}.bias"
        yield _Place(f"{name}.weight", np.ones(channels), np.zeros(channels), has_bias)
        for other, norm in modules.items():
            if isinstance(norm, NORMS) and norm.num_features == channels and norm.affine:
                yield _normed(f"{name}.weight", own, other, norm)


def _normed(
    weight: str,
    own_bias: Doubles,
    name: str,
    norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d,
) -> _Place:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise CannotUnfold(f"{name}: a BatchNorm without statistics")
    root = np.sqrt(variance.double().numpy() + norm.eps)
    gain = norm.weight.detach().double().numpy() / root
    return _Place(weight, gain, (own_bias - mean.double().numpy()) * gain, f"{name}.bias")
