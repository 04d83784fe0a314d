"""`brakepoint compare A.onnx B.onnx --frames FOLDER`: two networks on pictures without labels."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from mask_road import network as mask_network
from mask_road import write_mission as write_mask_mission
from onnx import ModelProto, TensorProto, helper
from tiny_graphs import node, tiny, weights
from tiny_mission import SIDE, detector, write_mission

Command = Callable[..., tuple[int, str, str]]


def written(path: Path, model: ModelProto) -> Path:
    path.write_bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())
    return path


def blinded() -> ModelProto:
    """The tiny detector, that hardly sees what is blue."""
    model = detector()
    for one in model.graph.initializer:
        if one.name == "cells":
            values = onnx.numpy_helper.to_array(one).copy()
            values[5] = 0.0
            one.CopyFrom(onnx.numpy_helper.from_array(values, "cells"))
    return model


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A mission with its detector A, a worse one B, and pictures."""
    folder = tmp_path_factory.mktemp("files")
    mission = write_mission(folder / "m")
    return {
        "mission": mission,
        "a": folder / "m" / "tiny.onnx",
        "b": written(folder / "b.onnx", blinded()),
        "frames": folder / "m" / "road",
        "folder": folder,
    }


def compared(brakepoint: Command, *arguments: object) -> dict[str, Any]:
    code, out, err = brakepoint("compare", *arguments, "--json")
    assert code == 0, err
    told: dict[str, Any] = json.loads(out)
    assert told["schema"] == "brakepoint.files-comparison/1"
    return told


def test_with_a_mission_it_tells_what_b_loses_and_shows_where(
    brakepoint: Command, given: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    told = compared(
        brakepoint,
        *(given["a"], given["b"], "--frames", given["frames"]),
        *("--mission", given["mission"], "--out", page),
    )
    kept = told["kept"]["detections"]
    assert (kept["found"], kept["of"]) == (14, 28), "one of two objects in each of 14 pictures"
    by_label = {row["label"]: row["networks"]["B"] for row in _classes(told)}
    assert by_label["vehicle"]["found"] == 0
    assert by_label["pedestrian"]["found"] == by_label["pedestrian"]["of"] == 14
    html = page.read_text()
    assert html.count("<image") >= 6
    assert "vehicle 1.00: lost" in html
    assert "vehicle 1.00: missing" in html
    for frame in told["evaluations"]["detections"]["worst_frames"]:
        assert frame["name"] in html


def _classes(told: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = told["evaluations"]["detections"]["by_class"]
    return rows


def test_the_limit_decides_the_exit(brakepoint: Command, given: dict[str, Path]) -> None:
    both = ("compare", given["a"], given["b"], "--frames", given["frames"])
    read = ("--mission", given["mission"])
    assert brakepoint(*both, *read, "--max-loss", 0.5)[0] == 0
    code, _, err = brakepoint(*both, *read, "--max-loss", 0.4)
    assert code == 1
    assert "50.0% lost" in err
    assert brakepoint(*both, "--max-loss", 0.4)[0] == 2  # raw outputs say nothing of answers


def test_a_file_against_itself_is_equal_in_every_bit(
    brakepoint: Command, given: dict[str, Path]
) -> None:
    told = compared(brakepoint, given["a"], given["a"], "--frames", given["frames"])
    assert told["worst"] == []
    assert [(one["max_abs"], one["snr_db"]) for one in told["outputs"]] == [(0.0, None)]


def test_without_a_mission_raw_outputs_are_compared_worst_frames_first(
    brakepoint: Command, given: dict[str, Path], tmp_path: Path
) -> None:
    """One picture has far more blue than the others: there B is furthest from A."""
    road = tmp_path / "road"
    road.mkdir()
    for row in range(4):
        image = np.full((SIDE, SIDE, 3), 40, np.uint8)
        image[: 16 * (4 if row == 2 else 1), :16] = (255, 0, 0)
        cv2.imwrite(str(road / f"{row}.png"), image)
    page = tmp_path / "page.html"
    fed = ("--mean", 0, "--std", 1)
    told = compared(brakepoint, given["a"], given["b"], "--frames", road, *fed, "--out", page)
    assert told["kept"] == {}
    assert told["worst"][0]["name"] == "2.png"
    ratios = [frame["apart"]["y"] for frame in told["worst"]]
    assert ratios == sorted(ratios, reverse=True)
    assert "2.png" in page.read_text()


def pixels(step: float, *, kind: int = TensorProto.FLOAT) -> ModelProto:
    """A network whose input is quantized in steps of `step`."""
    return tiny(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            node("Conv", ["d", "w"], ["y"]),
        ],
        {"s": np.float32(step), "z": np.int8(0), "w": weights(2, 3, 1, 1)},
    )


@pytest.mark.parametrize(
    ("step", "fed"), [(1.0 / 127, "/ 255"), (255.0 / 127, "/ 1"), (2.6 / 127, "- 114.5) / 57.6")]
)
def test_what_the_pair_at_the_input_covers_says_how_pixels_are_fed(
    brakepoint: Command, tmp_path: Path, given: dict[str, Path], step: float, fed: str
) -> None:
    floating = tiny([node("Conv", ["x", "w"], ["y"])], {"w": weights(2, 3, 1, 1)})
    a, b = written(tmp_path / "a.onnx", floating), written(tmp_path / "b.onnx", pixels(step))
    told = compared(brakepoint, a, b, "--frames", given["frames"])
    assert fed in told["fed"]
    assert told["outputs"][0]["snr_db"] > 20.0


def test_without_a_pair_the_way_by_which_they_agree_most_is_taken_and_said(
    brakepoint: Command, tmp_path: Path, given: dict[str, Path]
) -> None:
    """Behind the first layer B rounds in steps that suit pixels 0..255."""
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["y"])]
    a = written(tmp_path / "a.onnx", tiny(nodes, {"w": weights(2, 3, 1, 1)}))
    steps = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("QuantizeLinear", ["r", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    constants = {"w": weights(2, 3, 1, 1), "s": np.float32(1.0), "z": np.int8(0)}
    b = written(tmp_path / "b.onnx", tiny(steps, constants))
    told = compared(brakepoint, a, b, "--frames", given["frames"])
    assert "(pixel - 0) / 1, by which B is nearest to A" in told["fed"]


def test_masks(brakepoint: Command, tmp_path: Path) -> None:
    mission = write_mask_mission(tmp_path / "m")
    other = mask_network()
    for one in other.graph.initializer:
        if one.name == "bias":  # sky wins where the road was
            one.CopyFrom(onnx.numpy_helper.from_array(np.float32([-50.0, 0.0, 0.0]), "bias"))
    b = written(tmp_path / "b.onnx", other)
    page = tmp_path / "page.html"
    told = compared(
        brakepoint,
        *(tmp_path / "m" / "network.onnx", b, "--frames", tmp_path / "m" / "road" / "images"),
        *("--mission", mission, "--out", page),
    )
    assert told["kept"]["mask"]["mean_iou"] < 0.9
    assert "of pixels changed" in page.read_text()


class TestRefusals:
    def refused(self, brakepoint: Command, code: int, *arguments: object) -> str:
        found, _, err = brakepoint("compare", *arguments)
        assert found == code, err
        return " ".join(err.split())

    def test_what_is_no_network(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        frames = ("--frames", given["frames"])
        text = tmp_path / "text.onnx"
        text.write_text("this is no network")
        cut = tmp_path / "cut.onnx"
        cut.write_bytes(given["a"].read_bytes()[:300])
        empty = tmp_path / "empty.onnx"
        empty.write_bytes(b"")
        for wrong in (text, cut, empty):
            assert str(wrong) in self.refused(brakepoint, 2, given["a"], wrong, *frames)
            assert str(wrong) in self.refused(brakepoint, 2, wrong, given["a"], *frames)
        self.refused(brakepoint, 3, given["a"], tmp_path / "none.onnx", *frames)

    def test_frames_that_are_not_there(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        both = (given["a"], given["b"])
        assert "--frames FOLDER" in self.refused(brakepoint, 2, *both)
        assert "--frames FOLDER" in self.refused(brakepoint, 2, given["a"])
        (tmp_path / "nothing").mkdir()
        self.refused(brakepoint, 3, *both, "--frames", tmp_path / "nothing")
        self.refused(brakepoint, 3, *both, "--frames", tmp_path / "none")

    def test_a_network_and_an_evaluation(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        (tmp_path / "e.json").write_text("{}")
        told = self.refused(
            brakepoint, 2, given["a"], tmp_path / "e.json", "--frames", given["frames"]
        )
        assert "A.onnx B.onnx" in told

    def test_other_inputs_or_outputs(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        frames = ("--frames", given["frames"])
        conv = [node("Conv", ["x", "w"], ["y"])]
        small = tiny(conv, {"w": weights(2, 3, 1, 1)}, inputs={"x": (1, 3, 32, 32)})
        other = written(tmp_path / "small.onnx", small)
        assert "different inputs" in self.refused(brakepoint, 2, given["a"], other, *frames)
        same = tiny(conv, {"w": weights(2, 3, 1, 1)}, inputs={"x": (1, 3, SIDE, SIDE)})
        other = written(tmp_path / "same.onnx", same)
        assert "different outputs" in self.refused(brakepoint, 2, given["a"], other, *frames)
        flat = tiny([node("Relu", ["x"], ["y"])], inputs={"x": (1, 8)})
        other = written(tmp_path / "flat.onnx", flat)
        assert "does not take one picture" in self.refused(brakepoint, 2, other, other, *frames)
        two = tiny([node("Add", ["x", "k"], ["y"])], inputs={"x": (1, 3, 8, 8), "k": (1, 3, 8, 8)})
        other = written(tmp_path / "two.onnx", two)
        assert "does not take one picture" in self.refused(brakepoint, 2, other, other, *frames)

    def test_a_size_that_is_open_is_asked_for(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        free = tiny(
            [node("Conv", ["x", "w"], ["y"])],
            {"w": weights(2, 3, 1, 1)},
            inputs={"x": ("n", 3, "h", "w")},
        )
        path = written(tmp_path / "free.onnx", free)
        both = (path, path, "--frames", given["frames"])
        assert "--size" in self.refused(brakepoint, 2, *both)
        assert "640x384" in self.refused(brakepoint, 2, *both, "--size", "wide")
        assert brakepoint("compare", *both, "--size", "48x32")[0] == 0

    def test_one_that_does_not_fit_the_mission(
        self, brakepoint: Command, given: dict[str, Path], tmp_path: Path
    ) -> None:
        same = tiny(
            [node("Conv", ["x", "w"], ["y"])],
            {"w": weights(2, 3, 1, 1)},
            inputs={"x": (1, 3, SIDE, SIDE)},
        )
        path = written(tmp_path / "same.onnx", same)
        read = ("--frames", given["frames"], "--mission", given["mission"])
        assert "does not fit the mission" in self.refused(brakepoint, 2, given["a"], path, *read)


def test_channels_last_bytes_and_halves_are_fed_as_they_are(
    brakepoint: Command, given: dict[str, Path], tmp_path: Path
) -> None:
    def network(kind: int, *, last: bool) -> ModelProto:
        shape = (1, SIDE, SIDE, 3) if last else (1, 3, SIDE, SIDE)
        nodes = [
            node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            *([node("Transpose", ["f"], ["t"], perm=[0, 3, 1, 2])] if last else []),
            node("Conv", ["t" if last else "f", "w"], ["y"]),
        ]
        model = tiny(nodes, {"w": weights(2, 3, 1, 1)}, inputs={"x": shape})
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, shape))
        return model

    for number, (kind, last) in enumerate(
        [(TensorProto.UINT8, True), (TensorProto.UINT8, False), (TensorProto.FLOAT16, False)]
    ):
        path = written(tmp_path / f"{number}.onnx", network(kind, last=last))
        told = compared(brakepoint, path, path, "--frames", given["frames"])
        assert told["outputs"][0]["max_abs"] == 0.0


def test_lint_says_that_answers_were_not_judged_and_its_command_does(
    brakepoint: Command, given: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert brakepoint("convert", given["mission"], "--out", out)[0] == 0
    code, told, _ = brakepoint("lint", out / "int8.onnx")
    assert code == 0
    assert "was not judged" in told
    command = json.loads(brakepoint("lint", out / "int8.onnx", "--json")[1])["answers"]["command"]
    assert command in " ".join(told.split())
    places = {"FLOAT.onnx": out / "float.onnx", "FOLDER": given["frames"]}
    words = [places.get(word, word) for word in shlex.split(command)[1:]]
    assert brakepoint(*words)[0] == 0
