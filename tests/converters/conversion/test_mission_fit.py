"""`mission check` opens the model and compares it with the mission."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from patience import PATIENCE_S
from tiny_mission import LABELS, detector, write_mission

from converters.conversion.mission_fit import fit_of
from edge.contract.mission.loading import load_mission
from firmware_bridge.errors import UsageError


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "road")


def check(mission: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "mission", "check", str(mission), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


def test_a_model_that_fits_is_told_with_its_shapes(mission: Path) -> None:
    done = check(mission)
    assert done.returncode == 0, done.stderr
    assert "an ONNX model: takes [1, 3, 64, 64], puts out detections [1, 16, 7]" in done.stdout


def with_input(element: int) -> ModelProto:
    """The detector behind a cast from another type of picture."""
    model = detector()
    model.graph.input[0].type.tensor_type.elem_type = element
    model.graph.node[0].input[0] = "as_float"
    model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["as_float"], to=TensorProto.FLOAT))
    return model


def nan_detector() -> ModelProto:
    model = detector()
    bias = next(value for value in model.graph.initializer if value.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.float32([np.inf] * 7), "bias"))
    return model


def test_a_model_that_does_not_fit_is_refused_before_the_mission_is_called_ok(
    mission: Path,
) -> None:
    for name, (settings, words) in {
        "labels": (['model.labels=["pedestrian","vehicle"]'], "different labels"),
        "strides": (["model.decode.strides=[8]"], "is not what the mission reads"),
        "decoder": (["model.decode.kind=yolox"], "detections"),
        "size": (["model.input.width_px=128"], "does not take the mission's picture"),
        "outputs": (
            ['model.condition={labels=["dry","wet"],score_threshold=0.6}'],
            "another number of outputs",
        ),
    }.items():
        with pytest.raises(UsageError) as refused:
            fit_of(load_mission(mission, settings))
        assert words in str(refused.value), name
    done = check(mission, "--set", 'model.labels=["pedestrian","vehicle"]')
    assert done.returncode == 2
    assert done.stdout == ""
    assert "give the 3 labels of the model" in done.stderr


def test_an_input_of_another_type_and_numbers_that_are_none_are_refused(mission: Path) -> None:
    for model in (with_input(TensorProto.INT8), nan_detector()):
        onnx.save(model, mission.parent / "tiny.onnx")
        with pytest.raises(UsageError):
            fit_of(load_mission(mission))


def test_outputs_that_the_decoder_cannot_read_are_noted(mission: Path) -> None:
    wide = detector(labels=len(LABELS) + 1)  # as many values as YOLOX has for three labels
    onnx.save(wide, mission.parent / "tiny.onnx")
    fit = fit_of(load_mission(mission, ["model.decode.kind=yolox"]))
    assert fit is not None
    assert fit.outputs == {"detections": (1, 16, 8)}
    raw = detector(labels=len(LABELS) + 1)
    bias = next(value for value in raw.graph.initializer if value.name == "bias")
    bias.CopyFrom(numpy_helper.from_array(np.float32([0.5] * 4 + [6.0] * 4), "bias"))
    onnx.save(raw, mission.parent / "tiny.onnx")
    fit = fit_of(load_mission(mission, ["model.decode.kind=yolox"]))
    assert fit is not None
    assert "scores above 1" in "".join(fit.notes)


def test_what_is_not_there_or_not_to_be_opened_is_said(mission: Path) -> None:
    (mission.parent / "tiny.onnx").unlink()
    done = check(mission)
    assert done.returncode == 0
    assert "not checked: no such file yet" in done.stdout
    factory = (
        "model={factory='net_beside:make',labels=['a','b','c'],input={width_px=64,height_px=64},"
    )
    factory += (
        "preprocess={fit='stretch',color='rgb'},decode={kind='classify',score_threshold=0.5}}"
    )
    rules = "policy.rules=[{name='a',why='b',when={scene='a',confidence=0.5},confirm={k=1,of=1},"
    rules += "action='NOTIFY',clear='when_gone'}]"
    ran = mission.parent / "ran"
    (mission.parent / "net_beside.py").write_text(f"open({str(ran)!r}, 'w')\ndef make(n): ...\n")
    settings = ("--set", factory, "--set", rules)
    left = check(mission, *settings, "--file-only")
    assert left.returncode == 0, left.stderr
    assert "not checked: --file-only" in left.stdout
    assert not ran.exists()
    opened = check(mission, *settings)
    assert opened.returncode == 2
    assert "makes no network" in opened.stderr
    assert ran.exists()


def test_what_a_person_may_not_have_meant_is_noted(mission: Path) -> None:
    done = check(
        mission,
        *("--set", "policy.zones.left=[[0.0,0.5],[0.4,0.5],[0.4,1.0]]"),
        *("--set", "model.decode.score_threshold=0.7"),
    )
    assert done.returncode == 0, done.stderr
    assert "no rule asks for zone 'left'" in done.stdout
    assert "dropped before" in done.stdout


@pytest.mark.parametrize("second", [True, False])
def test_another_number_of_outputs_is_mended_by_what_such_a_network_has(
    second: bool, mission: Path
) -> None:
    model = detector()
    settings = ['model.condition={labels=["dry","wet"],score_threshold=0.6}']
    if second:
        model.graph.output.append(helper.make_tensor_value_info("r", TensorProto.FLOAT, None))
        onnx.save(model, mission.parent / "tiny.onnx")
        settings = []
    with pytest.raises(UsageError) as refused:
        fit_of(load_mission(mission, settings))
    assert ("describe the second head" if second else "take out") in refused.value.remedy
    assert "mask" not in refused.value.remedy
