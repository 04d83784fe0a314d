"""A mission whose data declare a split: every verb keeps to its parts, and a leak is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_road import write_labelled_road
from tiny_mission import write_mission
from tiny_pictures import picture_mission, write_pictures

from converters.conversion.frame_split import frames_to_split
from converters.training.tasks.classification import PictureTask
from edge.cli import main
from edge.contract.mission.loading import MissionInvalid, load_mission
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import NotTrusted, UsageError


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


def parted(
    root: Path, folder: Path, *, parts: str = "train=60,val=20,test=20", by: str = "weather"
) -> list[str]:
    """Locks and parts `root`; what a mission needs to know of it."""
    lock, split = folder / "dataset.lock.json", folder / "dataset.split.json"
    assert run("data", "lock", root, "--out", lock) == 0
    assert run("data", "split", lock, "--parts", parts, "--by", by, "--out", split) == 0
    return [f"data.lock={lock}", f"data.split={split}"]


def names_of(folder: Path) -> dict[str, set[str]]:
    document = json.loads((folder / "dataset.split.json").read_text())
    return {part: set(names) for part, names in document["parts"].items()}


@pytest.fixture
def road(tmp_path: Path) -> Path:
    """Where mission.toml lies, with 14 pictures in road/."""
    write_mission(tmp_path / "m")
    return tmp_path / "m"


def loaded(road: Path, *more: str) -> Mission:
    few = ("calibration.frames=8", "calibration.held_back=4")
    return load_mission(road / "mission.toml", [*few, *more])


def test_ranges_and_judgement_keep_to_their_parts(road: Path) -> None:
    settings = parted(road / "road", road, parts="train=57,val=29,test=14")
    parts = names_of(road)
    taken = frames_to_split(loaded(road, *settings))
    assert {frame.name for frame in taken.calibration} == parts["train"]
    assert {frame.name for frame in taken.held_back} == parts["val"]
    settings = parted(road / "road", road, parts="train=10,calibration=58,test=32")
    parts = names_of(road)
    taken = frames_to_split(loaded(road, *settings))
    assert {frame.name for frame in taken.calibration} <= parts["calibration"]
    assert {frame.name for frame in taken.held_back} <= parts["test"]


def test_what_calibrate_took_is_in_its_record(road: Path, tmp_path: Path) -> None:
    settings = parted(road / "road", road, parts="train=57,val=29,test=14")
    sets = [word for one in settings for word in ("--set", one)]
    more = ("--set", "calibration.frames=8", "--set", "calibration.held_back=4")
    out = tmp_path / "cal"
    assert run("calibrate", road / "mission.toml", *sets, *more, "--out", out) == 0
    sampling = json.loads((out / "calibration.json").read_text())["sampling"]
    assert set(sampling["frames"]) == names_of(road)["train"]


def test_training_fits_on_train_chooses_by_val_and_never_sees_test(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    settings = parted(folder, tmp_path, by="label")
    parts = names_of(tmp_path)
    mission = picture_mission(folder, *settings)
    assert mission.train is not None
    task = PictureTask(mission, mission.train)
    rows = task.rows()
    assert {rows[row].name for row in task.partition.training} == parts["train"]
    assert {rows[row].name for row in task.partition.validation} == parts["val"]
    assert {row.name for row in rows} == parts["train"] | parts["val"]


def test_evaluation_judges_test_unless_told_otherwise(tmp_path: Path) -> None:
    mission = write_mission(tmp_path / "m")
    root = write_labelled_road(tmp_path / "labelled")
    settings = [f"data.root={root}", *parted(root, tmp_path, parts="train=50,val=25,test=25")]
    sets = [word for one in settings for word in ("--set", one)]

    def judged(*more: object) -> dict[str, Any]:
        out = tmp_path / "out"
        model = mission.parent / "tiny.onnx"
        assert run("evaluate", mission, "--model", model, *sets, *more, "--out", out) == 0
        found: dict[str, Any] = json.loads((out / "evaluation-model.json").read_text())
        return found

    for more, part in (((), "test"), (("--split", "val"), "val"), (("--split", "train"), "train")):
        found = judged(*more)
        assert found["data"]["split"] == part
        assert {frame["name"] for frame in found["frames"]} == names_of(tmp_path)[part]
    # Other data are not parted by it.
    assert judged("--data", root)["data"]["frames"] == sum(map(len, names_of(tmp_path).values()))


def _twice(document: dict[str, Any]) -> None:
    document["parts"]["val"].append(document["parts"]["train"][0])


def _torn(document: dict[str, Any]) -> None:
    document["parts"]["val"].append(document["parts"]["train"].pop())


def _unknown(document: dict[str, Any]) -> None:
    document["parts"]["val"].append("999.png")


def _of_other_data(document: dict[str, Any]) -> None:
    document["version"] = "0" * 64


def _no_parts(document: dict[str, Any]) -> None:
    document["parts"] = {"train": [7]}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_twice, "every record once"),
        (_torn, "whole drives"),
        (_unknown, "records of the lock"),
        (_of_other_data, "data version"),
        (_no_parts, "data split"),
    ],
)
def test_a_leak_or_another_split_is_refused(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    folder = write_pictures(tmp_path / "pictures")
    settings = parted(folder, tmp_path, by="label")
    split = tmp_path / "dataset.split.json"
    document = json.loads(split.read_text())
    spoil(document)
    split.write_text(json.dumps(document))
    mission = picture_mission(folder, *settings)
    assert mission.train is not None
    for use in (frames_to_split, lambda one: PictureTask(one, one.train)):
        with pytest.raises(NotTrusted, match="not a split of these data") as refused:
            use(mission)
        assert said in refused.value.expected


def test_parts_that_are_missing_or_too_small_are_named(road: Path) -> None:
    settings = parted(road / "road", road, parts="fold 1=50,fold 2=50")
    with pytest.raises(UsageError, match="no part to calibrate on"):
        frames_to_split(loaded(road, *settings))
    settings = parted(road / "road", road)
    with pytest.raises(UsageError, match="too small"):
        frames_to_split(loaded(road, *settings, "calibration.frames=12"))


def test_a_split_needs_its_lock_and_one_folder(road: Path) -> None:
    with pytest.raises(MissionInvalid, match="lock"):
        loaded(road, "data.split=dataset.split.json")
    also = 'data.also=[{name="more", root="road2"}]'
    with pytest.raises(MissionInvalid, match=r"data\.also"):
        loaded(road, "data.split=s.json", "data.lock=l.json", also)
