"""Emulates FP16 on a CPU: rewrites a strongly typed graph in float32 with explicit roundings.

Takes `strong.onnx`; returns a graph in which every FP16 tensor is float32 and is rounded to FP16
where it is made. Sums inside an operator are in float32, as tensor cores compute them.

onnxruntime's CPU runs FP16 operators in float32 and drops the roundings between them, and overflows
too, so `strong.onnx` itself would look better there than any GPU computes it.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from converters.graph.index import rename_tensors, with_nodes
from converters.graph.passes.infer_shapes import infer_shapes
from converters.verification.equivalence.graph_diff import HALF

WIDE, ROUNDED = "/wide", "/rounded"


def emulate_fp16(strong: ModelProto) -> ModelProto:
    """The same graph in float32 with explicit roundings; INT8 codes keep their names."""
    constants = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in strong.graph.initializer
        if tensor.data_type == TensorProto.FLOAT16
    }
    nodes: list[NodeProto] = []
    for node in strong.graph.node:
        made = [name for name in node.output if name.endswith(HALF)]
        if node.op_type == "Cast" and node.input[0].endswith(HALF):
            nodes.append(helper.make_node("Identity", node.input, node.output, name=node.name))
        elif node.op_type == "Cast" and made:
            nodes += _rounded(node.input[0], made[0])
        else:
            names = {name: name + WIDE for name in made}
            other = rename_tensors(node, {})
            other.output[:] = [names.get(name, name) for name in node.output]
            nodes.append(other)
            nodes += [cast for name in made for cast in _rounded(name + WIDE, name)]
    return infer_shapes(with_nodes(strong, nodes=nodes, initializers=constants))


def _rounded(source: str, made: str) -> list[NodeProto]:
    half = made + ROUNDED
    return [
        helper.make_node("Cast", [source], [half], name=half, to=TensorProto.FLOAT16),
        helper.make_node("Cast", [half], [made], name=f"{made}/back", to=TensorProto.FLOAT),
    ]
