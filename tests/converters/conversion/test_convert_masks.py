"""`convert` of segmentation networks: choice of the output, removal of an argmax, gates, and one
message for each misfit.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import tomllib
import torch
from hard_networks import inputs, masks_by_name, two_masks
from mask_road import HIGH, STRIDE, WIDE, network, write_mission
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from converters.search.task_loss import LOST, task_loss_measure
from edge.contract.mission.loading import load_mission
from edge.contract.mission.sections.policy import When

CLI = Callable[..., tuple[int, str, str]]


def convert(
    brakepoint: CLI, folder: Path, model: ModelProto | None, *sets: str
) -> tuple[int, str, Path]:
    mission = write_mission(folder, model)
    given = [part for one in sets for part in ("--set", one)]
    code, _, err = brakepoint("convert", mission, "--out", folder / "out", *given)
    return code, err, folder / "out"


def put_out(path: Path) -> dict[str, list[int]]:
    outputs = onnx.load(path).graph.output
    return {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in outputs}


@pytest.mark.parametrize(
    ("model", "sets"),
    [
        (network(), ()),
        (network(ids=True), ()),
        (network(heads=2), ("model.decode.output=ground",)),
        (network(heads=2), ('model.decode.output="1"',)),
    ],
)
def test_the_output_that_is_meant_comes_out_as_logits(
    model: ModelProto, sets: tuple[str, ...], brakepoint: CLI, tmp_path: Path
) -> None:
    both_weathers = "calibration.held_back=7"
    gates = ("gates.accuracy_min=0.99", "gates.worst_condition_min=0.99", both_weathers)
    code, err, out = convert(brakepoint, tmp_path, model, *sets, *gates)
    assert code == 0, err
    shape = [1, 3, HIGH // STRIDE, WIDE // STRIDE]
    for name in ("float.onnx", "int8.onnx", "cpu.onnx"):
        assert put_out(out / name) == {"mask": shape}
    assert "ArgMax" not in {node.op_type for node in onnx.load(out / "float.onnx").graph.node}
    report = json.loads((out / "report.json").read_text())
    assert report["agreement"]["cpu.onnx"]["iou"] == 1.0
    (mask,) = report["evaluation"].values()
    assert {row["label"] for row in mask["by_class"]} == {"road", "vehicle", "sky"}
    assert [row["word"] for row in mask["by_condition"]["weather"]] == ["clear", "rain"]


@pytest.mark.parametrize(
    ("factory", "output", "row"),
    [(two_masks, "0", 0), (masks_by_name, "out", 0), (two_masks, "1", 1)],
)
def test_a_pytorch_network_with_several_outputs(
    factory: Callable[[int], torch.nn.Module],
    output: str,
    row: int,
    brakepoint: CLI,
    tmp_path: Path,
) -> None:
    labels = ["sky", "road", "vehicle"]
    torch.save(factory(len(labels)).state_dict(), tmp_path / "weights.pt")
    mission = write_mission(tmp_path)
    text = mission.read_text().replace(
        'file = "network.onnx"',
        f'factory = "hard_networks:{factory.__name__}"\nweights = "weights.pt"',
    )
    mission.write_text(text.replace("strides = [4]", f'strides = [1]\noutput = "{output}"'))
    given = ["--set", f"model.labels={labels}", "--set", "precision.search=none"]
    code, _, err = brakepoint(
        "convert", mission, "--out", tmp_path / "out", *given, "--set", "gates.found_min=0.0"
    )
    if row == 1:  # the second head has two labels
        assert code == 2
        assert "different labels of pixels" in err
        assert "(1, 2, 48, 64): 2 labels" in err
        return
    assert code == 0, err
    images = np.random.default_rng(0).integers(0, 255, (1, HIGH, WIDE, 3), dtype=np.uint8)
    x = inputs(images)
    made = torch.nn.Module.eval(factory(len(labels)))
    with torch.inference_mode():
        found = made(x)
    wanted = found[output] if isinstance(found, dict) else found[row]
    session = ModelSession((tmp_path / "out" / "float.onnx").read_bytes(), threads=1)
    np.testing.assert_allclose(
        session.run({session.inputs[0]: x.numpy()})[0], wanted.numpy(), atol=1e-4
    )


@pytest.mark.parametrize(
    ("model", "sets", "said"),
    [
        (network(heads=2), (), "model.decode.output"),
        (network(heads=2), ("model.decode.output=lanes",), "marking, ground"),
        (network(heads=2), ("model.decode.output=marking",), "different labels of pixels"),
        (network(softmax=True), (), "take the softmax out"),
        (network(), ("model.decode.strides=[2]",), "for each 2 x 2 pixels"),
    ],
)
def test_what_does_not_fit_is_one_message(
    model: ModelProto, sets: tuple[str, ...], said: str, brakepoint: CLI, tmp_path: Path
) -> None:
    code, err, out = convert(brakepoint, tmp_path, model, *sets)
    assert code == 2
    assert said in err
    assert not out.exists()


def test_a_network_that_is_wrong_fails_its_gates_by_class_and_condition(
    brakepoint: CLI, tmp_path: Path
) -> None:
    write_mission(tmp_path)
    for path in sorted((tmp_path / "road" / "masks").iterdir()):
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ids[:8, 8:40] = 2
        cv2.imwrite(str(path), ids)
    mission = tmp_path / "mission.toml"
    code, _, err = brakepoint(
        *("convert", mission, "--out", tmp_path / "out"),
        *("--set", "gates.class_accuracy_min={vehicle=0.9,road=0.9}"),
        *("--set", "gates.condition_accuracy_min={rain=0.9}"),
        *("--set", "calibration.held_back=7"),  # three drives, some of them in rain
    )
    assert code == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    failed = {gate["name"]: gate["sentence"] for gate in report["gates"] if gate["passed"] is False}
    assert set(failed) == {
        f"{kind} {file}: {what}"
        for file in ("int8", "cpu")
        for kind, what in (("class_accuracy_min", "vehicle"), ("condition_accuracy_min", "rain"))
    }
    assert "has IoU 0." in failed["class_accuracy_min cpu: vehicle"]
    assert "mean IoU 0." in failed["condition_accuracy_min cpu: rain"]
    assert "vehicle" in err


class TestTaskLoss:
    def logits(self, rows: np.ndarray, sure: float = 6.0) -> np.ndarray:
        return np.stack([np.where(rows == label, sure, 0.0) for label in range(3)])[None].astype(
            np.float32
        )

    def test_a_small_thing_that_is_lost_costs_as_much_as_a_large_one(self, tmp_path: Path) -> None:
        measure = task_loss_measure(load_mission(write_mission(tmp_path)).model)
        rows = np.zeros((12, 16), int)
        rows[:6] = 2
        rows[7, 3] = 1  # one cell of a vehicle
        wanted = self.logits(rows)
        same = measure((wanted,), (wanted,))
        assert (same.total, same.weight) == (0.0, 3)
        lost = rows.copy()
        lost[7, 3] = 0
        worse = measure((wanted,), (self.logits(lost),))
        assert 0.3 < worse.mean < 0.4  # a third of what is seen
        unsure = measure((wanted,), (self.logits(rows, 5.5),))
        assert 0.0 < unsure.mean < 0.05
        broken = measure((wanted,), (np.full_like(wanted, np.nan),))
        assert broken.mean == LOST


def test_the_page_on_segmentation_works_as_it_is_written(
    root: Path, brakepoint: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys in a mission, and its commands one after the other."""
    page = (root / "docs" / "segmentation.md").read_text()
    _, _, toml, _, commands, *_ = re.split(r"^```(?:toml)?\n", page, flags=re.MULTILINE)[1:]
    asked = tomllib.loads(toml)
    mission = write_mission(tmp_path)
    given = load_mission(mission)
    assert given.model.labels == tuple(asked["model"]["labels"])
    assert given.model.decode.strides == tuple(asked["model"]["decode"]["strides"])
    assert given.policy.rules[0].when == When(**asked["policy"]["rules"][0]["when"])
    gates = [line for line in toml.split("[gates]\n")[1].split("\n\n")[0].splitlines() if line]
    text = mission.read_text()
    mission.write_text(text.replace("found_min = 0.90", "\n".join(gates)))
    monkeypatch.chdir(tmp_path)
    lines = [line for line in commands.splitlines() if line]
    assert len(lines) == 7
    for line in lines:
        code, _, err = brakepoint(*shlex.split(line)[1:])
        assert code == 0, (line, err)
