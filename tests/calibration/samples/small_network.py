"""A small network and painted road frames, for tests that observe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from calibration.dataset.records.ground_truth import Truth
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.template import mission_template
from edge.perception.conditions import Conditions
from edge.perception.preprocess import PreprocessSpec
from edge.perception.values import BgrImage

SIDE = 32
SPEC = PreprocessSpec(
    width_px=SIDE,
    height_px=SIDE,
    fit="stretch",
    anchor="center",
    pad_value=114,
    color="bgr",
    mean=(127.5, 127.5, 127.5),
    std=(64.0, 64.0, 64.0),
)
"""As `small_mission` has it."""

UNKNOWN = Conditions()

TENSORS = ("picture", "one/relu", "two/silu", "scores")
"""Picture in, two convolutions with activations, scores out."""


def small_network() -> onnx.ModelProto:
    """picture (1, 3, 32, 32) -> Conv, Relu -> Conv, SiLU -> Conv -> scores, with static shapes."""
    random = np.random.default_rng(5)

    def weight(name: str, outs: int, ins: int, side: int) -> TensorProto:
        values = random.normal(size=(outs, ins, side, side)) / np.sqrt(ins * side * side)
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["picture", "w1"], ["one"], "one", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["one"], ["one/relu"], "one/relu"),
        helper.make_node("Conv", ["one/relu", "w2"], ["two"], "two", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["two"], ["two/sigmoid"], "two/sigmoid"),
        helper.make_node("Mul", ["two", "two/sigmoid"], ["two/silu"], "two/silu"),
        helper.make_node("Conv", ["two/silu", "w3"], ["scores"], "three"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 4, SIDE, SIDE])],
        [weight("w1", 16, 3, 3), weight("w2", 16, 16, 3), weight("w3", 4, 16, 1)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


@dataclass(frozen=True)
class PaintedFrame:
    """A seeded picture of soft blobs that exists only while it is read. See `RoadFrame`."""

    seed: int
    brightness: float = 1.0
    group: str = "one"
    conditions: Conditions = UNKNOWN
    words: str = ""

    @property
    def name(self) -> str:
        return f"painted-{self.seed:05}"

    def read(self) -> BgrImage:
        random = np.random.default_rng(self.seed)
        coarse = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
        return np.clip(image * self.brightness, 0, 255).astype(np.uint8)

    def truth(self) -> Truth | None:
        return None

    def digest(self) -> str:
        return hashlib.sha256(self.read().tobytes()).hexdigest()


def small_mission(folder: Path, *settings: str) -> Mission:
    """The template's mission with the small network's picture and few frames."""
    path = folder / "mission.toml"
    path.write_text(mission_template())
    own = (
        f"model.input.width_px={SIDE}",
        f"model.input.height_px={SIDE}",
        'model.preprocess.fit="stretch"',
        'model.preprocess.color="bgr"',
    )
    return load_mission(path, [*own, *settings])


def painted(count: int) -> list[PaintedFrame]:
    return [PaintedFrame(seed) for seed in range(count)]
