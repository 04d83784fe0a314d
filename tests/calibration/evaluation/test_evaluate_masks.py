"""`evaluate` and `compare` of segmentation networks: known figures; bad masks are one message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mask_road import FRAMES, HIGH, WIDE, network, true_rows, write_mission
from onnx import ModelProto, numpy_helper

CLI = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "mission")


def worse(model: ModelProto) -> ModelProto:
    """The same network, a little too fond of vehicles."""
    (bias,) = [one for one in model.graph.initializer if one.name == "bias"]
    values = np.float32([4.0, 3.0, 0.0])
    bias.CopyFrom(numpy_helper.from_array(values, "bias"))
    return model


def told(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "evaluation-model.json").read_text())
    return document


def evaluated(brakepoint: CLI, mission: Path, out: Path, model: ModelProto, *more: object) -> Any:
    file = out.with_suffix(".onnx")
    file.write_bytes(model.SerializeToString())
    code, _, err = brakepoint("evaluate", mission, "--model", file, "--out", out, *more)
    assert code == 0, err
    return told(out)


def test_a_network_that_is_right_everywhere_is_told_so(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    found = evaluated(brakepoint, mission, tmp_path / "out", network(), "--folds", 2)
    assert found["task"] == "segmentation"
    assert found["overall"]["mean IoU"]["value"] == 1.0
    assert found["overall"]["count"] == FRAMES * HIGH * (WIDE - 2)  # where anybody knows
    assert {row["name"]: row["IoU"]["value"] for row in found["by_class"]} == dict.fromkeys(
        ("road", "vehicle", "sky"), 1.0
    )
    conditions = {row["name"]: row["frames"] for row in found["by_condition"]}
    assert conditions["weather clear"] == conditions["weather rain"] == FRAMES // 2
    assert len(found["folds"]["mean IoU"]["each"]) == 2


def test_iou_is_that_of_pixels_counted_by_hand(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    """Two wrong vehicles painted into masks cost what the areas say."""
    road = mission.parent / "road"
    file = road / "masks" / "000.png"
    ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    ids[:8, 8:28] = 2
    cv2.imwrite(str(file), ids)
    found = evaluated(brakepoint, mission, tmp_path / "out", network())
    rows = np.stack([true_rows(road, f"{number:03}.png") for number in range(FRAMES)])
    vehicles, sky = int((rows == 1).sum()), int((rows == 2).sum())
    by_class = {row["name"]: row["IoU"] for row in found["by_class"]}
    assert by_class["vehicle"]["value"] == pytest.approx((vehicles - 160) / vehicles)
    assert by_class["sky"]["value"] == pytest.approx(sky / (sky + 160))
    mean = (by_class["vehicle"]["value"] + by_class["sky"]["value"] + 1.0) / 3
    assert found["overall"]["mean IoU"]["value"] == pytest.approx(mean)
    assert found["overall"]["mean IoU"]["low"] <= mean <= found["overall"]["mean IoU"]["high"]
    assert found["frames"][0]["missed"] == 160
    names = found["confusion"]["labels"]
    assert found["confusion"]["counts"][names.index("vehicle")][names.index("sky")] == 160


def test_frames_go_through_a_letterbox_and_back(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    """Pictures of twice the size, as wide as they are high: padding is no part of any label."""
    road = mission.parent / "road"
    for folder in ("images", "masks"):
        for path in (road / folder).iterdir():
            image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cut = np.ascontiguousarray(image[:, :HIGH])
            big = cv2.resize(cut, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(path), big)
    found = evaluated(brakepoint, mission, tmp_path / "out", network())
    assert found["overall"]["count"] == FRAMES * 2 * HIGH * 2 * (HIGH - 2)
    assert found["overall"]["mean IoU"]["value"] == pytest.approx(1.0, abs=0.02)


def test_networks_that_end_with_argmax_or_have_several_heads(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    for row, (model, more) in enumerate(
        (
            (network(ids=True), ()),
            (network(heads=2), ("--set", "model.decode.output=ground")),
            (network(heads=2), ("--set", 'model.decode.output="1"')),
        )
    ):
        found = evaluated(brakepoint, mission, tmp_path / f"out{row}", model, *more)
        assert found["overall"]["mean IoU"]["value"] == 1.0
    code, _, err = brakepoint("evaluate", mission, "--model", tmp_path / "out1.onnx")
    assert code == 2
    assert "model.decode.output: marking, ground" in err


def test_what_a_worse_network_loses(mission: Path, brakepoint: CLI, tmp_path: Path) -> None:
    good = evaluated(brakepoint, mission, tmp_path / "a", network())
    bad = evaluated(brakepoint, mission, tmp_path / "b", worse(network()))
    files = [tmp_path / name / "evaluation-model.json" for name in ("a", "b")]
    code, out, err = brakepoint("compare", *files, "--json")
    assert code == 0, err
    found = json.loads(out)
    loss = good["overall"]["mean IoU"]["value"] - bad["overall"]["mean IoU"]["value"]
    assert found["score"]["loss"] == pytest.approx(loss)
    assert loss >= 0.0
    assert found["unit"] == "pixels"
    code, out, _ = brakepoint("compare", *files)
    assert code == 0
    assert "mean IoU 1.000" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pixels": [[7, 1, 1, 1]]}, (4, "no 'judged label 7'")),
        ({"objects": [[0, 1]]}, (2, "changed by hand")),
    ],
)
def test_an_evaluation_changed_by_hand_is_one_message(
    change: dict[str, Any],
    said: tuple[int, str],
    mission: Path,
    brakepoint: CLI,
    tmp_path: Path,
) -> None:
    document = evaluated(brakepoint, mission, tmp_path / "a", network())
    document["frames"][3].update(change)
    changed = tmp_path / "changed.json"
    changed.write_text(json.dumps(document))
    code, _, err = brakepoint("compare", tmp_path / "a" / "evaluation-model.json", changed)
    assert code == said[0]
    assert said[1] in err


def test_the_same_masks_by_other_names_are_another_truth(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    evaluated(brakepoint, mission, tmp_path / "a", network())
    names = "id,name\n0,car\n1,road\n2,sky\n"
    (mission.parent / "road" / "class_names.csv").write_text(names)
    evaluated(brakepoint, mission, tmp_path / "b", network())
    files = [tmp_path / name / "evaluation-model.json" for name in ("a", "b")]
    code, _, err = brakepoint("compare", *files)
    assert code == 2
    assert "different data" in err


def test_a_mask_that_says_nothing_names_no_label(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    road, lock = mission.parent / "road", tmp_path / "dataset.lock.json"
    cv2.imwrite(str(road / "masks" / "003.png"), np.full((HIGH, WIDE), 255, np.uint8))
    (road / "class_names.csv").write_text("id,name\n0,heaven\n1,road\n2,car\n")
    assert brakepoint("data", "lock", road, "--out", lock)[0] == 0
    found = [
        evaluated(brakepoint, mission, tmp_path / "out", network(), "--data", data)
        for data in (road, lock)
    ]
    assert [one["judged"] for one in found] == [[0, 1], [0, 1]]
    assert found[0]["data"]["digest"] == found[1]["data"]["digest"]


def test_the_page_lays_labels_over_the_worst_frames(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    for path in (mission.parent / "road" / "masks").iterdir():
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ids[:4, 8:16] = 2
        cv2.imwrite(str(path), ids)
    evaluated(brakepoint, mission, tmp_path / "out", network())
    page = (tmp_path / "out" / "worst.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * 12  # truth and network
    assert "% of 2976 pixels wrong, most vehicle taken for sky (32)" in page


def test_a_lock_binds_the_masks(mission: Path, brakepoint: CLI, tmp_path: Path) -> None:
    road, lock = mission.parent / "road", tmp_path / "dataset.lock.json"
    assert brakepoint("data", "lock", road, "--out", lock)[0] == 0
    record = json.loads(lock.read_text())["records"][0]
    assert record["mask"]["file"] == "masks/000.png"
    assert record["mask"]["names"] == [[0, "sky"], [1, "road"], [2, "car"]]
    model = ("--model", mission.parent / "network.onnx")
    assert brakepoint("evaluate", mission, *model, "--data", lock)[0] == 0
    file = road / "masks" / "003.png"
    ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    ids[0, 9] = 1
    cv2.imwrite(str(file), ids)
    code, _, err = brakepoint("evaluate", mission, *model, "--data", lock)
    assert code == 4
    assert "masks/003.png is not the mask that was locked" in err
    code, _, err = brakepoint(
        "evaluate", mission, *model, "--data", road, "--set", f"data.lock={lock}"
    )
    assert code == 0, err
    code, out, _ = brakepoint("data", "check", lock)
    assert code == 1
    assert "masks/003.png" in out


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ids: ids[:-4], "64 x 44 for a picture of 64 x 48"),
        (lambda ids: np.where(ids == 2, 7, ids), "7"),
        (lambda ids: np.dstack([ids] * 3), "8-bit colour, not label ids"),
        (lambda ids: ids.astype(np.uint16), "16-bit grey, not label ids"),
    ],
)
def test_masks_that_cannot_be_meant(
    spoil: Callable[[Any], Any], said: str, mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    road = mission.parent / "road"
    file = road / "masks" / "004.png"
    ids = spoil(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))
    cv2.imwrite(str(file), np.ascontiguousarray(ids))
    code, out, _ = brakepoint("data", "check", road)
    assert code == 1
    assert "1 mask cannot be meant" in out
    assert said in out
    lock = tmp_path / "lock.json"
    code, _, err = brakepoint("data", "lock", road, "--out", lock)
    assert code == 2
    assert said in err
    assert not lock.exists()
    code, _, err = brakepoint("evaluate", mission, "--model", mission.parent / "network.onnx")
    assert code == 2
    assert "masks/004.png" in err
    assert said in err
