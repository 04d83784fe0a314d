"""Says which axes of an operator's weight count its input and output channels.

Takes one node; returns axes and numbers of channels.
"""

from __future__ import annotations

from onnx import NodeProto

from converters.graph.index import Graph, attributes
from converters.quantization.rules import WEIGHT

WEIGHTED = ("Conv", "ConvTranspose", "Gemm")


def tells_channels_apart(graph: Graph, node: NodeProto) -> bool:
    """Whether each channel has a slice of its own in the weight: no groups, or depthwise."""
    if node.op_type not in WEIGHTED or node.input[WEIGHT] not in graph.initializers:
        return False
    if node.op_type == "Gemm":
        return not attributes(node).get("transA") and graph.is_float(node.input[WEIGHT])
    whole = attributes(node).get("group", 1) == 1
    return graph.is_float(node.input[WEIGHT]) and (whole or is_depthwise(graph, node))


def is_depthwise(graph: Graph, node: NodeProto) -> bool:
    """One input channel to one output channel, of a Conv."""
    shape = graph.shape(node.input[WEIGHT])
    return (
        node.op_type == "Conv"
        and shape is not None
        and shape[1] == 1
        and attributes(node).get("group", 1) == shape[0]
    )


def output_axis(node: NodeProto) -> int:
    """The axis of the output channels."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attributes(node).get("transB")):
        return 0
    return 1


def output_channels(graph: Graph, node: NodeProto) -> int:
    """How many channels the operator puts out."""
    shape = graph.shape(node.input[WEIGHT])
    assert shape is not None  # an initializer
    return shape[output_axis(node)]


def input_channels(graph: Graph, node: NodeProto) -> int:
    """How many channels the operator reads."""
    shape = graph.shape(node.input[WEIGHT])
    assert shape is not None
    return shape[0] if is_depthwise(graph, node) else shape[1 - output_axis(node)]
