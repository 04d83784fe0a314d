"""A conversion is run only where its report says that every gate holds for this very file: a
missing verdict does not pass.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT

from edge.contract.artifact_names import FLOAT
from edge.contract.conversion_output import choose_model
from edge.contract.gate_verdicts import ALWAYS, declared_gates
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.conversion import Gates, Int8Shares
from firmware_bridge.errors import GateFailed, NotTrusted


@pytest.fixture
def mission() -> Mission:
    raw = load_mission(ROOT / "examples" / "roadnet" / "mission.toml").model_dump()
    raw["gates"] |= {"found_min": 0.9, "condition_agree_min": 0.9, "accuracy_min": 0.3}
    return Mission.model_validate(raw)


def row(name: str, artifact: str, *, passed: bool | None = True, **other: Any) -> dict[str, Any]:
    limit = None if passed is None else 0.5
    return {
        "name": name, "artifact": artifact, "limit": limit, "limit_text": f">= {limit}",
        "measured": 0.7, "passed": passed, "sentence": f"{name} has 0.7", **other,
    }  # fmt: skip


def folder(tmp_path: Path, mission: Mission, gates: object) -> Path:
    artifacts = {}
    for name in (FLOAT, "cpu.onnx"):
        (tmp_path / name).write_bytes(name.encode())
        artifacts[name] = {"sha256": hashlib.sha256(name.encode()).hexdigest()}
    report = {
        "schema": "brakepoint.report/2", "contract": contract_digest(mission.model),
        "mission": mission.name, "gates": gates, "artifacts": artifacts,
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(report))
    return tmp_path


def whole() -> list[dict[str, Any]]:
    return [
        row("parity_max_abs", FLOAT),
        *(row(name, "cpu.onnx") for name in ALWAYS["cpu.onnx"]),
        row("condition_agree_min cpu", "cpu.onnx"),
        row("infer_p99_max_ms cpu", "cpu.onnx"),
        row("found_min int8", "int8.onnx", passed=False),  # of a file that is not run here
    ]


def without(name: str) -> list[dict[str, Any]]:
    return [one for one in whole() if one["name"] != name]


def changed(name: str, **other: Any) -> list[dict[str, Any]]:
    return [{**one, **other} if one["name"] == name else one for one in whole()]


def test_a_whole_report_is_believed(mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, whole())
    assert choose_model(given, mission, "float").name == FLOAT
    assert choose_model(given, mission, "int8").name == "cpu.onnx"


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("gates", [[], without("parity_max_abs"), None, {}, "passed", [1], [{}]])
def test_absent_verdicts_are_no_verdicts(
    precision: Any, gates: object, mission: Mission, tmp_path: Path
) -> None:
    with pytest.raises(NotTrusted):
        choose_model(folder(tmp_path, mission, gates), mission, precision)


@pytest.mark.parametrize(
    "name", ["found_min cpu", "macs_int8_min cpu", "accuracy_min cpu", "condition_agree_min cpu"]
)
def test_each_gate_of_the_file_that_is_run(name: str, mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, without(name))
    with pytest.raises(NotTrusted, match="does not say that the gates hold") as caught:
        choose_model(given, mission, "int8")
    assert name in caught.value.found
    assert choose_model(given, mission, "float").name == FLOAT


def test_the_verdict_of_another_file_counts_for_nothing(mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, changed("found_min cpu", artifact="int8.onnx"))
    with pytest.raises(NotTrusted, match="does not say"):
        choose_model(given, mission, "int8")


def test_a_limit_that_the_mission_gives_and_the_report_did_not_judge_by(
    mission: Mission, tmp_path: Path
) -> None:
    gates = changed("found_min cpu", passed=None, limit=None)
    with pytest.raises(NotTrusted, match="does not say") as caught:
        choose_model(folder(tmp_path, mission, gates), mission, "int8")
    assert "the mission gives a limit" in caught.value.found


@pytest.mark.parametrize(
    "other",
    [
        {"passed": "yes"},
        {"passed": 1},
        {"measured": None},
        {"limit": None},
        {"limit": True},
        {"measured": "0.7"},
        {"sentence": None},
    ],
)
def test_a_verdict_that_is_none(other: dict[str, Any], mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, changed("found_min cpu", **other))
    with pytest.raises(NotTrusted):
        choose_model(given, mission, "int8")


@pytest.mark.parametrize(
    ("name", "precisions"), [("parity_max_abs", ["float", "int8"]), ("found_min cpu", ["int8"])]
)
def test_a_failed_gate(name: str, precisions: list[Any], mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, changed(name, passed=False))
    for precision in precisions:
        with pytest.raises(GateFailed, match="failed its gates") as caught:
            choose_model(given, mission, precision)
        assert caught.value.found == f"{name} has 0.7"


def test_another_file_under_a_judged_name(mission: Mission, tmp_path: Path) -> None:
    given = folder(tmp_path, mission, whole())
    (given / "cpu.onnx").write_bytes(b"another")
    with pytest.raises(NotTrusted, match="not the file that was judged"):
        choose_model(given, mission, "int8")


@pytest.mark.parametrize(
    ("gates", "artifact", "wanted"),
    [
        ({}, FLOAT, ["parity_max_abs"]),
        ({}, "cpu.onnx", []),
        ({"found_min": 0.0}, "cpu.onnx", ["found_min cpu"]),
        ({"size_max_mb": 1.0}, "int8.onnx", ["size_max_mb"]),
        ({"size_max_mb": 1.0}, "cpu.onnx", []),
        ({"infer_p99_max_ms": "budget"}, "cpu.onnx", ["infer_p99_max_ms cpu"]),
        ({"macs_int8_min": Int8Shares(int8=0.5)}, "cpu.onnx", []),
        ({"macs_int8_min": Int8Shares(int8=0.5)}, "int8.onnx", ["macs_int8_min int8"]),
        ({"condition_agree_min": 0.5}, "cpu.onnx", ["condition_agree_min cpu"]),
        ({"class_accuracy_min": {"car": 0.5}}, "cpu.onnx", ["class_accuracy_min cpu: car"]),
        ({"condition_accuracy_min": {"fog": 0.5}}, "cpu.onnx", ["condition_accuracy_min cpu: fog"]),
    ],
)
def test_what_a_mission_declares(gates: dict[str, Any], artifact: str, wanted: list[str]) -> None:
    made: Callable[..., Gates] = Gates
    assert declared_gates(made(**gates), artifact, condition=True) == wanted
