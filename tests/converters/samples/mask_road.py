"""A road in three colours with its masks, a network that segments it, and a mission for both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from tiny_graphs import node, tiny
from tiny_mission import MISSION

WIDE, HIGH, STRIDE = 64, 48, 4
FRAMES = 18
IDS = {"sky": 0, "road": 1, "car": 2}
LABELS = ("road", "vehicle", "sky")
"""Another order than the data set's, and another word for one of them."""
COLOURS = np.array([[220, 120, 40], [90, 90, 90], [30, 30, 220]], np.uint8)
"""Blue, green, red of each id."""


def write_road(folder: Path, count: int = FRAMES) -> Path:
    """images/, masks/, class_names.csv and labels.csv; three frames a drive, rain in every second
    drive. Everything lies on the cells of the network; a rim of 255 says that nobody knows."""
    random = np.random.default_rng(5)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows = ["file,drive,weather"]
    for number in range(count):
        ids = np.zeros((HIGH, WIDE), np.uint8)
        ids[STRIDE * int(random.integers(4, 7)) :] = 1
        y, x = STRIDE * random.integers((5, 2), (8, 10))
        ids[y : y + 12, x : x + 16] = 2
        image = COLOURS[ids] + random.integers(-12, 13, (HIGH, WIDE, 1))
        ids[:, :2] = 255
        cv2.imwrite(
            str(folder / "images" / f"{number:03}.png"), image.clip(0, 255).astype(np.uint8)
        )
        cv2.imwrite(str(folder / "masks" / f"{number:03}.png"), ids)
        rows.append(f"{number:03}.png,{number // 3},{'rainy' if number // 3 % 2 else 'sunny'}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    names = [f"{number},{name}" for name, number in IDS.items()]
    (folder / "class_names.csv").write_text("\n".join(["id,name", *names]) + "\n")
    return folder


def write_masked(
    folder: Path, images: NDArray[np.uint8], masks: NDArray[np.uint8], names: Sequence[str]
) -> None:
    """A data set of pictures (N, H, W, 3) and masks (N, H, W) of rows of `names`."""
    for kind, pictures in (("images", images), ("masks", masks)):
        (folder / kind).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / kind / f"{number:03}.png"), picture)
    rows = [f"{number},{name}" for number, name in enumerate(names)]
    (folder / "class_names.csv").write_text("\n".join(["id,name", *rows]) + "\n")


def network(*, heads: int = 1, ids: bool = False, softmax: bool = False) -> ModelProto:
    """Logits (1, 3, 12, 16) of road, vehicle, sky by colour (BGR, 0..255); a second head has two
    others, first in order. `ids` ends with an argmax."""
    averages = np.zeros((3, 3, STRIDE, STRIDE), np.float32)
    for row, colour in enumerate(([1, 0, -1], [-1, 0, 1], [0, 1, 0])):
        averages[row] = (np.float32(colour) / STRIDE**2)[:, None, None]
    cells = np.zeros((3, 3, 1, 1), np.float32)
    cells[1, 1], cells[2, 0] = 8.0 / 95.0, 8.0 / 90.0
    nodes = [
        node("Conv", ["x", "averages"], ["a"], strides=[STRIDE, STRIDE]),
        node("Relu", ["a"], ["r"]),
        node("Conv", ["r", "cells", "bias"], ["ground"]),
    ]
    outputs = ["ground"]
    if heads == 2:
        nodes.append(node("Conv", ["r", "others"], ["marking"]))
        outputs = ["marking", "ground"]
    if ids:
        nodes.append(node("ArgMax", ["ground"], ["best"], axis=1, keepdims=0))
        nodes.append(node("Cast", ["best"], ["label"], to=1))
        outputs = ["label"]
    if softmax:
        nodes.append(node("Softmax", ["ground"], ["share"], axis=1))
        outputs = ["share"]
    return tiny(
        nodes,
        {
            "averages": averages,
            "cells": cells,
            "bias": np.float32([4.0, 0.0, 0.0]),
            **({"others": cells[:2]} if heads == 2 else {}),
        },
        inputs={"x": (1, 3, HIGH, WIDE)},
        outputs=outputs,
    )


RULE = """
[[policy.rules]]
name = "vehicle ahead"
why = "the way is taken"
when = { label = "vehicle", confidence = 0.6, zone = "ahead", share_min = 0.2 }
confirm = { k = 2, of = 3 }
action = "SLOW_DOWN"
speed_ceiling_mps = 5.0
deceleration_mps2 = 2.0
clear = "when_gone"

[policy.fallbacks]"""


def write_mission(folder: Path, model: ModelProto | None = None) -> Path:
    """`folder` with mission.toml, network.onnx and road/; returns the mission file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.onnx").write_bytes((model or network()).SerializeToString())
    write_road(folder / "road")
    text = MISSION.split("[[policy.rules]]")[0] + RULE + MISSION.split("[policy.fallbacks]")[1]
    for before, after in (
        ("tiny.onnx", "network.onnx"),
        ('"pedestrian", "vehicle", "traffic sign"', '"road", "vehicle", "sky"'),
        ("height_px = 64", f"height_px = {HIGH}"),
        ('color = "rgb"', 'color = "bgr"'),
        ('kind = "roadnet"\nstrides = [16]', f'kind = "segment"\nstrides = [{STRIDE}]'),
        ("score_threshold = 0.35\niou_threshold = 0.5\n", "score_threshold = 0.4\n"),
        ('root = "road"', 'root = "road"\ntable = "labels.csv"\ngroup = "drive"'),
        ("corridor = [[0.44, 0.52], [0.56, 0.52], [0.94, 1.0], [0.06, 1.0]]",
         "ahead = [[0.2, 0.4], [0.8, 0.4], [0.8, 1.0], [0.2, 1.0]]"),
        ("frames = 8\nheld_back = 4", "frames = 8\nheld_back = 4"),
    ):  # fmt: skip
        assert before in text, before
        text = text.replace(before, after)
    (folder / "mission.toml").write_text(text, encoding="utf-8")
    return folder / "mission.toml"


def true_rows(folder: Path, name: str) -> NDArray[np.uint8]:
    """A frame's mask in rows of LABELS."""
    ids = cv2.imread(str(folder / "masks" / name), cv2.IMREAD_UNCHANGED)
    rows = np.full(256, 255, np.uint8)
    rows[[0, 1, 2]] = [2, 0, 1]
    return np.asarray(rows[ids], np.uint8)
