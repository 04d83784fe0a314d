"""Cross-layer equalization: moves scale between a convolution and those that read it, channel by
channel, so that one INT8 scale fits all channels of the tensor between them (Nagel et al. 2019,
arXiv:1906.04721, 4.1).

Takes a float graph and, where known, the magnitudes of its channels; returns the graph with other
weights and biases, which computes the same but for float32's rounding. `scale_links.py` finds where
scale may move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from converters.graph.index import Array, Graph, with_nodes
from converters.graph.passes.infer_shapes import infer_shapes
from converters.quantization.equalization.scale_links import Link, links
from converters.quantization.equalization.weight_channels import (
    is_depthwise,
    output_axis,
    output_channels,
)
from converters.quantization.rules import BIAS, WEIGHT

Doubles = NDArray[np.float64]

LARGEST_STEP = 12
"""A channel is scaled by at most 2^-12 to 2^12: one farther from the others hardly contributes, and
would only use up float16's range."""

LEAN = 0.7
"""How much of a channel's magnitude moves into the weights that read it, where activations were
observed (alpha of arXiv:2211.10438): 1 makes all channels of a tensor equal, 0 all weights that
read them. The best of 0.3, 0.5, 0.7 and 1 on RoadNet and FastestDet."""

SWEEPS, SETTLED = 30, 1e-3
"""Most passes over all links; they end earlier where no channel moves farther than this (log2)."""


def equalize(model: ModelProto, *, magnitudes: Mapping[str, Array] | None = None) -> ModelProto:
    """The same network with other weights and biases.

    Args:
        magnitudes: by tensor, the largest observed magnitude of each channel (C,). With them a
            channel's activations are balanced against the weights that read it, as per-tensor
            activations beside per-channel weights need. Without them the weights that make it are
            balanced against them (the paper's rule, for per-tensor weights).
    """
    graph = Graph(model)
    found = list(links(graph))
    weights = _Weights(graph)
    moved = {id(link): np.zeros(output_channels(graph, link.first)) for link in found}
    for _ in range(SWEEPS):
        largest = 0.0
        for link in found:
            seen = moved[id(link)]
            step = _balance(weights, link, seen, magnitudes)
            step = np.clip(seen + step, -LARGEST_STEP, LARGEST_STEP) - seen
            weights.move(link, step)
            seen += step
            largest = max(largest, float(np.max(np.abs(step), initial=0.0)))
        if largest < SETTLED:
            break
    return weights.written(model)


def _balance(
    weights: _Weights, link: Link, moved: Doubles, magnitudes: Mapping[str, Array] | None
) -> Doubles:
    """log2 of the divisor of each channel; 0 for channels that are always 0."""
    read = np.max([weights.read(node) for node in link.readers], axis=0)
    lean = 0.5
    if magnitudes is None:
        made = weights.made(link.first)
    else:
        seen = np.max([magnitudes[name] for name in link.tensors], axis=0)
        made, lean = np.asarray(seen, np.float64) / np.exp2(moved), LEAN
        if all(is_depthwise(weights.graph, node) for node in link.readers):
            read = np.ones_like(read)  # each channel has a weight scale of its own
    alive = (made > 0.0) & (read > 0.0) & np.isfinite(made) & np.isfinite(read)
    if not alive.any():
        return np.zeros_like(made)
    step = np.zeros_like(made)
    step[alive] = lean * np.log2(made[alive]) - (1.0 - lean) * np.log2(read[alive])
    if magnitudes is not None:  # the tensor as a whole keeps its magnitude
        after = made / np.exp2(step)
        step[alive] += np.log2(np.max(after[alive]) / np.max(made[alive]))
    return step


class _Weights:
    """Weights and biases while they change, in float64."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._values: dict[tuple[str, int], Doubles] = {}

    def made(self, node: NodeProto) -> Doubles:
        """Largest magnitude of the weights of each output channel."""
        return _largest(self._by_output(node), 0)

    def read(self, node: NodeProto) -> Doubles:
        """Largest magnitude of the weights that read each input channel."""
        return _largest(self._by_input(node), 0)

    def move(self, link: Link, step: Doubles) -> None:
        """Divides the output of `link.first` by 2^step, and multiplies the weights that read it."""
        gain = np.exp2(step)
        made = self._by_output(link.first)
        made /= gain.reshape(-1, *(1,) * (made.ndim - 1))
        if len(link.first.input) > BIAS and link.first.input[BIAS]:
            bias = self._value(link.first, BIAS)
            bias /= gain.reshape(bias.shape)
        for node in link.readers:
            read = self._by_input(node)
            read *= gain.reshape(-1, *(1,) * (read.ndim - 1))

    def written(self, model: ModelProto) -> ModelProto:
        """The model with these values; constants that others read too get a name of their own."""
        count = Counter(name for node in self.graph.nodes for name in node.input)
        names: dict[str, dict[int, str]] = {}
        constants: dict[str, Array] = {}
        for (node_name, slot), value in self._values.items():
            node = next(one for one in self.graph.nodes if one.name == node_name)
            name = node.input[slot]
            if count[name] > 1:
                name = f"{node.output[0]}.{'weight' if slot == WEIGHT else 'bias'}"
            names.setdefault(node_name, {})[slot] = name
            constants[name] = value.astype(np.float32)
        nodes = []
        for node in self.graph.nodes:
            other = NodeProto()
            other.CopyFrom(node)
            for slot, name in names.get(node.name, {}).items():
                other.input[slot] = name
            nodes.append(other)
        return infer_shapes(with_nodes(model, nodes=nodes, initializers=constants))

    def _value(self, node: NodeProto, slot: int) -> Doubles:
        key = (node.name, slot)
        if key not in self._values:
            value = self.graph.constant(node.input[slot])
            assert value is not None  # `links` yields constants only
            self._values[key] = np.array(value, np.float64)
        return self._values[key]

    def _by_output(self, node: NodeProto) -> Doubles:
        """The weight as a view (output channels, ...); writing to it writes the weight."""
        value = self._value(node, WEIGHT)
        return value if output_axis(node) == 0 else value.swapaxes(0, 1)

    def _by_input(self, node: NodeProto) -> Doubles:
        """The weight as a view (input channels, ...)."""
        value = self._value(node, WEIGHT)
        if is_depthwise(self.graph, node):
            return value  # (channels, 1, ...)
        return value.swapaxes(0, 1) if output_axis(node) == 0 else value


def _largest(values: Doubles, axis: int) -> Doubles:
    others = tuple(row for row in range(values.ndim) if row != axis)
    found: Doubles = np.abs(values).max(axis=others, initial=0.0)
    return found
