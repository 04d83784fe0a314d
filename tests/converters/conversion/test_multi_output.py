"""Networks with a condition head, and classifiers, through the whole conversion and the device's
session.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
import two_heads

from converters.conversion.convert import convert
from converters.sources.pytorch.export import export
from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.contract.artifact import read_json, write_json
from edge.contract.clip_truth import TRUTH_SCHEMA
from edge.contract.conversion_output import choose_model
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.data import Clip
from firmware_bridge.errors import NotTrusted, UsageError

CONDITION = {"labels": ("dry", "wet", "snow", "fog"), "score_threshold": 0.6}


def silent(_what: str, _done: int, _of: int) -> None:
    """Progress nobody looks at."""


def mission(root: Path, weights: Path, factory: str, **model: Any) -> Mission:
    """The example's mission for a small network with few frames; `model` replaces keys of it."""
    raw = load_mission(root / "examples" / "roadnet").model_dump()
    raw["train"] = None
    raw["data"]["clips"] = ()  # its stories have hundreds of frames
    raw["model"] |= {"factory": f"two_heads:{factory}", "weights": weights, "condition": None}
    raw["model"]["input"] = {"width_px": 128, "height_px": 64}
    raw["model"]["decode"] |= {"strides": (two_heads.CELL,)}
    raw["model"] |= model
    asked = "scene" if raw["model"]["decode"]["kind"] == "classify" else "label"
    when = {asked: raw["model"]["labels"][0], "confidence": 0.6}
    raw["policy"]["rules"] = [raw["policy"]["rules"][0] | {"when": when}]
    raw["calibration"] |= {"frames": 8, "held_back": 4}
    raw["gates"] = {}
    return Mission.model_validate(raw)


def write_clip(folder: Path) -> Clip:
    """Five dark frames of an empty road, and their truth."""
    fps, size = 25.0, (128, 64)
    writer = cv2.VideoWriter(str(folder / "dark.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for _ in range(5):
        writer.write(np.zeros((size[1], size[0], 3), np.uint8))
    writer.release()
    frames = [{"time_s": index / fps, "objects": []} for index in range(5)]
    write_json(folder / "dark.json", TRUTH_SCHEMA, {"frames": frames})
    return Clip(video=folder / "dark.mp4", truth=folder / "dark.json")


@pytest.fixture(scope="module")
def two(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mission, Path]:
    folder = tmp_path_factory.mktemp("two")
    torch.save(two_heads.two_heads(3, 4).state_dict(), folder / "weights.pt")
    made = mission(root, folder / "weights.pt", "two_heads", condition=CONDITION)
    data = made.data.model_copy(update={"clips": (write_clip(folder),)})
    made = made.model_copy(update={"data": data})
    convert(made, folder / "out", progress=silent)
    return made, folder / "out"


def test_every_artifact_has_both_outputs_under_their_names(two: tuple[Mission, Path]) -> None:
    for name in ("float.onnx", "int8.onnx", "cpu.onnx"):
        graph = onnx.load(two[1] / name).graph
        assert [output.name for output in graph.output] == ["detections", "condition"]


def test_the_report_judges_each_output(two: tuple[Mission, Path]) -> None:
    report = read_json(two[1] / "report.json", "brakepoint.report/2")
    parity = report["parity"]["source -> float.onnx"]
    assert set(parity["outputs"]) == {"detections", "condition"}
    assert parity["max_abs"] == max(one["max_abs"] for one in parity["outputs"].values()) < 1e-3
    condition = report["agreement"]["condition"]
    kept = condition["float.onnx"]
    assert (kept["found"], kept["of"], kept["unreadable_frames"], kept["share"]) == (4, 4, 0, 1.0)
    assert condition["int8.onnx"]["of"] == 4
    stops = report["stops"]["networks"]
    assert {(row["needed"], row["seconds"]) for row in stops.values()} == {(0, 0.2)}


def test_the_device_reads_both_and_they_are_the_sources(two: tuple[Mission, Path]) -> None:
    made, out = two
    session = open_session(
        "onnxruntime", choose_model(out, made, "float"), options=SessionOptions(threads=1)
    )
    assert session.output_shapes == ((1, 8, 7), (1, 4))
    x = np.random.default_rng(0).normal(size=(1, 3, 64, 128)).astype(np.float32)
    with torch.inference_mode():
        wanted = two_heads.two_heads(3, 4).eval()(torch.from_numpy(x))
    for reference, found in zip(wanted, session.infer(x), strict=True):
        np.testing.assert_allclose(found, reference.numpy(), atol=1e-4)


def test_a_gate_on_the_condition_can_fail(two: tuple[Mission, Path], tmp_path: Path) -> None:
    gates = two[0].gates.model_copy(update={"condition_agree_min": 1.0})
    report = convert(two[0].model_copy(update={"gates": gates}), tmp_path / "out", progress=silent)
    verdicts = {gate.name: gate for gate in report.gates}
    assert verdicts["condition_agree_min int8"].passed is (
        report.judgement.condition["int8.onnx"].share == 1.0
    )
    assert "likeliest condition" in verdicts["condition_agree_min cpu"].sentence


def test_other_conditions_are_another_contract(two: tuple[Mission, Path]) -> None:
    made, out = two
    renamed = CONDITION | {"labels": ("dry", "wet", "fog", "snow")}
    model = made.model.model_copy(
        update={"condition": type(made.model.condition).model_validate(renamed)}  # type: ignore[union-attr] # it has one
    )
    with pytest.raises(NotTrusted):
        choose_model(out, made.model_copy(update={"model": model}), "float")


def test_a_classifier_is_judged_by_its_likeliest_label(root: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    torch.save(two_heads.classifier(3).state_dict(), weights)
    made = mission(
        root,
        weights,
        "classifier",
        labels=("city", "rural", "highway"),
        decode={"kind": "classify", "score_threshold": 0.4},
    )
    made = made.model_copy(update={"gates": made.gates.model_copy(update={"found_min": 0.5})})
    report = convert(made, tmp_path / "out", progress=silent)
    verdicts = {gate.name: gate for gate in report.gates}
    assert "likeliest label in" in verdicts["found_min int8"].sentence
    assert report.judgement.found["float.onnx"].share == 1.0
    graph = onnx.load(tmp_path / "out" / "float.onnx").graph
    assert [output.name for output in graph.output] == ["classes"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"condition": None}, "another number of outputs"),
        ({"condition": CONDITION | {"labels": ("dry", "wet")}}, "'condition'"),
        ({"labels": ("pedestrian", "vehicle"), "condition": CONDITION}, "'detections'"),
    ],
    ids=["no second head", "two conditions", "two labels"],
)
def test_a_network_that_does_not_fit_says_which_output(
    root: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    weights = tmp_path / "four.onnx"
    onnx.save(export(two_heads.two_heads(3, 4), (1, 3, 64, 128), ["first", "second"]), weights)
    made = mission(root, weights, "two_heads", **changes)
    origin = {"file": weights, "factory": None, "weights": None}
    made = made.model_copy(update={"model": made.model.model_copy(update=origin)})
    with pytest.raises(UsageError, match=words):
        convert(made, tmp_path / "out", progress=silent)
    assert not (tmp_path / "out").exists()


def test_outputs_in_another_order_are_refused(root: Path, tmp_path: Path) -> None:
    torch.save(two_heads.two_heads(3, 4).state_dict(), tmp_path / "weights.pt")
    made = mission(root, tmp_path / "weights.pt", "swapped", condition=CONDITION)
    with pytest.raises(UsageError, match="'detections'") as refused:
        convert(made, tmp_path / "out", progress=silent)
    assert "the main one first" in refused.value.remedy


def test_a_classifier_that_puts_out_shares_is_refused(root: Path, tmp_path: Path) -> None:
    """Softmax of shares is flat: every frame would be out of distribution."""
    torch.save(two_heads.already_shares(3).state_dict(), tmp_path / "weights.pt")
    made = mission(
        root,
        tmp_path / "weights.pt",
        "already_shares",
        labels=("city", "rural", "highway"),
        decode={"kind": "classify", "score_threshold": 0.4},
    )
    with pytest.raises(UsageError, match="'classes' holds shares") as refused:
        convert(made, tmp_path / "out", progress=silent)
    assert "softmax" in refused.value.remedy
