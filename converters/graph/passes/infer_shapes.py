"""Writes the static shape of every tensor into the model, by onnx's shape inference."""

from __future__ import annotations

from onnx import ModelProto, shape_inference

from converters.graph.index import copy_model


def infer_shapes(model: ModelProto) -> ModelProto:
    """The same model with onnx's inferred shapes, in the order of the graph."""
    bare = copy_model(model)
    del bare.graph.value_info[:]
    other = shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    known = {value.name: value for value in other.graph.value_info}
    ordered = [known[n] for node in other.graph.node for n in node.output if n in known]
    kept = [type(value).FromString(value.SerializeToString()) for value in ordered]
    del other.graph.value_info[:]
    other.graph.value_info.extend(kept)
    return other
