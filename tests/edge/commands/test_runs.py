"""`brakepoint runs`: every run is listed, changes are shown, a damaged record affects no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge.cli import main
from edge.contract.run_record import FORMER, Run, read_run, runs_in, write_run
from firmware_bridge.errors import NotTrusted

RUN = Run(
    kind="convert",
    mission="tiny",
    started="20261124T120000Z",
    seconds=3.0,
    passed=True,
    parameters={"gates.found_min": 0.9, "data.seed": 0, "model.labels": ["a", "b"]},
    inputs={"source": "1" * 64, "data version": None},
    outputs={"int8.onnx": "2" * 64},
    metrics={"found int8.onnx": 0.95, "AP50": None, "frames": 8},
    gates=[{"name": "found_min int8", "limit_text": ">= 0.9", "measured": 0.95, "passed": True}],
    environment={"onnxruntime": "1.2"},
)
OTHER = replace(
    RUN,
    started="20261124T130000Z",
    passed=False,
    parameters={**RUN.parameters, "gates.found_min": 0.99},
    metrics={"found int8.onnx": 0.85, "AP50": 0.5, "frames": 8},
    gates=[{"name": "found_min int8", "limit_text": ">= 0.99", "measured": 0.85, "passed": False}],
)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def brakepoint(capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    """A mission file with two runs; `runs` looks beside it and never into it."""
    for run in (OTHER, RUN):
        write_run(tmp_path / "runs", run, digest="abcdef0123456789")
    return tmp_path / "mission.toml"


def test_a_record_comes_back_and_no_two_share_a_name(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, RUN, digest="abcdef0123456789") for _ in range(3)]
    assert [path.stem.rpartition("-")[2] for path in paths] == ["abcdef012345", "2", "3"]
    assert [read_run(path).run.metrics for path in paths] == [RUN.metrics] * 3


def test_list_shows_the_oldest_first(brakepoint: Command, mission: Path) -> None:
    code, out, _ = brakepoint("runs", "list", "--in", mission, "--json")
    told = json.loads(out)
    assert code == 0
    assert [one["passed"] for one in told] == [True, False]
    assert told[0]["metrics"]["found int8.onnx"] == 0.95
    for where in (mission.parent, mission.parent / "runs"):
        assert brakepoint("runs", "list", "--in", where, "--json")[1] == out
    assert (
        json.loads(brakepoint("runs", "list", "--in", mission, "--kind", "train", "--json")[1])
        == []
    )
    assert "0.95" in brakepoint("runs", "list", "--in", mission)[1]


def test_show_by_the_beginning_of_a_name_or_by_file(brakepoint: Command, mission: Path) -> None:
    code, out, _ = brakepoint("runs", "show", "20261124T13", "--in", mission)
    assert code == 0
    assert "failed: 0.85 >= 0.99" in out
    (path,) = (mission.parent / "runs").glob("*T12*.json")
    assert json.loads(brakepoint("runs", "show", path, "--json")[1])["passed"] is True
    code, _, err = brakepoint("runs", "show", "20261124", "--in", mission)
    assert code == 2
    assert "no single run is named" in err


def test_compare_tells_what_differs_alone(brakepoint: Command, mission: Path) -> None:
    both = ("20261124T12", "20261124T13", "--in", mission)
    told = json.loads(brakepoint("runs", "compare", *both, "--json")[1])
    rows = {(row["section"], row["key"]): row for row in told["differences"]}
    assert set(rows) == {
        ("parameters", "gates.found_min"),
        ("gates", "found_min int8"),
        ("figures", "found int8.onnx"),
        ("figures", "AP50"),
    }
    assert rows["figures", "found int8.onnx"]["change"] == pytest.approx(-0.1)
    assert rows["figures", "AP50"]["change"] is None
    code, out, _ = brakepoint("runs", "compare", *both)
    assert code == 0
    assert "-0.1" in out
    assert "data.seed" not in out
    assert "data.seed" in brakepoint("runs", "compare", *both, "--all")[1]
    assert brakepoint("runs", "compare", "20261124T12", "--in", mission)[0] == 2


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b'{"schema": "brakepoint.record/1"}',
        b'{"schema": "brakepoint.run/2"}',
        json.dumps(
            {"schema": "brakepoint.record/1", **RUN.__dict__, "metrics": {"a": "b"}}
        ).encode(),
        json.dumps({"schema": "brakepoint.record/1", **RUN.__dict__, "gates": [1]}).encode(),
        json.dumps({"schema": FORMER, "judgement": [], "spread": {"a": 1}}).encode(),
    ],
)
def test_a_damaged_record_is_told_and_passed_over(
    brakepoint: Command, mission: Path, damage: bytes
) -> None:
    path = mission.parent / "runs" / "20261124T000000Z-convert-bad.json"
    path.write_bytes(damage)
    code, out, err = brakepoint("runs", "list", "--in", mission, "--json")
    assert (code, len(json.loads(out))) == (0, 2)
    assert f"passed over: {path.name}" in err
    assert "Traceback" not in err
    assert brakepoint("runs", "show", path.stem, "--in", mission)[0] == 4
    with pytest.raises(NotTrusted):
        read_run(path)


def test_what_is_half_written_or_no_record_is_not_listed(mission: Path) -> None:
    (mission.parent / "runs" / ".20261124T000000Z-convert.abcd.json").write_bytes(b"half")
    (mission.parent / "runs" / "notes.txt").write_text("mine")
    assert len(list(runs_in(mission.parent / "runs"))) == 2


def test_records_of_trainings_before_there_was_one_form_are_read(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    document = {
        "schema": FORMER,
        "kind": "train",
        "started": "20261101T000000Z",
        "recipe_digest": "3" * 64,
        "environment": {"torch": "2"},
        "mission": "old",
        "weights_sha256": "4" * 64,
        "recipe": {"train": {"seed": 7}},
        "judgement": {"figures": {"ap50": 0.5}},
        "seconds": 9.0,
        "steps": 10,
    }
    path.write_text(json.dumps(document))
    run = read_run(path).run
    assert (run.kind, run.mission, run.passed) == ("train", "old", None)
    assert run.metrics == {"ap50": 0.5, "steps": 10}
    assert run.parameters == {"train.seed": 7}
    assert run.outputs == {"weights": "4" * 64}


def test_no_runs_yet_says_what_to_do(brakepoint: Command, tmp_path: Path) -> None:
    code, _, err = brakepoint("runs", "list", "--in", tmp_path)
    assert code == 3
    assert "--in MISSION" in err
