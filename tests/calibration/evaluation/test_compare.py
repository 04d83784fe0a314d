"""`brakepoint compare`: losses frame by frame, and refusals of incomparable files."""

from __future__ import annotations

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest
from labelled_road import write_labelled_road
from tiny_mission import write_mission

from calibration.evaluation.paired_comparison import mcnemar
from edge.cli import main


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evaluation of a detector that finds everything."""
    folder = tmp_path_factory.mktemp("compare")
    mission = write_mission(folder / "mission")
    road = write_labelled_road(folder / "labelled")
    given = ("--model", mission.parent / "tiny.onnx", "--data", road, "--out", folder)
    assert call("evaluate", mission, *given) == 0
    return folder / "evaluation-model.json"


def blinded(first: Path, path: Path) -> Path:
    """The same evaluation by a detector that no longer sees the first object of two frames."""
    document = json.loads(first.read_text())
    for frame in document["frames"][:2]:
        label = frame["objects"][0][0]
        frame["objects"][0][1] = 0
        frame["right"], frame["missed"] = 1, 1
        frame["detections"] = [one for one in frame["detections"] if one[0] != label]
    document["overall"]["AP50"]["value"] = 0.9
    path.write_text(json.dumps(document))
    return path


def test_what_is_lost_is_told_with_its_frames(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = blinded(first, tmp_path / "b.json")
    assert call("compare", first, second, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["schema"] == "brakepoint.comparison/1"
    assert (found["lost"], found["gained"]) == (2, 0)
    assert [one["name"] for one in found["worse"]] == ["000.png", "001.png"]
    assert found["p_value"] == pytest.approx(0.5)
    assert found["score"]["loss"] == pytest.approx(0.1)
    low, high = found["score"]["interval"]
    assert low == pytest.approx(0.0)  # resamples without the one drive that lost anything
    assert high > 0.1


def test_the_limit_decides_the_exit(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = blinded(first, tmp_path / "b.json")
    assert call("compare", first, second, "--max-loss", 0.2) == 0
    assert call("compare", first, second, "--max-loss", 0.05) == 1
    assert "AP50 at most 0.05 below" in capsys.readouterr().err
    assert call("compare", second, first, "--max-loss", 0.0) == 0  # a gain is no loss


def test_a_folder_of_both_precisions_is_enough(first: Path, tmp_path: Path) -> None:
    for name in ("float", "int8"):
        (tmp_path / f"evaluation-{name}.json").write_bytes(first.read_bytes())
    assert call("compare", tmp_path, "--max-loss", 0.0) == 0


def test_what_cannot_be_compared_is_one_message(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(first.read_text())
    document["data"]["digest"] = "0" * 64
    other = tmp_path / "other.json"
    other.write_text(json.dumps(document))
    assert call("compare", first, other) == 2
    assert "the same frames" in capsys.readouterr().err
    del document["frames"]
    other.write_text(json.dumps(document))
    assert call("compare", first, other) == 4
    assert call("compare", first, tmp_path / "none.json") == 3
    assert call("compare", first) == 2


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 0), (1, 0), (3, 0), (5, 5), (2, 7), (40, 61), (400, 700), (4700, 5300)]
)
def test_mcnemar_is_the_binomial(lost: int, gained: int) -> None:
    count = lost + gained
    tail = sum(comb(count, number) for number in range(min(lost, gained) + 1)) / 2**count
    assert mcnemar(lost, gained) == mcnemar(gained, lost) == pytest.approx(min(1.0, 2 * tail))
