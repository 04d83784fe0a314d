"""Refuses valid ONNX models that cannot be converted: already quantized, exported in training mode,
or with weights that are NaN or infinite.

Takes a model and its path; raises UsageError naming the layers. The model is not changed.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

from converters.graph.index import Graph, all_nodes, attributes
from firmware_bridge.errors import UsageError

QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv"}
    | {"QLinearMatMul", "ConvInteger", "MatMulInteger"}
)
"""Operators of a quantized network; those of other tools begin with QLinear."""

LEARNED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization"}
    | {"LayerNormalization", "GroupNormalization", "PRelu"}
)
"""Operators whose constants are weights. Elsewhere an infinity may be intended, as in a mask."""

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def check_float(model: ModelProto, path: Path) -> None:
    """Refuses a network that is already quantized, by any tool, naming its operators."""
    nodes = list(all_nodes(model.graph))
    found = Counter(
        node.op_type
        for node in nodes
        if node.op_type in QUANTIZED or node.op_type.startswith("QLinear")
    )
    if not found:
        return
    moved = sum(_is_asymmetric(Graph(model), node) for node in nodes)
    raise UsageError(
        f"{path} is quantized already",
        expected="a float network",
        found=", ".join(f"{name} ({count})" for name, count in sorted(found.items()))
        + (f"; {moved} of them asymmetric, which TensorRT refuses" if moved else ""),
        remedy="give the float network it was made from; where that is lost: brakepoint lint FILE "
        "tells what is wrong with this one, and --fix NEW writes it anew by TensorRT's rules",
    )


def _is_asymmetric(graph: Graph, node: NodeProto) -> bool:
    """Whether a QuantizeLinear has a constant zero-point other than 0."""
    if node.op_type != "QuantizeLinear" or len(node.input) < 3:
        return False
    tensor = graph.initializers.get(node.input[2])
    if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
        return False
    try:
        return bool(onnx.numpy_helper.to_array(tensor).any())
    except (ValueError, TypeError, KeyError):  # damaged; it is refused either way
        return False


def check_inference(model: ModelProto, path: Path) -> None:
    """Refuses a network that was exported in training mode, naming its operators."""
    graph = Graph(model)
    if trained := [node for node in all_nodes(model.graph) if _in_training(graph, node)]:
        shown = [f"{node.op_type} '{node.name or node.output[0]}'" for node in trained[:3]]
        raise UsageError(
            f"{path} is in training mode",
            expected="a network for inference, which takes its statistics from training",
            found=f"{', '.join(shown)}{', ...' if len(trained) > 3 else ''}",
            remedy="call network.eval(), then export it again",
        )


def _in_training(graph: Graph, node: NodeProto) -> bool:
    """Whether an operator is in training mode: its outputs say so before opset 14, an attribute or
    input since."""
    if node.op_type == "BatchNormalization":
        return bool(attributes(node).get("training_mode")) or sum(map(bool, node.output)) > 1
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return False
    maker, value = graph.producer.get(node.input[2]), graph.constant(node.input[2])
    if maker is not None and maker.op_type == "Constant":
        value = onnx.numpy_helper.to_array(maker.attribute[0].t)
    return value is None or bool(value.any())


def check_finite(model: ModelProto, path: Path) -> None:
    """Refuses weights that hold NaN or infinity, naming the layers that read them."""
    graph = Graph(model)
    found = []
    for name, tensor in graph.initializers.items():
        readers = [read.node for read in graph.readers(name) if read.node.op_type in LEARNED]
        if tensor.data_type not in FLOATS or not readers:
            continue
        values = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        if bad := int(np.count_nonzero(~np.isfinite(values))):
            node = readers[0]
            layer = f"{node.op_type} '{node.name or node.output[0]}'"
            found.append(f"{bad} of {values.size} in '{name}' of {layer}")
    if found:
        raise UsageError(
            f"{path} has weights that are NaN or infinity",
            expected="finite numbers",
            found="; ".join(found[:3]) + ("; ..." if len(found) > 3 else ""),
            remedy="train or export the network again: a training that diverged leaves such values",
        )
