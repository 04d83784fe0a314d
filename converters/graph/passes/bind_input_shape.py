"""Gives the picture input the mission's size where the model leaves it open.

Takes a model and a shape (1, 3, H, W); returns a copy. A size that the model fixes stays: if it
differs from the mission, the reader of the file has refused it.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.graph.index import copy_model


def bind_shapes(model: ModelProto, shape: tuple[int, int, int, int]) -> ModelProto:
    """The model with the open sizes of its one input set, and without shapes of inner tensors."""
    other = copy_model(model)
    sizes = other.graph.input[0].type.tensor_type.shape
    if len(sizes.dim) != len(shape):
        del sizes.dim[:]
        for _ in shape:
            sizes.dim.add()
    for size, wanted in zip(sizes.dim, shape, strict=True):
        if not size.HasField("dim_value"):
            size.dim_value = wanted
    del other.graph.value_info[:]
    for value in other.graph.output:
        value.type.tensor_type.ClearField("shape")
    return other
