"""A mission with locked data: conversion and training refuse other data."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from tiny_mission import write_mission
from tiny_pictures import picture_mission, write_pictures

from calibration.evaluation.corruptions import CORRUPTIONS
from converters.training.train import train
from edge.cli import main
from edge.contract.mission.loading import MissionInvalid, load_mission
from edge.contract.mission.sections.fitting import Corruption
from firmware_bridge.errors import NotTrusted


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def silent(_what: str, _done: int, _of: int) -> None:
    """No progress."""


def change(road: Path) -> str:
    picture = cv2.imread(str(road / "003.png"))
    assert cv2.imwrite(str(road / "003.png"), 255 - picture)
    return "003.png: was changed"


def remove(road: Path) -> str:
    (road / "003.png").unlink()
    return "003.png: is gone"


def add(road: Path) -> str:
    (road / "zzz.png").write_bytes((road / "003.png").read_bytes())
    return "zzz.png: is not in the lock"


def test_convert_takes_locked_data_and_refuses_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mission = write_mission(tmp_path / "m")
    road, lock = tmp_path / "m" / "road", tmp_path / "m" / "dataset.lock.json"
    text = mission.read_text().replace('root = "road"', 'root = "road"\nlock = "dataset.lock.json"')
    mission.write_text(text)
    convert = ("convert", str(mission), "--out", str(tmp_path / "out"))
    assert run(*convert) == 3
    assert "dataset.lock.json" in capsys.readouterr().err
    assert run("data", "lock", str(road), "--out", str(lock)) == 0
    assert run(*convert) in (0, 1)
    whole = {path.name: path.read_bytes() for path in road.iterdir()}
    for spoil in (change, remove, add):
        words = spoil(road)
        assert run(*convert) == 4
        shown = capsys.readouterr().err
        assert words in shown
        assert "brakepoint data diff" in shown
        for path in road.iterdir():
            path.unlink()
        for name, data in whole.items():
            (road / name).write_bytes(data)
    lock.write_text(lock.read_text().replace('"row":null', '"row":7', 1))
    assert run(*convert) == 4
    assert "was changed after it was written" in capsys.readouterr().err


def test_training_refuses_arrays_that_are_not_the_locked_ones(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    lock = tmp_path / "dataset.lock.json"
    assert run("data", "lock", str(folder), "--out", str(lock)) == 0
    mission = picture_mission(folder, f"data.lock={lock}", "train.steps=2")
    train(mission, progress=silent)
    with np.load(folder / "train.npz") as arrays:
        changed = {name: arrays[name].copy() for name in arrays.files}
    changed["labels"][0] = 3
    np.savez(folder / "train.npz", **changed)
    with pytest.raises(NotTrusted, match="vouches for"):
        train(mission, progress=silent)


def test_generated_scenes_have_nothing_to_lock(root: Path) -> None:
    with pytest.raises(MissionInvalid, match=r"data\.lock") as refused:
        load_mission(root / "examples" / "roadnet", ["data.lock=x.json"])
    assert "nothing to lock" in str(refused.value)


def test_the_mission_knows_every_corruption_and_no_other() -> None:
    assert set(get_args(Corruption)) == set(CORRUPTIONS)


def test_weather_is_not_painted_over_scenes_whose_road_condition_is_learned(root: Path) -> None:
    example = root / "examples" / "roadnet"
    load_mission(example, ['train.corruptions=["dark", "jpeg"]'])
    condition = 'model.condition={labels=["dry","wet","snow","fog"], score_threshold=0.6}'
    with pytest.raises(MissionInvalid, match=r"train\.corruptions"):
        load_mission(example, ['train.corruptions=["dark", "snow"]', condition])
    with pytest.raises(MissionInvalid, match=r"train\.corruptions"):
        load_mission(example, ['train.corruptions=["hail"]'])


def test_corruptions_change_the_training_and_a_seed_repeats_it(tmp_path: Path) -> None:
    def fitted(name: str, *overrides: str) -> dict[str, torch.Tensor]:
        folder = write_pictures(tmp_path / name)
        report = train(picture_mission(folder, "train.steps=3", *overrides), progress=silent)
        state: dict[str, torch.Tensor] = torch.load(report.weights, weights_only=True)
        return state

    some = 'train.corruptions=["fog", "jpeg"]'
    plain, once, again = fitted("plain"), fitted("once", some), fitted("again", some)
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert not all(torch.equal(once[key], plain[key]) for key in once)
