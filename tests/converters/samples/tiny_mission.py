"""A mission small enough for a test: a detector of red and blue cells as an ONNX file, pictures
with such cells, and the mission file for both.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import ModelProto
from tiny_graphs import node, tiny

from edge.runtime.health.picture_checks import PICTURE_CHECKS

SIDE, CELL = 64, 16
LABELS = ("pedestrian", "vehicle", "traffic sign")
PICTURES = 14


def detector(labels: int = len(LABELS)) -> ModelProto:
    """Averages of 4 x 4 pixels, then boxes of one cell and logits by colour (RGB, 0..255)."""
    averages = np.zeros((4, 3, 4, 4), np.float32)
    for row, colour in enumerate(([1, -1, -1], [-1, -1, 1], [1, 0, 0])):
        averages[row] = (np.float32(colour) / 16)[:, None, None]
    cells = np.zeros((4 + labels, 4, 4, 4), np.float32)
    for label in range(min(2, labels)):
        cells[4 + label, label] = 12.0 / 255.0 / 16.0
    bias = np.float32([0.5] * 4 + [-6.0] * labels)
    count = (SIDE // CELL) ** 2
    return tiny(
        [
            node("Conv", ["x", "averages"], ["a"], strides=[4, 4]),
            node("Relu", ["a"], ["r"]),
            node("Conv", ["r", "cells", "bias"], ["map"], strides=[4, 4]),
            node("Reshape", ["map", "shape"], ["flat"]),
            node("Transpose", ["flat"], ["y"], perm=[0, 2, 1]),
        ],
        {
            "averages": averages,
            "cells": cells,
            "bias": bias,
            "shape": np.array([1, 4 + labels, count]),
        },
        inputs={"x": (1, 3, SIDE, SIDE)},
    )


def write_road(folder: Path, count: int = PICTURES) -> Path:
    """Grey pictures, each with one red and one blue cell."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for row in range(count):
        image = random.integers(60, 120, (SIDE, SIDE, 3), dtype=np.uint8)
        red, blue = random.choice(16, 2, replace=False)
        for cell, colour in ((red, (0, 0, 255)), (blue, (255, 0, 0))):
            y, x = CELL * (cell // 4), CELL * (cell % 4)
            image[y : y + CELL, x : x + CELL] = colour
        cv2.imwrite(str(folder / f"{row:03}.png"), image)
    return folder


def write_mission(folder: Path) -> Path:
    """`folder` with mission.toml, tiny.onnx and road/; returns the mission file."""
    folder.mkdir(parents=True, exist_ok=True)
    model = onnx.shape_inference.infer_shapes(detector())
    (folder / "tiny.onnx").write_bytes(model.SerializeToString())
    write_road(folder / "road")
    path = folder / "mission.toml"
    path.write_text(MISSION, encoding="utf-8")
    return path


MISSION = f"""
name = "tiny"

[purpose]
task = "find cells"
decision = "none"
value = "a test"
harm = "none"
feedback = "none"

[model]
file = "tiny.onnx"
labels = ["pedestrian", "vehicle", "traffic sign"]

[model.input]
width_px = {SIDE}
height_px = {SIDE}

[model.preprocess]
fit = "letterbox"
color = "rgb"

[model.decode]
kind = "roadnet"
strides = [{CELL}]
score_threshold = 0.35
iou_threshold = 0.5

[data]
kind = "images"
root = "road"

[calibration]
frames = 8
held_back = 4

[gates]
parity_max_abs = 1e-3
found_min = 0.90

[budget]
grab_ms = 10
preprocess_ms = 10
infer_ms = 40
decode_ms = 10
track_ms = 5
decide_ms = 5
send_ms = 5
end_to_end_ms = 100

[camera]
width_px = {SIDE}
height_px = {SIDE}
fps = 25
assumed_speed_mps = 14.0

[policy.zones]
corridor = [[0.44, 0.52], [0.56, 0.52], [0.94, 1.0], [0.06, 1.0]]

[[policy.rules]]
name = "pedestrian in the corridor"
why = "a person in the path"
when = {{ label = "pedestrian", confidence = 0.6, zone = "corridor", height_min = 0.05 }}
confirm = {{ k = 3, of = 5 }}
action = "EMERGENCY_STOP"
deceleration_mps2 = 6.0
clear = "standstill"
hold_ms = 1000

[policy.fallbacks]
unknown_after_periods = 2.0
slow_down_after_periods = 5.0
comfort_stop_after_periods = 10.0
late_share_max = 0.2
speed_ceiling_mps = 5.0
deceleration_mps2 = 1.0

# Pictures of noise: no check takes them for a camera's.
[health]
off = {[check.name for check in PICTURE_CHECKS]}

[link]
baud = 115200

[target]
threads = 1
"""
