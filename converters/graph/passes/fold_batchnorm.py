"""Folds BatchNormalization into the convolution before it, so that nothing lies between the
convolution and its activation (INT8 rule R5).

Takes a model; returns a copy. With s = scale / sqrt(var + epsilon): weight' = weight * s, bias' =
(bias - mean) * s + B, per output channel (Ioffe & Szegedy, arXiv:1502.03167, at inference),
computed in float64 and stored as float32. It does not fold where other nodes read the convolution
too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from converters.graph.index import Array, Graph, attributes, with_nodes

CONVOLUTIONS = ("Conv", "ConvTranspose")


def foldable(graph: Graph, node: NodeProto) -> bool:
    """Whether `node` is a BatchNormalization at inference that follows a convolution alone."""
    if node.op_type != "BatchNormalization" or attributes(node).get("training_mode"):
        return False
    conv = graph.producer.get(node.input[0])
    if conv is None or conv.op_type not in CONVOLUTIONS:
        return False
    constants = (*conv.input[1:], *node.input[1:])
    return graph.sole_reader(conv.output[0]) is node and all(
        name in graph.initializers for name in constants if name
    )


def fold_batchnorm(model: ModelProto) -> ModelProto:
    """The same model without foldable BatchNormalization."""
    while True:
        graph = Graph(model)
        node = next((node for node in graph.nodes if foldable(graph, node)), None)
        if node is None:
            return model
        model = _fold_one(model, graph, node)


def _fold_one(model: ModelProto, graph: Graph, node: NodeProto) -> ModelProto:
    conv = graph.producer[node.input[0]]
    scale, shift, mean, variance = (_float64(graph, name) for name in node.input[1:5])
    epsilon = attributes(node).get("epsilon", 1e-5)
    assert isinstance(epsilon, float)
    gain = scale / np.sqrt(variance + epsilon)
    weight = _float64(graph, conv.input[1])
    bias = _float64(graph, conv.input[2]) if len(conv.input) > 2 and conv.input[2] else 0.0
    # The weights get names of their own: another convolution may share the old ones.
    names = (f"{node.output[0]}.weight", f"{node.output[0]}.bias")
    fused = NodeProto()
    fused.CopyFrom(conv)
    fused.input[:] = [conv.input[0], *names]
    fused.output[:] = [node.output[0]]
    initializers: dict[str, Array] = {
        names[0]: (weight * _along_output(conv, weight, gain)).astype(np.float32),
        names[1]: ((bias - mean) * gain + shift).astype(np.float32),
    }
    nodes = [fused if other is conv else other for other in graph.nodes if other is not node]
    return with_nodes(model, nodes=nodes, initializers=initializers)


def _along_output(
    conv: NodeProto, weight: NDArray[np.float64], gain: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`gain` (output channels,) shaped to multiply the weight."""
    rest = (1,) * (weight.ndim - 2)
    if conv.op_type == "Conv":
        return gain.reshape(-1, 1, *rest)
    # ConvTranspose: (input channels, output channels of a group, ...), groups along the inputs.
    groups = attributes(conv).get("group", 1)
    assert isinstance(groups, int)
    by_group = gain.reshape(groups, 1, weight.shape[1])
    repeated = np.repeat(by_group, weight.shape[0] // groups, axis=1)
    return repeated.reshape(weight.shape[0], weight.shape[1], *rest)


def _float64(graph: Graph, name: str) -> NDArray[np.float64]:
    value = graph.constant(name)
    assert value is not None  # `foldable` checks it
    return value.astype(np.float64)
