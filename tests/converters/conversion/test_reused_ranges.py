"""`convert --ranges`: the same result from ranges that are fresh, and a refusal of all others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from tiny_mission import write_mission

from converters.conversion.convert import STORE
from edge.contract.artifact import read_json
from edge.contract.mission.loading import load_mission

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "tiny")


@pytest.fixture
def ranges(brakepoint: Command, mission: Path, tmp_path: Path) -> Path:
    code, _, err = brakepoint("calibrate", mission, "--out", tmp_path / "calibrated")
    assert code == 0, err
    return tmp_path / "calibrated" / "ranges.json"


def test_fresh_ranges_give_the_same_graphs(
    brakepoint: Command, mission: Path, ranges: Path, tmp_path: Path
) -> None:
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "a", "--ranges", ranges)
    assert code == 0, err
    assert brakepoint("convert", mission, "--out", tmp_path / "b")[0] == 0
    for name in ("int8.onnx", "cpu.onnx", "ranges.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    one, other = (read_json(tmp_path / out / "report.json", "brakepoint.report/2") for out in "ab")
    assert one["calibration"]["frames"] == other["calibration"]["frames"]


@pytest.mark.parametrize("what", ["data", "preprocess", "method", "percentile", "model"])
def test_stale_ranges_are_refused_and_nothing_is_written(
    brakepoint: Command, mission: Path, ranges: Path, tmp_path: Path, what: str
) -> None:
    settings: list[str] = []
    if what == "data":
        used = json.loads(ranges.read_text())["taken_from"]["frames"][0]
        (picture,) = (load_mission(mission, []).data.root).rglob(Path(used).name)
        cv2.imwrite(str(picture), cv2.flip(cv2.imread(str(picture)), 1))
    elif what == "model":
        document = json.loads(ranges.read_text())
        document["taken_from"]["model_sha256"] = "0" * 64
        ranges.write_text(json.dumps(document))
    else:
        settings = {
            "preprocess": ["--set", 'model.preprocess.color="bgr"'],
            "method": ["--set", 'calibration.method="max"'],
            "percentile": ["--set", "calibration.percentile=99.0"],
        }[what]
    out = tmp_path / "out"
    code, _, err = brakepoint("convert", mission, "--out", out, "--ranges", ranges, *settings)
    assert code == 4
    assert "ranges.json is stale" in err
    (found,) = (line for line in err.splitlines() if "found:" in line)
    assert f"{what} " in found
    assert [path.name for path in out.iterdir()] == [STORE], "float is kept, nothing is written"


def test_a_range_that_is_missing_or_no_number_is_refused(
    brakepoint: Command, mission: Path, ranges: Path, tmp_path: Path
) -> None:
    document = json.loads(ranges.read_text())
    name = next(iter(document["tensors"]))
    kept = shutil.copy(ranges, tmp_path / "kept.json")
    document["tensors"][name]["amax"] = float("nan")
    ranges.write_text(json.dumps(document))
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out", "--ranges", ranges)
    assert code == 4
    assert "ranges.json" in err
    document = json.loads(Path(kept).read_text())
    del document["tensors"][name]
    ranges.write_text(json.dumps(document))
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out", "--ranges", ranges)
    assert code == 4
    assert f"none of '{name}'" in err
