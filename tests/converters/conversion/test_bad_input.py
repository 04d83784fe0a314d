"""What a user may give wrong, through the command line: one message with expected, found and what
to do, the exit code of docs/cli.md, and nothing written.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_torch
import torch
from tiny_graphs import node, tiny
from tiny_mission import SIDE, detector, write_road

from converters.conversion.convert import STORE, convert
from edge.contract.mission.loading import load_mission

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tiny_mission: Path, tmp_path: Path) -> Path:
    """A copy of the mission that may be damaged."""
    return Path(shutil.copytree(tiny_mission.parent, tmp_path / "mission"))


def refused(brakepoint: Command, folder: Path, *more: str) -> tuple[int, str]:
    out = folder / "out"
    code, printed, err = brakepoint("convert", folder / "mission.toml", "--out", out, *more)
    assert printed == ""
    assert err.count("brakepoint: ") == 1
    for part in ("expected:", "found:", "to mend:"):
        assert err.count(part) == 1, err
    left = [path.name for path in out.iterdir()] if out.exists() else []
    assert left in ([], [STORE]), "what was made before may be kept, nothing is written"
    return code, err


def damaged_model(folder: Path, how: str) -> None:
    path = folder / "tiny.onnx"
    whole = path.read_bytes()
    model = onnx.load_from_string(whole)
    if how == "missing":
        path.unlink()
        return
    if how == "unknown operators":
        model.graph.node[1].op_type = "Imagined"
    elif how == "another size":
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2 * SIDE
    elif how == "one label less":
        model = onnx.shape_inference.infer_shapes(detector(2))
    elif how == "a box head without classes":
        model = tiny([node("Relu", ["x"], ["y"])], inputs={"x": (1, 3, SIDE, SIDE)})
    elif how == "nothing to quantize":
        model.graph.node.remove(model.graph.node[0])
        model = tiny(
            [
                node("ReduceMean", ["x", "axes"], ["m"], keepdims=0),
                node("Expand", ["m", "shape"], ["y"]),
            ],
            {"axes": np.array([0, 1, 2, 3]), "shape": np.array([1, 16, 7])},
            inputs={"x": (1, 3, SIDE, SIDE)},
        )
    elif how == "a size nobody knows":
        model = detector()
        model.graph.node.extend(
            [
                node("NonZero", ["r"], ["places"], name="where"),
                node("Shape", ["places"], ["count"]),
                node("Cast", ["count"], ["floats"], to=1),
                node("ReduceSum", ["floats"], ["sum"], keepdims=0),
                node("Mul", ["sum", "none"], ["zero"]),
                node("Add", ["raw", "zero"], ["y"]),
            ]
        )
        model.graph.node[4].output[0] = "raw"
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.0), "none"))
    elif how == "not a number":
        model.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(np.full((4, 3, 4, 4), np.nan, np.float32), "averages")
        )
    path.write_bytes(
        {"truncated": whole[:500], "empty": b"", "a picture": b"\xff\xd8\xff\xe0 JFIF" * 40}.get(
            how, onnx.shape_inference.infer_shapes(model).SerializeToString()
        )
    )


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("missing", 3, "--set model.file=PATH"),
        ("truncated", 2, "is not a whole ONNX model"),
        ("empty", 2, "is not a whole ONNX model"),
        ("a picture", 2, "is not a whole ONNX model"),
        ("unknown operators", 2, "ai.onnx::Imagined (1)"),
        ("another size", 2, "does not take the mission's picture"),
        ("one label less", 2, "labels"),
        ("a box head without classes", 2, "(1, 16, 7)"),
        ("nothing to quantize", 2, "can be quantized"),
        ("not a number", 2, "192 of 192 in 'averages' of Conv"),
        ("a size nobody knows", 2, "NonZero 'where' makes, is not known"),
    ],
)
def test_models(brakepoint: Command, folder: Path, how: str, code: int, words: str) -> None:
    damaged_model(folder, how)
    found, err = refused(brakepoint, folder)
    assert found == code
    assert words in err


def damaged_road(folder: Path, how: str) -> list[str]:
    road = folder / "road"
    one = sorted(road.iterdir())[0]
    if how == "gone":
        shutil.rmtree(road)
    elif how == "empty":
        shutil.rmtree(road)
        road.mkdir()
    elif how == "too few":
        shutil.rmtree(road)
        write_road(road, count=11)
    elif how == "one is cut":
        for picture in road.iterdir():
            picture.write_bytes(picture.read_bytes()[:-200])
    elif how == "one is text":
        for picture in road.iterdir():
            picture.write_text("a text\n" * 99 + "IEND")
    elif how == "no table":
        return ["--set", "data.table=labels.csv", "--set", "data.group=drive"]
    else:
        header = "file,weather" if how == "no column" else "file,drive"
        name = "none.png" if how == "no picture" else one.name
        (road / "labels.csv").write_text(f"{header}\n{name},1\n")
        return ["--set", "data.table=labels.csv", "--set", "data.group=drive"]
    return []


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("gone", 3, "no such folder"),
        ("empty", 3, "an empty folder"),
        ("too few", 2, "11 frames in 11 groups"),
        ("one is cut", 3, "end in the middle of the picture"),
        ("one is text", 3, "that are no picture"),
        ("no table", 3, "cannot read the table"),
        ("no column", 2, "has no column 'drive'"),
        ("no picture", 2, "line 2"),
        ("one group", 2, "1 frames in 1 groups"),
    ],
)
def test_road_frames(brakepoint: Command, folder: Path, how: str, code: int, words: str) -> None:
    more = damaged_road(folder, how)
    found, err = refused(brakepoint, folder, *more)
    assert found == code
    assert words in err


@pytest.mark.parametrize("when", ["calibrated on", "held back"])
def test_a_bad_picture_is_found_wherever_it_lies(
    brakepoint: Command, folder: Path, when: str
) -> None:
    """Not the first of its side, which is looked at early."""
    out = folder / "other"
    assert brakepoint("convert", folder / "mission.toml", "--out", out)[0] == 0
    report = json.loads((out / "report.json").read_text())
    frames = report["calibration" if when == "calibrated on" else "held_back"]["frames"]
    victim = folder / "road" / frames[-1]
    victim.write_bytes(victim.read_bytes()[:-200])
    code, err = refused(brakepoint, folder)
    assert code == 3
    assert victim.name in err


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("no weights", 3, "brakepoint train"),
        ("cut weights", 2, "is not a file of weights"),
        ("branching", 2, "cannot be exported"),
        ("other", 2, "holds the weights of another network"),
        ("failing", 2, "no network for 3"),
        ("no such module", 2, "no_such_module"),
    ],
)
def test_factories(brakepoint: Command, folder: Path, how: str, code: int, words: str) -> None:
    path = folder / "mission.toml"
    factory = "no_such_module:tiny" if how == "no such module" else "tiny_torch:tiny"
    if how in ("branching", "failing"):
        factory = f"tiny_torch:{how}"
    origin = f'factory = "{factory}"\nweights = "weights.pt"'
    path.write_text(path.read_text().replace('file = "tiny.onnx"', origin))
    network = tiny_torch.other(3) if how == "other" else tiny_torch.tiny(3)
    torch.save(network.state_dict(), folder / "weights.pt")
    if how == "no weights":
        (folder / "weights.pt").unlink()
    elif how == "cut weights":
        (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:700])
    found, err = refused(brakepoint, folder)
    assert found == code
    assert words in err


def test_a_mission_with_five_mistakes_lists_all_with_their_keys(
    brakepoint: Command, folder: Path
) -> None:
    path = folder / "mission.toml"
    text = path.read_text()
    for old, new in (
        ("infer_ms = 40", "infer_ms = -3"),
        ('kind = "roadnet"', 'kind = "yolo"'),
        ("fps = 25", "fsp = 25"),
        ("frames = 8", "frames = 2"),
        ("baud = 115200", 'baud = "fast"'),
    ):
        text = text.replace(old, new)
    path.write_text(text)
    for verb in (("mission", "check", path), ("convert", path, "--out", folder / "out")):
        code, _, err = brakepoint(*verb)
        assert code == 2
        for key in (
            "budget.infer_ms",
            "model.decode.kind",
            "camera.fsp",
            "calibration.frames",
            "link.baud",
        ):
            assert key in err
    assert not (folder / "out").exists()


@pytest.fixture(scope="module")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    convert(load_mission(tiny_mission), out, progress=lambda *_: None)
    return out


class TestRun:
    def refused(
        self, brakepoint: Command, mission: Path, out: Path, port: object, source: object
    ) -> tuple[int, str]:
        code, printed, err = brakepoint(
            "run", mission, "--from", out, "--port", port, "--source", source
        )
        assert printed == ""
        assert "to mend:" in err
        return code, err

    def test_a_port_that_does_not_exist(
        self, brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
    ) -> None:
        port = tmp_path / "ttyACM0"
        road = tiny_mission.parent / "road"
        code, err = self.refused(brakepoint, tiny_mission, converted, port, road)
        assert code == 5
        assert "does not exist" in err

    def test_a_port_that_another_program_holds(
        self, brakepoint: Command, tiny_mission: Path, converted: Path
    ) -> None:
        ours, theirs = os.openpty()
        try:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            code, err = self.refused(
                brakepoint,
                tiny_mission,
                converted,
                os.ttyname(theirs),
                tiny_mission.parent / "road",
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert code == 5
        assert "held by another program" in err

    def test_a_port_behind_which_nobody_answers(
        self, brakepoint: Command, tiny_mission: Path, converted: Path
    ) -> None:
        ours, theirs = os.openpty()
        try:
            code, err = self.refused(
                brakepoint,
                tiny_mission,
                converted,
                os.ttyname(theirs),
                tiny_mission.parent / "road",
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert code == 5
        assert "found:" in err
