"""Bias correction: removes the mean error of quantization from each layer's bias.

Takes the float graph, the placement, a function that quantizes, and pictures; returns the float
graph with other biases. Weights and ranges stay as they are.

Rounding and clipping shift the mean of each output channel. For each quantized operator: bias +=
E[float output] - E[output of the quantized operator on the same float input], over the calibration
pictures (Nagel et al., arXiv:1906.04721, section 4.2, with measured instead of derived means). All
layers are measured in one pass, each on float inputs, so no layer corrects another's error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from calibration.inference.sessions import ModelSession
from converters.graph.index import Array, Graph, rename_tensors, with_nodes
from converters.graph.passes.canonical_names import PICTURE
from converters.quantization.placement import QdqPlacement
from converters.quantization.rules import BIAS
from edge.perception.values import Floats

Quantize = Callable[[ModelProto], ModelProto]

PAIR = ("QuantizeLinear", "DequantizeLinear")
CORRECTED = ("Conv", "ConvTranspose")
"""Operators whose bias has one value a channel, along axis 1 of their output."""


def correct_bias(
    model: ModelProto,
    placement: QdqPlacement,
    quantize: Quantize,
    pictures: Sequence[Floats],
    *,
    threads: int,
) -> ModelProto:
    """The float graph with corrected biases; `quantize` is to quantize it in place of `model`.

    Args:
        pictures: network inputs (1, 3, H, W).
    """
    graph = Graph(model)
    nodes = [
        node for node in graph.nodes if node.name in placement.macs_of and correctable(graph, node)
    ]
    if not nodes:
        return model
    shifts = _shifts(model, quantize(model), [node.name for node in nodes], pictures, threads)
    return with_added_bias(model, dict(zip((node.name for node in nodes), shifts, strict=True)))


def with_added_bias(
    model: ModelProto, added: Mapping[str, NDArray[np.float64] | float]
) -> ModelProto:
    """The graph with `added` added to the biases of these operators (all `correctable`):
    (channels,), or one value for all channels."""
    graph = Graph(model)
    biases: dict[str, Array] = {}
    kept: list[NodeProto] = []
    for node in graph.nodes:
        if node.name not in added:
            kept.append(node)
            continue
        bias = graph.constant(node.input[BIAS]) if len(node.input) > BIAS else None
        made = graph.shape(node.output[0])
        assert made is not None  # shapes are static
        former = np.zeros(made[1]) if bias is None else bias.astype(np.float64)
        name = f"{node.name}/bias/corrected"
        biases[name] = (former + added[node.name]).astype(np.float32)
        other = NodeProto()
        other.CopyFrom(node)
        other.input[:] = [*node.input[:BIAS], name]
        kept.append(other)
    changed = with_nodes(model, nodes=kept, initializers=biases)
    changed.graph.value_info.extend(model.graph.value_info)
    return changed


def correctable(graph: Graph, node: NodeProto) -> bool:
    """Whether a bias can be replaced: float32, constant or absent, one value a channel."""
    return (
        node.op_type in CORRECTED and graph.is_float(node.output[0]) and _bias_is_ours(graph, node)
    )


def _bias_is_ours(graph: Graph, node: NodeProto) -> bool:
    """Whether the bias is absent or constant."""
    return (
        len(node.input) <= BIAS
        or not node.input[BIAS]
        or (graph.constant(node.input[BIAS]) is not None)
    )


def _shifts(
    model: ModelProto,
    quantized: ModelProto,
    names: Sequence[str],
    pictures: Sequence[Floats],
    threads: int,
) -> list[NDArray[np.float64]]:
    """Mean of float's output minus the quantized operator's on the same input, (channels,)."""
    beside = _side_by_side(model, quantized, names)
    session = ModelSession(beside.SerializeToString(), threads=1)
    sums = [np.zeros(1)] * (2 * len(names))
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(lambda picture: session.run({PICTURE: picture}), pictures):
            sums = [total + mean.reshape(-1) for total, mean in zip(sums, found, strict=True)]
    return [(sums[row] - sums[row + 1]) / len(pictures) for row in range(0, len(sums), 2)]


def _side_by_side(model: ModelProto, quantized: ModelProto, names: Sequence[str]) -> ModelProto:
    """The float graph and, beside it, every operator of `names` quantized, which reads float's
    tensors. Outputs are the channel means (1, channels, 1, ...) of each, float's first."""
    ours = Graph(model)
    quantized = _apart(quantized, ours)
    originals = {node.name: node for node in ours.nodes}
    theirs = {node.name: node for node in quantized.graph.node}
    pairs = [node for node in quantized.graph.node if node.op_type in PAIR]
    behind = {name: node.input[0] for node in pairs for name in node.output}
    after: dict[str, list[NodeProto]] = defaultdict(list)
    for node in pairs:
        source = node.input[0]
        while source in behind:
            source = behind[source]
        after[source if source in ours.producer else ""].append(node)
    last: list[NodeProto] = []
    outputs: list[str] = []
    for name in names:
        shadow = NodeProto()
        shadow.CopyFrom(theirs[name])
        shadow.name = shadow.output[0] = f"{name}/shadow"
        last.append(shadow)
        for tensor in (originals[name].output[0], shadow.output[0]):
            outputs.append(f"{tensor}/mean")
            last.append(helper.make_node("GlobalAveragePool", [tensor], [outputs[-1]]))
    nodes = list(after[""])  # those of weights and of the picture, which no node makes
    for node in ours.nodes:
        nodes.append(node)
        nodes += [pair for made in node.output for pair in after[made]]
    constants = {tensor.name: tensor for tensor in quantized.graph.initializer}
    beside = with_nodes(model, nodes=[*nodes, *last], initializers=constants)
    del beside.graph.output[:]
    beside.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
    )
    return beside


def _apart(quantized: ModelProto, ours: Graph) -> ModelProto:
    """The same graph; constants that have another value in float get a name of their own."""
    names = {
        tensor.name: f"{tensor.name}/quantized"
        for tensor in quantized.graph.initializer
        if tensor.name in ours.initializers and tensor != ours.initializers[tensor.name]
    }
    if not names:
        return quantized
    nodes = [rename_tensors(node, names) for node in quantized.graph.node]
    other = with_nodes(quantized, nodes=nodes)
    for tensor in other.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    return other
