"""A road small enough for a test: a network that finds red pedestrians and blue vehicles by their
colour, clips that show them, and a mission for both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.engine.choose_backend import ChosenModel
from edge.runtime.health.picture_checks import PICTURE_CHECKS

SIDE = 64
CELL = 16
RED, BLUE, ROAD = (0, 0, 255), (255, 0, 0), (90, 90, 90)
LABELS = ("pedestrian", "vehicle", "traffic sign")


def tiny_mission(root: Path, **sections: Any) -> Mission:
    """The example's mission for the tiny network; `sections` replace keys, section by section."""
    raw = load_mission(root / "examples" / "roadnet" / "mission.toml").model_dump()
    raw["model"] |= {"file": Path("tiny.onnx"), "factory": None, "weights": None, "condition": None}
    raw["model"]["input"] = {"width_px": SIDE, "height_px": SIDE}
    raw["model"]["preprocess"] |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    raw["model"]["decode"] |= {"strides": (CELL,)}
    # The tiny network has no second head, so nothing is asked of one.
    rules = [rule for rule in raw["policy"]["rules"] if rule["when"]["scene"] is None]
    raw["policy"]["rules"] = rules
    raw["gates"]["condition_agree_min"] = None
    raw["train"] = None
    raw["target"]["threads"] = 1
    # Pictures without noise in which nothing moves: no check of pictures takes them for a camera's.
    raw["health"]["off"] = [check.name for check in PICTURE_CHECKS]
    for name, values in sections.items():
        raw[name] = {**raw[name], **values}
    return Mission.model_validate(raw)


def chosen(path: Path) -> ChosenModel:
    """A network by itself, for onnxruntime."""
    return ChosenModel.onnx_file(path, why="a test names it")


def write_network(
    path: Path, *, labels: int = len(LABELS), first: int = 0, hot: bool = False
) -> Path:
    """A convolution over 16 x 16 cells: boxes of one cell, class scores by colour (RGB input).

    `first` NaN outputs are put at the front where it is not 0. A `hot` one finds
    something in every cell.
    """
    red, blue = np.array([1.0, -1.0, -1.0]), np.array([-1.0, -1.0, 1.0])
    weight = np.zeros((4 + labels, 3, CELL, CELL), np.float32)
    for row, colour in ((4, red), (5, blue)):
        if row < 4 + labels:
            weight[row] = (12.0 / 255.0 / CELL**2 * colour)[:, None, None]
    bias = np.array([0.5] * 4 + [3.0 if hot else -6.0] * labels, np.float32)
    if first:
        bias[:first] = np.nan
    cells = (SIDE // CELL) ** 2
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "w", "b"], ["map"], strides=[CELL, CELL]),
            helper.make_node("Reshape", ["map", "shape"], ["flat"]),
            helper.make_node("Transpose", ["flat"], ["output"], perm=[0, 2, 1]),
        ],
        "tiny",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, cells, 4 + labels])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(bias, "b"),
            numpy_helper.from_array(np.array([1, 4 + labels, cells]), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def picture(*, red: bool = False, blue: bool = False) -> NDArray[np.uint8]:
    """A road 128 x 128 with a pedestrian or a vehicle in the cell at the lower middle."""
    image = np.full((128, 128, 3), ROAD, np.uint8)
    if red:
        image[96:128, 64:96] = RED
    if blue:
        image[96:128, 32:64] = BLUE
    return image


def write_clip(
    path: Path, *, frames: int, red: tuple[int, int] = (0, 0), fps: float = 25.0
) -> Path:
    """A clip in which the pedestrian stands in the corridor in frames red[0] to red[1]."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), fps, (128, 128))
    for index in range(frames):
        writer.write(picture(red=red[0] <= index < red[1]))
    writer.release()
    return path
