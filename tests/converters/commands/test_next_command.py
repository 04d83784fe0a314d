"""A failed gate prints the command to try next, and every output counts the same gates."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_mission import write_mission

from converters.commands.gate_summary import Given
from converters.report.page.advice import advice_on
from converters.report.page.next_search import next_search

Command = Callable[..., tuple[int, str, str]]
Document = dict[str, Any]


@pytest.fixture(scope="module")
def mission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mission(tmp_path_factory.mktemp("next") / "m")


@pytest.fixture(scope="module")
def report(mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Of a conversion that passes."""
    from edge.cli import main

    out = tmp_path_factory.mktemp("next") / "out"
    with pytest.raises(SystemExit):
        main(["convert", str(mission), "--out", str(out)])
    told: Document = json.loads((out / "report.json").read_text())
    return told


def test_every_place_counts_the_same_gates(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    """Figures without a limit are no gates that hold."""
    too_small = ("--set", "gates.size_max_mb=0.000001")
    code, out, err = brakepoint("convert", mission, "--out", tmp_path, *too_small)
    assert code == 1
    report = json.loads((tmp_path / "report.json").read_text())
    judged = [gate for gate in report["gates"] if gate["passed"] is not None]
    assert report["gate_count"] == {
        "judged": len(judged),
        "failed": 1,
        "not_gated": len(report["gates"]) - len(judged),
    }
    words = f"1 of {len(judged)} gates"
    assert f"{words} failed, {len(report['gates']) - len(judged)} figures are not gated" in out
    assert f"tiny: {words} failed" in err
    assert f"Failed: {words}." in (tmp_path / "report.html").read_text()
    name = re.findall(r"recorded as (\S+)", err)[0]
    _, listed, _ = brakepoint("runs", "list", "--in", mission)
    assert f"{words} failed" in listed
    _, shown, _ = brakepoint("runs", "show", name, "--in", mission)
    assert f"{words} failed" in shown


def test_the_command_that_is_printed_can_be_run_and_mends_it(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    given = ("--set", "gates.size_max_mb=0.000001", "--set", "calibration.method=max")
    code, out, err = brakepoint("convert", mission, "--out", tmp_path, *given)
    assert code == 1
    command = re.findall(r"try next: (brakepoint .*?); see", " ".join(err.split()))[0]
    assert command in out
    words = shlex.split(command)
    assert words[:4] == ["brakepoint", "convert", str(mission), "--out"]
    assert "calibration.method=max" in words
    assert "gates.size_max_mb=0.000001" not in words
    assert brakepoint(*words[1:])[0] == 0
    told = json.loads((tmp_path / "report.json").read_text())
    assert (told["passed"], told["advice"]) == (True, [])


def test_report_page_and_terminal_say_the_same_advice(
    brakepoint: Command, mission: Path, tmp_path: Path
) -> None:
    given = ("--set", "gates.size_max_mb=0.000001")
    _, out, _ = brakepoint("convert", mission, "--out", tmp_path, *given)
    page = (tmp_path / "report.html").read_text()
    for one in json.loads((tmp_path / "report.json").read_text())["advice"]:
        assert one["text"] in page
        assert one["text"] in out
        assert one["command"] in page


STEPS = [
    {"float_layers": n, "macs_int8_share": 1.0 - share, "task_loss": task_loss}
    for n, (share, task_loss) in enumerate([(0.0, 0.3), (0.02, 0.1), (0.1, 0.06), (0.15, 0.05)])
]


def failed(report: Document, **search: Any) -> tuple[Document, list[dict[str, Any]]]:
    """The report of a conversion that loses 15 % where 10 % are allowed."""
    other = copy.deepcopy(report)
    for gate in other["gates"]:
        if gate["name"] == "found_min int8":
            gate |= {"limit": 0.9, "limit_text": ">= 0.9", "measured": 0.85, "passed": False}
    steps = search.pop("steps", [*STEPS, STEPS[-1]])
    other["search"] |= {"reached": False, "macs_int8_min": 0.85, "steps": steps, **search}
    return other, [gate for gate in other["gates"] if gate["passed"] is False]


class TestTheSearch:
    def test_that_ran_into_its_limit_may_take_the_next_point_of_its_curve(
        self, report: Document
    ) -> None:
        document, gates = failed(report)
        first = advice_on(document, gates)[0]
        assert first.command.endswith("--set precision.macs_int8_min=0.8")
        assert "0.05" in first.text
        assert "15.0 %" in first.text

    def test_that_stopped_early_aims_lower_by_as_much_as_was_lost_too_much(
        self, report: Document
    ) -> None:
        document, gates = failed(report, reached=True)
        found = next_search(document, gates)
        assert found is not None
        assert found[1] == "--set precision.task_loss_max=0.033"  # 0.05 of 15 % lost, 10 % allowed

    def test_whose_curve_is_flat_gives_way_to_finetuning(self, report: Document) -> None:
        flat = [{**step, "task_loss": 0.06} for step in STEPS]
        document, gates = failed(report, steps=[*flat, flat[-1]])
        assert next_search(document, gates) is None
        assert advice_on(document, gates)[0].command == (
            "brakepoint finetune MISSION --from DIR --out ANOTHER"
        )

    def test_does_not_go_below_the_share_that_a_gate_asks_for(self, report: Document) -> None:
        document, gates = failed(report)
        for gate in document["gates"]:
            if gate["name"] == "macs_int8_min int8":
                gate |= {"limit": 0.85, "limit_text": ">= 0.85", "passed": True}
        assert next_search(document, gates) is None

    def test_that_was_not_made_is_made(self, report: Document) -> None:
        document, gates = failed(report)
        document["search"] = None
        assert advice_on(document, gates)[0].command.endswith("--set precision.search=mixed")


def test_few_answers_ask_for_as_many_frames_as_would_tell(report: Document) -> None:
    document, gates = failed(report)
    for rows in document["evaluation"]["detections"]["by_condition"].values():
        for row in rows:
            row["networks"]["int8.onnx"] |= {"found": 34, "of": 40}
    told = [one for one in advice_on(document, gates) if "held_back" in one.command]
    # 34 of 40 in 4 frames: with 102 of 120 the limit of 0.9 lies inside, with 136 of 160 not.
    assert [one.command.rsplit("=", 1)[1] for one in told] == ["16"]


def test_a_tuned_network_is_tuned_for_longer(report: Document) -> None:
    document, gates = failed(report)
    document |= {"finetuning": {"steps": 200}, "search": None}
    given = Given(Path("m.toml"), Path("out"), ["data.root=a b"], parent=Path("first"))
    assert given.command(advice_on(document, gates)[0].command) == (
        "brakepoint finetune m.toml --from first --out out --steps 400 --set 'data.root=a b'"
    )
