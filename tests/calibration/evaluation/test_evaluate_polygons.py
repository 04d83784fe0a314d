"""A segmentation network judged by masks that `data masks` drew of polygons: the figures are those
of masks made by hand, and polygons alone are refused with the verb that draws them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mask_road import FRAMES, HIGH, IDS, WIDE, network, write_mission
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

CLI = Callable[..., tuple[int, str, str]]
Ring = list[int]


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "mission")


def ids_of(road: Path, number: int) -> NDArray[np.uint8]:
    found = cv2.imread(str(road / "masks" / f"{number:03}.png"), cv2.IMREAD_UNCHANGED)
    return np.asarray(found, np.uint8)


def outlines(ids: NDArray[np.uint8]) -> list[tuple[str, Ring]]:
    """Corners of what a mask by hand shows, all of it rectangles: the road, the car, and the rim
    where nobody knows. The rest is sky."""
    top = int(np.flatnonzero((ids == IDS["road"]).any(axis=1))[0])
    rows, columns = np.nonzero(ids == IDS["car"])
    car = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    boxes = (("car", car), ("ignore", (0, 0, 2, HIGH)), ("road", (0, top, WIDE, HIGH)))
    return [
        (label, [int(one) for one in (x1, y1, x2, y1, x2, y2, x1, y2)])
        for label, (x1, y1, x2, y2) in boxes
    ]


def yolo(road: Path, root: Path) -> None:
    shutil.copytree(road / "images", root / "images")
    (root / "labels").mkdir()
    (root / "data.yaml").write_text("names: [car, road, ignore]\n")
    for number in range(FRAMES):
        lines = []
        for label, ring in outlines(ids_of(road, number)):
            shares = [one / (WIDE, HIGH)[row % 2] for row, one in enumerate(ring)]
            row = ("car", "road", "ignore").index(label)
            lines.append(" ".join([str(row), *(f"{one:.6f}" for one in shares)]))
        (root / "labels" / f"{number:03}.txt").write_text("\n".join(lines) + "\n")


def labelme(road: Path, root: Path) -> None:
    shutil.copytree(road / "images", root)
    for number in range(FRAMES):
        shapes = [
            {
                "label": "road" if label == "ignore" else label,
                "points": [ring[row : row + 2] for row in range(0, 8, 2)],
                "flags": {"ignore": label == "ignore"},
            }
            for label, ring in outlines(ids_of(road, number))
        ]
        document = {
            "shapes": shapes,
            "imagePath": f"{number:03}.png",
            "imageWidth": WIDE,
            "imageHeight": HIGH,
        }
        (root / f"{number:03}.json").write_text(json.dumps(document))


def coco(road: Path, root: Path) -> None:
    """The rim as a crowd in run lengths; drives and weather as the table of the masks has them."""
    shutil.copytree(road / "images", root / "images")
    images, annotations = [], []
    for number in range(FRAMES):
        images.append({
            "id": number,
            "file_name": f"{number:03}.png",
            "width": WIDE,
            "height": HIGH,
            "drive": str(number // 3),
            "weather": "rainy" if number // 3 % 2 else "sunny",
        })  # fmt: skip
        for label, ring in outlines(ids_of(road, number)):
            crowd = label == "ignore"
            rim = {"size": [HIGH, WIDE], "counts": [0, 2 * HIGH, (WIDE - 2) * HIGH]}
            x1, y1, _, _, x2, y2 = ring[:6]
            annotations.append({
                "id": len(annotations),
                "image_id": number,
                "category_id": 2 if label == "car" else 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": rim if crowd else [ring],
                "iscrowd": int(crowd),
            })  # fmt: skip
    categories = [{"id": 1, "name": "road"}, {"id": 2, "name": "car"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(document))


FORMATS = {"yolo": yolo, "labelme": labelme, "coco": coco}


def in_words(folder: Path, number: int) -> NDArray[np.str_]:
    """What the mask of a frame says of every pixel, by the names beside it."""
    lines = (folder / "class_names.csv").read_text().replace('"', "").splitlines()[1:]
    words = np.full(256, "nobody knows", "U20")
    for line in lines:
        row, word = line.split(",")
        words[int(row)] = word
    return np.asarray(words[ids_of(folder, number)])


def fond_of_vehicles() -> ModelProto:
    """A network that is wrong in a part of its pixels."""
    model = network()
    (bias,) = [one for one in model.graph.initializer if one.name == "bias"]
    bias.CopyFrom(numpy_helper.from_array(np.float32([4.0, 4.5, 0.0]), "bias"))
    return model


def evaluated(brakepoint: CLI, mission: Path, out: Path, data: Path) -> dict[str, Any]:
    file = out.with_suffix(".onnx")
    file.write_bytes(fond_of_vehicles().SerializeToString())
    code, _, err = brakepoint("evaluate", mission, "--model", file, "--data", data, "--out", out)
    assert code == 0, err
    found: dict[str, Any] = json.loads((out / "evaluation-model.json").read_text())
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_drawn_polygons_judge_as_masks_made_by_hand(
    name: str, mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    road, root, masked = mission.parent / "road", tmp_path / name, tmp_path / "masked"
    if name != "labelme":
        root.mkdir()
    FORMATS[name](road, root)
    code, out, err = brakepoint("data", "masks", root, "--out", masked, "--background", "sky")
    assert code == 0, err
    assert f"{FRAMES} pictures with masks" in out
    for number in range(FRAMES):
        np.testing.assert_array_equal(in_words(masked, number), in_words(road, number))
    assert brakepoint("data", "check", masked)[0] == 0
    lock = tmp_path / "dataset.lock.json"
    code, out, err = brakepoint("data", "lock", masked, "--out", lock)
    assert code == 0, err
    assert f"{FRAMES} records" in out
    by_hand = evaluated(brakepoint, mission, tmp_path / "by hand", road)
    assert 0.2 < by_hand["overall"]["mean IoU"]["value"] < 0.99
    for data in (masked, lock):
        found = evaluated(brakepoint, mission, tmp_path / data.stem, data)
        for key in ("mean IoU", "pixel accuracy"):
            assert found["overall"][key]["value"] == by_hand["overall"][key]["value"]
        assert found["overall"]["count"] == by_hand["overall"]["count"]
        assert found["confusion"] == by_hand["confusion"]
        if name == "coco":  # the others do not say drives and weather
            assert found["overall"] == by_hand["overall"]
            assert found["by_condition"] == by_hand["by_condition"]


def test_where_nothing_is_said_of_the_rest_only_objects_are_judged(
    mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    """Neither a background that the network has no label for nor one of 255 counts."""
    root = tmp_path / "set"
    root.mkdir()
    yolo(mission.parent / "road", root)
    sky = sum(int((ids_of(mission.parent / "road", n) == 0).sum()) for n in range(FRAMES))
    every = FRAMES * HIGH * (WIDE - 2)
    for row, more in enumerate(((), ("--background", "none"))):
        masked = tmp_path / f"masked{row}"
        assert brakepoint("data", "masks", root, "--out", masked, *more)[0] == 0
        found = evaluated(brakepoint, mission, tmp_path / f"out{row}", masked)
        assert found["overall"]["count"] == every - sky


@pytest.mark.parametrize("name", FORMATS)
def test_polygons_alone_are_refused_with_the_verb_that_draws_them(
    name: str, mission: Path, brakepoint: CLI, tmp_path: Path
) -> None:
    root, lock = tmp_path / name, tmp_path / "dataset.lock.json"
    if name != "labelme":
        root.mkdir()
    FORMATS[name](mission.parent / "road", root)
    assert brakepoint("data", "lock", root, "--out", lock)[0] == 0
    model = ("--model", mission.parent / "network.onnx")
    for data in (root, lock):
        code, _, err = brakepoint("evaluate", mission, *model, "--data", data)
        assert code == 2
        assert "it has no masks" in err
        assert f"brakepoint data masks {root} --out FOLDER" in err
