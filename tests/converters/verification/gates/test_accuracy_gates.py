"""Gates against labels, through the command line: an unmeasured figure fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from labelled_road import FRAMES, write_labelled_road

Command = Callable[..., tuple[int, str, str]]


def gates(out: str) -> dict[str, dict[str, Any]]:
    return {gate["name"]: gate for gate in json.loads(out)["gates"]}


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled_road(tmp_path_factory.mktemp("labels") / "labelled")


def test_gates_on_a_labelled_data_set(
    brakepoint: Command, tiny_mission: Path, road: Path, tmp_path: Path
) -> None:
    """The model knows "vehicle" by its name, "person" by a synonym; rain in every second drive."""
    asked = [
        f"gates.labelled={road}",
        "gates.accuracy_min=0.9",
        "gates.accuracy_drop_max=0.05",
        "gates.worst_condition_min=0.9",
        "gates.class_accuracy_min={pedestrian = 0.9, vehicle = 0.9}",
        "gates.condition_accuracy_min={rain = 0.9}",
        "gates.macs_int8_min={int8 = 0.9, cpu = 0.5}",
        "gates.infer_p99_max_ms=10000",
    ]
    arguments = [part for one in asked for part in ("--set", one)]
    done = brakepoint("convert", tiny_mission, "--out", tmp_path, "--json", *arguments)
    assert done[0] == 0, done[2]
    found = gates(done[1])
    assert all(gate["passed"] for gate in found.values() if gate["limit"] is not None)
    assert found["condition_accuracy_min int8: rain"]["measured"] == pytest.approx(1.0)
    assert (
        f"6 of {FRAMES} frames of labelled"
        in found["condition_accuracy_min int8: rain"]["sentence"]
    )
    failing = ["--set", "gates.condition_accuracy_min={snow = 0.1, rain = 0.1}"]
    code, _, err = brakepoint("convert", tiny_mission, "--out", tmp_path, *arguments, *failing)
    assert code == 1
    assert "show none of it" in " ".join(err.split())
    assert "snow" in err


def test_gates_on_labels_that_do_not_fit_their_pictures_are_refused(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    road = write_labelled_road(tmp_path / "labelled")
    table = road / "labels.csv"
    table.write_text(table.read_text() + "002.png,0,sunny,person,16,16,0,0\n")
    asked = ("--set", f"gates.labelled={road}", "--set", "gates.accuracy_min=0.9")
    code, _, err = brakepoint("convert", tiny_mission, "--out", tmp_path / "out", *asked)
    assert code == 2
    assert "002.png: boxes without an area" in err


def test_declared_gates_without_labels_fail(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    arguments = ("--out", tmp_path, "--json", "--set", "gates.accuracy_min=0.0")
    code, out, err = brakepoint("convert", tiny_mission, *arguments)
    assert code == 1
    found = gates(out)
    assert [found[f"accuracy_min {short}"]["passed"] for short in ("int8", "cpu")] == [False] * 2
    assert "is unknown: " in found["accuracy_min int8"]["sentence"]
    assert "is unknown: " in " ".join(err.split())


@pytest.mark.parametrize(
    ("key", "refused"),
    [
        ("gates.class_accuracy_min={hovercraft = 0.5}", (2, "no label of the model")),
        ("gates.accuracy_min=1.5", (2, "gates.accuracy_min")),
        ('gates.infer_p99_max_ms="fast"', (2, "gates.infer_p99_max_ms")),
        ("gates.labelled=/no/such/place", (3, "/no/such/place")),
    ],
)
def test_gates_that_cannot_be_meant(
    key: str, refused: tuple[int, str], brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    arguments = ("--set", "gates.accuracy_min=0.1", "--set", key)
    done = brakepoint("convert", tiny_mission, "--out", tmp_path / "out", *arguments)
    assert done[0] == refused[0], done[2]
    assert refused[1] in " ".join(done[2].split())
    assert not (tmp_path / "out" / "report.json").exists()
