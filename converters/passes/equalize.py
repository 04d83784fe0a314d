"""Cross-layer equalization: moves scale between a convolution and those that read it, channel by
channel, so that one INT8 scale fits all channels of what is between them (Nagel et al. 2019,
arXiv:1906.04721, 4.1).

What stands between must be positively homogeneous, f(x / s) = f(x) / s for s > 0: Relu, LeakyRelu,
PRelu, pooling, resizing. Relu6 and every other Clip, SiLU, HardSwish and Mish are not, and nothing
moves across them; nor across an Add or Concat, whose other side would need the same scale. The
network computes the same but for float32's rounding. Never adds a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from converters.graph import Array, Graph, attributes, rebuilt
from converters.passes.shapes import infer_shapes
from converters.rules import BIAS, DATA, WEIGHT

Doubles = NDArray[np.float64]

HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "PRelu", "Identity"})

SPATIAL = frozenset(
    {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "GlobalLpPool"}
    | {"Resize", "Pad", "Flatten", "Reshape", "Squeeze"}
)
"""Operators that may work on each channel by itself; `_passes` looks at how they are used."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm")

LARGEST_STEP = 12
"""A channel is scaled by 2^-12 to 2^12 in all: what lies farther apart is as good as dead, and
would only use up float16's range."""

LEAN = 0.7
"""How much of a channel's loudness goes into the weights that read it, where activations were
observed (alpha of arXiv:2211.10438): 1 makes all channels of a tensor equally loud, 0 all weights
that read them. Of 0.3, 0.5, 0.7 and 1 the best on RoadNet and FastestDet."""

SWEEPS, SETTLED = 30, 1e-3
"""Links are gone through so often at most, or until no channel moves farther than that (log2)."""


@dataclass(frozen=True)
class Link:
    """A weighted operator, and all that read its channels through homogeneous operators only.

    Attributes:
        first: makes the channels.
        readers: weighted operators that read them.
        tensors: what each of them reads.
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
        channels = _outputs(graph, node)
        readers = _readers(graph, node.output[0], channels)
        if readers and all(_inputs(graph, reader) == channels for reader in readers):
            yield Link(node, tuple(readers))


def equalize(model: ModelProto, *, magnitudes: Mapping[str, Array] | None = None) -> ModelProto:
    """The same network with other weights and biases.

    Args:
        magnitudes: by tensor, the largest magnitude of each channel (C,) as observed. With them a
            channel's activations are balanced against the weights that read it: what per-tensor
            activations beside per-channel weights need. Without them the weights that make it are
            (the paper's rule, for per-tensor weights).
    """
    graph = Graph(model)
    found = list(links(graph))
    weights = _Weights(graph)
    moved = {id(link): np.zeros(_outputs(graph, link.first)) for link in found}
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
    """log2 of what each channel is to be divided by; 0 for dead ones."""
    read = np.max([weights.read(node) for node in link.readers], axis=0)
    lean = 0.5
    if magnitudes is None:
        made = weights.made(link.first)
    else:
        seen = np.max([magnitudes[name] for name in link.tensors], axis=0)
        made, lean = np.asarray(seen, np.float64) / np.exp2(moved), LEAN
        if all(_depthwise(weights.graph, node) for node in link.readers):
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
        """Divides what `link.first` makes by 2^step, and multiplies those who read it."""
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
        """The model with these values; what others read too gets a name of its own."""
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
        return infer_shapes(rebuilt(model, nodes=nodes, initializers=constants))

    def _value(self, node: NodeProto, slot: int) -> Doubles:
        key = (node.name, slot)
        if key not in self._values:
            value = self.graph.constant(node.input[slot])
            assert value is not None  # `_movable` and `_readers` asked for it
            self._values[key] = np.array(value, np.float64)
        return self._values[key]

    def _by_output(self, node: NodeProto) -> Doubles:
        """The weight as a view (output channels, ...); writing to it writes the weight."""
        value = self._value(node, WEIGHT)
        return value if _axis(node) == 0 else value.swapaxes(0, 1)

    def _by_input(self, node: NodeProto) -> Doubles:
        """The weight as a view (input channels, ...)."""
        value = self._value(node, WEIGHT)
        if _depthwise(self.graph, node):
            return value  # (channels, 1, ...)
        return value.swapaxes(0, 1) if _axis(node) == 0 else value


def _movable(graph: Graph, node: NodeProto) -> bool:
    """Whether the scale of a weighted operator's output channels may change."""
    return _weighted(graph, node) and (
        len(node.input) <= BIAS
        or not node.input[BIAS]
        or (
            node.input[BIAS] in graph.initializers
            and graph.shape(node.input[BIAS]) in ((n := _outputs(graph, node),), (1, n))
        )
    )


def _weighted(graph: Graph, node: NodeProto) -> bool:
    """Whether channels can be told apart in an operator's weight: no groups, or depthwise."""
    if node.op_type not in WEIGHTED or node.input[WEIGHT] not in graph.initializers:
        return False
    if node.op_type == "Gemm":
        return not attributes(node).get("transA") and graph.is_float(node.input[WEIGHT])
    whole = attributes(node).get("group", 1) == 1
    return graph.is_float(node.input[WEIGHT]) and (whole or _depthwise(graph, node))


def _depthwise(graph: Graph, node: NodeProto) -> bool:
    """One input channel to one output channel, of a Conv."""
    shape = graph.shape(node.input[WEIGHT])
    return (
        node.op_type == "Conv"
        and shape is not None
        and shape[1] == 1
        and attributes(node).get("group", 1) == shape[0]
    )


def _axis(node: NodeProto) -> int:
    """The axis of the output channels."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes(node).get("transB")):
        return 0
    return 1


def _outputs(graph: Graph, node: NodeProto) -> int:
    shape = graph.shape(node.input[WEIGHT])
    assert shape is not None  # an initializer
    return shape[_axis(node)]


def _inputs(graph: Graph, node: NodeProto) -> int:
    shape = graph.shape(node.input[WEIGHT])
    assert shape is not None
    return shape[0] if _depthwise(graph, node) else shape[1 - _axis(node)]


def _readers(graph: Graph, name: str, channels: int) -> list[NodeProto]:
    """The weighted operators that read a tensor's channels; none where anyone else does."""
    found: list[NodeProto] = []
    if name in graph.outputs or not graph.readers(name):
        return []
    for node, slot in graph.readers(name):
        if slot != DATA:
            return []
        if _weighted(graph, node):
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
    """Whether a node hands each channel's scale on, and nothing else hangs on it."""
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
    """Whether a Pad leaves the channels where they are, and adds what scaling does not change."""
    pads = graph.constant(node.input[1])
    if pads is None or (len(node.input) > 3 and node.input[3]):
        return False
    if pads.reshape(2, -1)[:, :2].any():
        return False
    value = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    mode = attributes(node).get("mode", b"constant")
    return mode != b"constant" or value is None or not value.any()


def _largest(values: Doubles, axis: int) -> Doubles:
    others = tuple(row for row in range(values.ndim) if row != axis)
    found: Doubles = np.abs(values).max(axis=others, initial=0.0)
    return found
