"""Finds where scale may move between a weighted operator and those that read it, channel by
channel.

Takes a graph; yields a `Link` for each place. The operators between must be positively homogeneous,
f(x / s) = f(x) / s for s > 0: Relu, LeakyRelu, PRelu, pooling, resizing. Relu6 and every other
Clip, SiLU, HardSwish and Mish are not, so no scale moves across them; nor across an Add or Concat,
whose other side would need the same scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from converters.graph.index import Graph, attributes
from converters.quantization.equalization.weight_channels import (
    input_channels,
    output_channels,
    tells_channels_apart,
)
from converters.quantization.rules import BIAS, DATA

HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu", "Identity"})

SPATIAL = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool"}
    | {"Resize", "Pad", "Flatten", "Reshape", "Squeeze"}
)
"""Operators that may work on each channel by itself; `_passes` checks how they are used."""


@dataclass(frozen=True)
class Link:
    """A weighted operator, and all that read its channels through homogeneous operators only.

    Attributes:
        first: makes the channels.
        readers: weighted operators that read them.
        tensors: the tensor that each of them reads.
    """

    first: NodeProto
    readers: tuple[NodeProto, ...]

    @property
    def tensors(self) -> tuple[str, ...]:
        return tuple(node.input[DATA] for node in self.readers)


def links(graph: Graph) -> Iterator[Link]:
    """Every place where scale may move, in graph order."""
    for node in graph.nodes:
        if not _movable(graph, node):
            continue
        channels = output_channels(graph, node)
        readers = _readers(graph, node.output[0], channels)
        if readers and all(input_channels(graph, reader) == channels for reader in readers):
            yield Link(node, tuple(readers))


def _movable(graph: Graph, node: NodeProto) -> bool:
    """Whether the scale of a weighted operator's output channels may change."""
    return tells_channels_apart(graph, node) and (
        len(node.input) <= BIAS
        or not node.input[BIAS]
        or (
            node.input[BIAS] in graph.initializers
            and graph.shape(node.input[BIAS]) in ((n := output_channels(graph, node),), (1, n))
        )
    )


def _readers(graph: Graph, name: str, channels: int) -> list[NodeProto]:
    """The weighted operators that read a tensor's channels; none where other operators do too."""
    found: list[NodeProto] = []
    if name in graph.outputs or not graph.readers(name):
        return []
    for node, slot in graph.readers(name):
        if slot != DATA:
            return []
        if tells_channels_apart(graph, node):
            found.append(node)
            continue
        if not _passes(graph, node, channels):
            return []
        beyond = _readers(graph, node.output[0], channels)
        if not beyond:
            return []
        found += beyond
    return found


def _passes(graph: Graph, node: NodeProto, channels: int) -> bool:
    """Whether a node passes each channel's scale on and reads only constants besides."""
    if len(node.output) != 1 or any(
        name not in graph.initializers for name in node.input[1:] if name
    ):
        return False
    if node.op_type in HOMOGENEOUS:
        return True
    if node.op_type not in SPATIAL:
        return False
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if before is None or after is None or len(after) < 2 or before[:2] != after[:2]:
        return False
    if node.op_type in ("Flatten", "Reshape", "Squeeze"):
        return before[1] == channels and int(np.prod(after)) == after[0] * channels
    given = attributes(node)
    if node.op_type == "Resize":
        return given.get("coordinate_transformation_mode") != b"tf_crop_and_resize"
    if node.op_type == "Pad":
        return _pads_zeros_around(graph, node)
    return True


def _pads_zeros_around(graph: Graph, node: NodeProto) -> bool:
    """Whether a Pad adds no channels, and only zeros or values of the tensor."""
    pads = graph.constant(node.input[1])
    if pads is None or (len(node.input) > 3 and node.input[3]):
        return False
    if pads.reshape(2, -1)[:, :2].any():
        return False
    value = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    mode = attributes(node).get("mode", b"constant")
    return mode != b"constant" or value is None or not value.any()
