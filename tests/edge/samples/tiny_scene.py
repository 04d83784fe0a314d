"""Networks that distinguish a dry road from a wet one by the picture's mean colour, and clips of
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from tiny_road import SIDE

CONDITIONS = ("dry", "wet")
DRY, WET, NEITHER = (60, 90, 130), (130, 90, 60), (90, 90, 90)
"""Blue, green, red: the redder the drier; grey is like none of them."""


def _head(output: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """Logits of CONDITIONS from the mean colour of `picture` (RGB, 0..255)."""
    weight = np.array([[0.1, 0.0, -0.1], [-0.1, 0.0, 0.1]], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["picture"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colour"]),
        helper.make_node("Gemm", ["colour", "scene_w"], [output], transB=1),
    ]
    return nodes, [numpy_helper.from_array(weight, "scene_w")]


def _value(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def write_classifier(path: Path) -> Path:
    """A network that puts out the logits alone."""
    nodes, constants = _head("classes")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [_value("picture", 1, 3, SIDE, SIDE)],
        [_value("classes", 1, len(CONDITIONS))],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def add_condition(path: Path) -> Path:
    """The tiny detector at `path`, with the logits as its second output."""
    model = onnx.load(path)
    nodes, constants = _head("condition")
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    model.graph.output.append(_value("condition", 1, len(CONDITIONS)))
    onnx.save(model, path)
    return path


def road(colour: Sequence[int]) -> NDArray[np.uint8]:
    """A road 128 x 128 of one colour."""
    return np.full((128, 128, 3), colour, np.uint8)


def write_clip(path: Path, *parts: tuple[Sequence[int], int], fps: float = 25.0) -> Path:
    """A clip of (colour, frames) one after the other."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (128, 128))
    for colour, frames in parts:
        for _ in range(frames):
            writer.write(road(colour))
    writer.release()
    return path
