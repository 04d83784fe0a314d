"""What changed since the last conversion: settings, inputs, figures, in report and page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_mission import write_mission

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path / "m")


def since(out: Path) -> dict[str, Any] | None:
    told: dict[str, Any] | None = json.loads((out / "report.json").read_text())["since"]
    return told


def page(out: Path) -> str:
    """The page without line breaks and what small screens show beside cells."""
    html = re.sub(r'data-title="[^"]*" ', "", (out / "report.html").read_text())
    return re.sub(r"\s+", " ", html)


def test_the_first_has_nothing_before_it_and_the_same_again_changes_nothing(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert brakepoint("convert", mission, "--out", tmp_path / "out")[0] == 0
        assert since(tmp_path / "out") is None
        assert "What changed since" not in page(tmp_path / "out")


def test_settings_inputs_and_figures_are_told_with_what_they_were(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _, _, err = brakepoint("convert", mission, "--out", out)
    before = re.findall(r"recorded as (\S+)", err)[0]
    settings = ("--set", "calibration.frames=10", "--set", "gates.size_max_mb=0.000001")
    assert brakepoint("convert", mission, "--out", out, *settings)[0] == 1
    told = since(out)
    assert told is not None
    assert (told["run"], told["passed"]) == (before, True)
    changed = {row["key"]: (row["was"], row["now"]) for row in told["settings"]}
    assert changed == {"calibration.frames": (8, 10), "gates.size_max_mb": (None, 0.000001)}
    assert [row["key"] for row in told["inputs"]] == ["calibration frames"], "who judges stays"
    figures = {row["key"]: (row["was"], row["now"]) for row in told["figures"]}
    assert figures["calibration frames"] == (8, 10)
    assert not any(key.startswith(("median ms", "peak memory")) for key in figures)
    shown = page(out)
    assert before in shown
    assert 'calibration.frames</th><td class="num">8</td><td class="num">10</td>' in shown


def test_going_back_is_told_too_though_everything_was_kept(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    brakepoint("convert", mission, "--out", out)
    _, _, err = brakepoint("convert", mission, "--out", out, "--set", "calibration.frames=10")
    between = re.findall(r"recorded as (\S+)", err)[0]
    _, _, err = brakepoint("convert", mission, "--out", out)
    assert "quantize: unchanged" in err
    told = since(out)
    assert told is not None
    assert told["run"] == between
    assert [(row["was"], row["now"]) for row in told["settings"]] == [(10, 8)]
    assert between in page(out)


def test_another_network_is_an_input(brakepoint: Command, mission: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    brakepoint("convert", mission, "--out", out)
    path = mission.parent / "tiny.onnx"
    model = onnx.load(path)
    model.doc_string = "another file"
    path.write_bytes(model.SerializeToString())
    code, _, err = brakepoint("convert", mission, "--out", out)
    assert code == 0, err
    told = since(out)
    assert told is not None
    assert [row["key"] for row in told["inputs"]] == ["source"]
    assert told["settings"] == []


def test_records_of_other_missions_and_verbs_are_passed_over(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    other = mission.parent / "other.toml"
    other.write_text(mission.read_text().replace('name = "tiny"', 'name = "other"'))
    brakepoint("convert", other, "--out", tmp_path / "other")
    brakepoint("calibrate", mission, "--out", tmp_path / "ranges")
    (mission.parent / "runs" / "20000101T000000Z-convert-0.json").write_text("{")
    code, _, err = brakepoint("convert", mission, "--out", tmp_path / "out")
    assert code == 0, err
    assert since(tmp_path / "out") is None
