"""ONNX graphs of a few nodes, written by hand, and their outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from calibration.inference.sessions import ModelSession
from converters.graph.passes.fold_constants import fold_constants
from converters.graph.passes.infer_shapes import infer_shapes
from edge.perception.values import Floats

Sizes = Sequence[int | str] | None
SHAPE = (1, 3, 8, 8)

node = helper.make_node


def tiny(
    nodes: Sequence[NodeProto],
    constants: Mapping[str, ArrayLike] | None = None,
    *,
    inputs: Mapping[str, Sizes] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    ir_version: int = 9,
) -> ModelProto:
    """A model that reads the picture "x" (SHAPE) and puts out "y", both float32."""
    fed = {"x": SHAPE} if inputs is None else inputs
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in fed.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def ready(
    nodes: Sequence[NodeProto], constants: Mapping[str, ArrayLike], **more: Any
) -> ModelProto:
    """The same as rules and quantizer get it: shapes known, constants folded, nodes named."""
    model = fold_constants(infer_shapes(tiny(nodes, constants, **more)))
    for row, one in enumerate(model.graph.node):
        one.name = one.name or f"{one.op_type}_{row}"
    return model


def constant(name: str, value: ArrayLike) -> NodeProto:
    """A Constant node, as PyTorch's older exporter writes numbers."""
    return node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value)))


def weights(*shape: int, seed: int = 0, scale: float = 0.3) -> Floats:
    """Seeded normal values."""
    values = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return values.astype(np.float32)


def picture(seed: int = 0, shape: Sequence[int] = SHAPE) -> Floats:
    """A seeded network input."""
    return weights(*shape, seed=seed, scale=1.0)


def run(model: ModelProto, x: Floats | None = None) -> Floats:
    """The first output for a picture."""
    session = ModelSession(model.SerializeToString(), threads=1)
    found: Floats = session.run({session.inputs[0]: picture() if x is None else x})[0]
    return found


def ops(model: ModelProto) -> list[str]:
    """Operators in order."""
    return [one.op_type for one in model.graph.node]


def initializers(model: ModelProto) -> dict[str, onnx.TensorProto]:
    """Initializers by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def values(model: ModelProto, name: str) -> np.ndarray[Any, Any]:
    """The value of an initializer."""
    return numpy_helper.to_array(initializers(model)[name])
