"""`brakepoint evaluate` end to end: known figures, and one message for bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_road import FRAMES, write_labelled_road
from tiny_graphs import node, tiny
from tiny_mission import SIDE, write_mission

from edge.cli import main


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "mission")


@pytest.fixture
def road(tmp_path: Path) -> Path:
    return write_labelled_road(tmp_path / "labelled")


def told(out: Path, name: str = "model") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / f"evaluation-{name}.json").read_text())
    return document


def test_a_detector_that_finds_everything_is_told_so(
    mission: Path, road: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    given = ("--model", mission.parent / "tiny.onnx", "--data", road)
    assert call(mission, *given, "--folds", 2, "--out", out) == 0
    found = told(out)
    assert found["schema"] == "brakepoint.evaluation/1"
    assert found["overall"]["AP50"]["value"] == pytest.approx(1.0)
    assert found["overall"]["recall"]["value"] == 1.0
    assert 0.0 < found["overall"]["recall"]["low"] < 1.0
    assert found["overall"]["count"] == 2 * FRAMES
    by_class = {row["name"]: row for row in found["by_class"]}
    assert set(by_class) == {"pedestrian", "vehicle"}  # nobody marked traffic signs
    conditions = {row["name"]: row["frames"] for row in found["by_condition"]}
    assert conditions["weather clear"] == conditions["weather rain"] == FRAMES // 2
    assert found["confusion"]["counts"][0][0] == FRAMES
    assert len(found["folds"]["AP50"]["each"]) == 2
    assert found["data"]["groups"] == 4


def test_what_is_not_found_is_counted_against_it(mission: Path, road: Path, tmp_path: Path) -> None:
    table = road / "labels.csv"
    lines = table.read_text().splitlines()
    first = lines[1].split(",")
    table.write_text("\n".join([*lines, ",".join([*first[:3], "vehicle", "30", "2", "40", "9"])]))
    out = tmp_path / "out"
    assert call(mission, "--model", mission.parent / "tiny.onnx", "--data", road, "--out", out) == 0
    found = told(out)
    assert found["overall"]["recall"]["value"] == pytest.approx(24 / 25)
    assert found["frames"][0]["missed"] == 1
    assert found["confusion"]["counts"][1] == [0, FRAMES, 1]


def test_frames_with_more_detections_than_may_be_kept_are_told(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ("--model", mission.parent / "tiny.onnx", "--data", road, "--out", out)
    assert call(mission, *given) == 0
    assert told(out)["crowded"] == 0
    assert "left out what reaches" not in capsys.readouterr().out
    assert call(mission, *given, "--set", "model.decode.max_detections=1") == 0
    assert told(out)["crowded"] == FRAMES
    assert f"in {FRAMES} frames model.decode.max_detections left out" in " ".join(
        capsys.readouterr().out.split()
    )


def test_the_worst_frames_can_be_looked_at(mission: Path, road: Path, tmp_path: Path) -> None:
    (road / "000.png").rename(road / "a<b>.png")
    table = road / "labels.csv"
    table.write_text(table.read_text().replace("000.png", "a<b>.png"))
    out = tmp_path / "out"
    given = ("--model", mission.parent / "tiny.onnx", "--data", road, "--out", out)
    assert call(mission, *given) == 0
    assert "No mistakes." in (out / "worst.html").read_text()
    lines = table.read_text().splitlines()
    first, second = (line.split(",") for line in (lines[1], lines[3]))
    more = [",".join([*first[:3], "vehicle", "30", f"{y}", "40", f"{y + 7}"]) for y in (2, 12)]
    lines[3] = ",".join([*second[:3], "vehicle", *second[4:]])  # red, and called a vehicle
    lines.append(",".join([*second[:3], "person", "1", "1", "2", "2"]))
    table.write_text("\n".join([*lines, *more]))
    assert call(mission, *given) == 0
    page = (out / "worst.html").read_text()
    assert "2 of 12 frames with a mistake" in page
    assert page.index("001.png") < page.index("a&lt;b&gt;.png")
    assert "tiny.onnx (as given): 2 missed, 1 made up" in page
    assert "tiny.onnx (as given): 2 missed, 0 made up" in page
    assert (page.count('<rect class="missed"'), page.count('<rect class="made-up"')) == (5, 2)
    assert page.count("data:image/jpeg") == 2  # each picture once, however often it is shown
    assert "a<b>" not in page
    assert not re.search(r"https?://|<script|url\(", page)


def test_a_label_the_model_does_not_know_is_left_out_and_told(
    mission: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    road = write_labelled_road(tmp_path / "strange", strange=True)
    assert call(mission, "--model", mission.parent / "tiny.onnx", "--data", road) == 0
    assert "left out: hovercraft (1)" in capsys.readouterr().out


UNFIT = {
    "inside out": ("16,16,0,0", "boxes without an area"),
    "outside of the picture": ("60,0,76,16", "boxes outside of the picture"),
}


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("kind", UNFIT)
def test_boxes_that_data_check_calls_an_error_judge_nobody(
    kind: str, locked: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    box, words = UNFIT[kind]
    mission = write_mission(tmp_path / "mission")
    road = write_labelled_road(tmp_path / "labelled")
    table = road / "labels.csv"
    table.write_text(table.read_text() + f"002.png,0,sunny,person,{box}\n")
    data: Path = road
    if locked:
        data = tmp_path / "road.lock.json"
        with pytest.raises(SystemExit):
            main(["data", "lock", str(road), "--out", str(data)])
    out = tmp_path / "out"
    given = ("--model", mission.parent / "tiny.onnx", "--data", data, "--out", out)
    assert call(mission, *given) == 2
    said = capsys.readouterr().err
    assert f"002.png: {words}" in said
    assert "data check" in said
    assert not out.exists()


@pytest.mark.parametrize("locked", [False, True])
def test_pictures_of_another_size_than_their_labels_judge_nobody(
    locked: bool, mission: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "coco"
    write_labelled_road(root)
    (root / "labels.csv").unlink()
    document = {
        "images": [
            {"id": row, "file_name": f"{row:03}.png", "width": "128", "height": 128.0}
            for row in range(FRAMES)
        ],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 1, "bbox": [0, 0, 16, 16]}],
        "categories": [{"id": 1, "name": "person"}],
    }
    (root / "annotations.json").write_text(json.dumps(document))
    data: Path = root
    if locked:
        data = tmp_path / "road.lock.json"
        with pytest.raises(SystemExit):
            main(["data", "lock", str(root), "--out", str(data)])
    given = ("--model", mission.parent / "tiny.onnx", "--data", data)
    assert call(mission, *given) == 2
    assert "labels for 128 x 128 pixels, a picture of 64 x 64" in capsys.readouterr().err


def test_classes_that_are_numbers_without_a_name_judge_nobody(
    mission: Path, road: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = road / "labels.csv"
    table.write_text(table.read_text().replace(",vehicle,", ",1,"))
    assert call(mission, "--model", mission.parent / "tiny.onnx", "--data", road) == 2
    said = capsys.readouterr().err
    assert "classes without a name" in said
    assert "1; first in 000.png" in said


def test_regions_that_are_not_judged_are_told_and_shown(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything that was there is a crowd in one frame: the detections in it are no mistakes."""
    table = road / "labels.csv"
    header, *lines = table.read_text().splitlines()
    lines = [f"{line},{int(line.startswith('000.png'))}" for line in lines]
    table.write_text("\n".join([f"{header},iscrowd", *lines]) + "\n")
    out = tmp_path / "out"
    given = ("--model", mission.parent / "tiny.onnx", "--data", road, "--out", out)
    assert call(mission, *given) == 0
    assert "not judged: 2 regions" in capsys.readouterr().out
    found = told(out)
    assert found["data"]["ignored"] == 2
    assert found["overall"]["AP50"]["value"] == pytest.approx(1.0)
    assert found["overall"]["precision"]["value"] == 1.0
    assert found["overall"]["count"] == 2 * FRAMES - 2
    assert found["frames"][0]["detections"] == []


def test_a_conversion_is_judged_in_float_and_int8_at_once(
    mission: Path, road: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(mission), "--out", str(tmp_path / "c")])
    assert not ended.value.code
    out = tmp_path / "out"
    given = ("--from", tmp_path / "c", "--precision", "both", "--data", road)
    assert call(mission, *given, "--out", out) == 0
    assert told(out, "float")["model"]["file"] == "float.onnx"
    assert told(out, "int8")["model"]["file"] == "cpu.onnx"
    assert told(out, "int8")["data"]["digest"] == told(out, "float")["data"]["digest"]
    (tmp_path / "c" / "cpu.onnx").write_bytes(b"another")
    assert call(mission, *given) == 4


def test_a_lock_vouches_for_the_pictures(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "road.lock.json"
    with pytest.raises(SystemExit):
        main(["data", "lock", str(road), "--out", str(lock)])
    given = ("--model", mission.parent / "tiny.onnx", "--data", lock)
    out = tmp_path / "out"
    assert call(mission, *given, "--out", out) == 0
    assert told(out)["data"]["version"] == json.loads(lock.read_text())["version"]
    assert told(out)["data"]["doubts"] == []
    (road / "003.png").write_bytes((road / "004.png").read_bytes())
    assert call(mission, *given) == 4
    assert "003.png" in capsys.readouterr().err


def test_the_second_head_is_judged_on_generated_scenes(root: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from converters.sources.pytorch.export import export
    from converters.zoo import roadnet

    names = ["detections", "condition"]
    model = export(roadnet(3, 4).eval(), (1, 3, 192, 320), names)
    onnx.save(model, tmp_path / "roadnet.onnx")
    out = tmp_path / "out"
    mission = root / "examples" / "roadnet" / "mission.toml"
    given = ("--model", tmp_path / "roadnet.onnx", "--scenes", 6)
    assert call(mission, *given, "--out", out) == 0
    found = told(out)
    assert found["condition_head"]["count"] == 6
    assert {row["name"].split()[0] for row in found["by_condition"]} == {"weather", "light", "road"}


BAD: dict[str, tuple[list[str], int, str]] = {
    "no network": ([], 2, "say which network"),
    "no such model": (["--model", "none.onnx"], 3, "none.onnx"),
    "not a model": (["--model", "{road}/labels.csv", "--data", "{road}"], 2, "cannot run"),
    "no such data": (["--model", "{model}", "--data", "{road}/none"], 3, "no data set"),
    "no such split": (["--model", "{model}", "--data", "{road}", "--split", "night"], 2, "night"),
    "no labels": (["--model", "{model}", "--data", "{bare}"], 2, "without any"),
    "no such label": (["--model", "{model}", "--data", "{road}", "--labels", "cow"], 2, "cow"),
    "folds": (["--model", "{model}", "--data", "{road}", "--folds", "5"], 2, "5 parts need"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_message(
    case: str, mission: Path, road: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, words = BAD[case]
    places = {"model": mission.parent / "tiny.onnx", "road": road, "bare": mission.parent / "road"}
    assert call(mission, *[one.format(**places) for one in arguments]) == code
    assert words in capsys.readouterr().err


def test_a_cut_picture_is_named(
    mission: Path, road: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (road / "005.png").read_bytes()
    (road / "005.png").write_bytes(whole[: len(whole) // 2])
    assert call(mission, "--model", mission.parent / "tiny.onnx", "--data", road) == 3
    assert "005.png" in capsys.readouterr().err


def test_a_model_of_other_labels_is_refused(
    mission: Path, road: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = mission.read_text().replace('"vehicle", "traffic sign"', '"vehicle"')
    mission.write_text(text)
    assert call(mission, "--model", mission.parent / "tiny.onnx", "--data", road) == 2
    assert "for 2 labels" in capsys.readouterr().err


@pytest.mark.slow
def test_yolox_nano_in_fog_has_the_known_figure(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    mission = root / "examples" / "yolox_nano" / "mission.toml"
    model = shared_data / "detectors" / "yolox_nano.onnx"
    given = ("--data", shared_data / "fog_traffic", "--labels", "car,person,bus,truck")
    assert call(mission, "--model", model, *given, "--out", tmp_path) == 0
    found = told(tmp_path)
    assert found["overall"]["AP50"]["value"] == pytest.approx(0.295, abs=0.002)
    assert found["overall"]["AP50"]["low"] < 0.27
    assert found["overall"]["AP50"]["high"] > 0.32
    assert found["overall"]["frames"] == 80


def test_the_score_under_corruptions_is_told(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--model", mission.parent / "tiny.onnx", "--data", road)
    out = tmp_path / "out"
    assert call(mission, *given, "--corruptions", "dark,jpeg", "--out", out) == 0
    rows = told(out)["robustness"]
    assert [(row["corruption"], row["severity"]) for row in rows][:6] == [
        *(("dark", severity) for severity in range(1, 6)),
        ("jpeg", 1),
    ]
    clean = told(out)["overall"]["AP50"]["value"]
    assert all(row["drop"] == pytest.approx(clean - row["score"]) for row in rows)
    assert rows[4]["low"] is None  # everything is lost in every resample: no spread is seen
    assert rows[4]["score"] < 0.5 * clean  # in the dark no cell is red any more
    assert call(mission, *given, "--corruptions", "locusts") == 2
    assert "locusts" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder_is_refused_before_the_run(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "out"
    there.write_text("mine")
    assert call(mission, "--model", tmp_path / "none.onnx", "--data", road, "--out", there) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert there.read_text() == "mine"


def test_some_severities_are_enough(
    mission: Path, road: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--model", mission.parent / "tiny.onnx", "--data", road)
    out = tmp_path / "out"
    dark = ("--corruptions", "dark,dark")
    assert call(mission, *given, *dark, "--severities", "5, 1", "--out", out) == 0
    rows = told(out)["robustness"]
    assert [(row["corruption"], row["severity"]) for row in rows] == [("dark", 1), ("dark", 5)]
    shown = capsys.readouterr().out
    head = next(line for line in shown.splitlines() if "corruption" in line)
    assert [word for word in head.split() if word.isdecimal()] == ["1", "5"]
    assert f"{rows[1]['score']:.3f}" in shown
    assert f"{rows[1]['drop']:.3f}" in shown
    assert call(mission, *given, *dark, "--severities", "1,6") == 2
    assert "no severity '6'" in capsys.readouterr().err
    assert call(mission, *given, "--severities", "1") == 2
    assert "together with --corruptions" in capsys.readouterr().err


def test_a_classifier_is_judged_by_its_likeliest_label(mission: Path, tmp_path: Path) -> None:
    reds, blues = np.zeros((2, 8, 8, 8, 3), np.uint8)
    reds[..., 0] = blues[..., 2] = 200
    (tmp_path / "set").mkdir()
    labels = np.array([0] * 8 + [1] * 7 + [0])  # the last is blue and called the first label
    tracks = np.arange(16) // 2
    images = np.concatenate([reds, blues])
    np.savez(tmp_path / "set" / "val.npz", images=images, labels=labels, tracks=tracks)
    weight = np.float32([[1, 0, -1], [-1, 0, 1], [-9, -9, -9]])[:, :, None, None] / 40
    model = tiny(
        [
            node("GlobalAveragePool", ["x"], ["mean"]),
            node("Conv", ["mean", "weight"], ["map"]),
            node("Flatten", ["map"], ["y"]),
        ],
        {"weight": weight},
        inputs={"x": (1, 3, SIDE, SIDE)},
    )
    (tmp_path / "colour.onnx").write_bytes(model.SerializeToString())
    text = mission.read_text().replace("strides = [16]\n", "").replace("iou_threshold = 0.5\n", "")
    text = text.replace('kind = "roadnet"', 'kind = "classify"')
    text = text.replace(
        'when = { label = "pedestrian", confidence = 0.6, zone = "corridor", height_min = 0.05 }',
        'when = { scene = "pedestrian", confidence = 0.6 }',
    )
    mission.write_text(text)
    out = tmp_path / "out"
    given = ("--model", tmp_path / "colour.onnx", "--data", tmp_path / "set")
    assert call(mission, *given, "--out", out) == 0
    found = told(out)
    assert found["task"] == "classification"
    assert found["overall"]["accuracy"]["value"] == pytest.approx(15 / 16)
    assert found["confusion"]["counts"] == [[8, 1], [0, 7]]
    assert [frame["name"] for frame in found["frames"] if frame["missed"]] == ["val/000015"]
    page = (out / "worst.html").read_text()
    assert "1 of 16 frames with a mistake" in page
    assert "truth: pedestrian" in page
    assert "colour.onnx (as given): vehicle " in page
