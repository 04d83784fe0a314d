"""Gives the picture input the mission's size where the model left it open.

Never changes a size that the model fixes: that is the reader's refusal.
"""

from __future__ import annotations

from onnx import ModelProto

from converters.graph.index import copy_model


def bind_shapes(model: ModelProto, shape: tuple[int, int, int, int]) -> ModelProto:
    """The model with open dimensions of its one input set; stale shapes inside are dropped."""
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
