"""Why an action was taken: in words, from what a run recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import STOP, write_mission

from edge.contract.mission.loading import load_mission
from edge.proof.laws.faults import FAULTS
from edge.runtime.recording.explanation import CORE_WORDS, FAULT_WORDS, explain
from edge.runtime.recording.journal import journal_of_report
from firmware_bridge.errors import NotTrusted
from firmware_bridge.protocol.codec import fault_names

Brakepoint = Callable[..., tuple[int, str, str]]


def stamp(second: float) -> dict[str, Any]:
    return {"mono_ms": 1000.0 * second, "clip_s": second - 0.5, "frame": round(second * 25)}


def asked(name: str, kind: str, action: str, **moments: float) -> dict[str, Any]:
    return {"name": name, "kind": kind, "action": action} | {
        moment: stamp(second) for moment, second in moments.items()
    }


def applied(
    second: float, action: str, *, latched: bool = False, faults: Any = ()
) -> dict[str, Any]:
    numbers = {"ceiling_mps": 0.0, "deceleration_mps2": 6.0}
    row = {"action": action, "latched": latched, "faults": list(faults)}
    return {**stamp(second), **row, **numbers}


REPORT: dict[str, Any] = {
    "schema": "brakepoint.run/1",
    "mission": "roadnet",
    "seconds": 9.0,
    "timeline": [
        asked(
            "person",
            "rule",
            "EMERGENCY_STOP",
            first_seen=2.0,
            confirmed=2.08,
            commanded=2.09,
            acknowledged=2.1,
            effective=2.1,
            ended=4.0,
            released=4.02,
        ),
        asked("results late", "fallback", "SLOW_DOWN", first_seen=1.5, confirmed=1.5, ended=3.0),
        asked("camera gone", "fallback", "COMFORT_STOP", confirmed=5.0),
    ],
    "effective": [
        applied(0.0, "COMFORT_STOP", latched=True),
        applied(1.0, "NONE"),
        applied(2.1, "EMERGENCY_STOP", latched=True),
        applied(4.02, "NONE"),
        applied(4.5, "SLOW_DOWN", faults=["command_timeout", "heartbeat_timeout"]),
        applied(5.01, "COMFORT_STOP", latched=True),
    ],
    "modes": [{**stamp(0.0), "mode": "STARTING"}, {**stamp(2.08), "mode": "SAFE"}],
    "faults": [{"kind": "link", "mono_ms": 4400.0, "text": "a frame was damaged", "remedy": "x"}],
}


@pytest.fixture
def mission(tmp_path: Path) -> Path:
    return write_mission(tmp_path, STOP)


@pytest.mark.requirement("R-RUN-126")
def test_it_names_what_asked_then_and_nothing_else(mission: Path) -> None:
    journal = journal_of_report(REPORT)
    policy = load_mission(mission).policy
    expected = {
        1.2: ([], []),
        1.8: (["results late"], []),
        2.5: (["person"], ["results late"]),
        3.5: (["person"], []),
        4.2: ([], []),
        6.0: (["camera gone"], []),
    }
    for second, (causes, beside) in expected.items():
        told = explain(journal, second, policy)
        assert [cause.name for cause in told.causes] == causes, second
        assert [cause.name for cause in told.beside] == beside, second


def test_it_says_how_a_rule_came_about_and_what_ends_it(mission: Path) -> None:
    told = explain(journal_of_report(REPORT), 2.5, load_mission(mission).policy)
    lines = list(told.lines())
    assert lines == [
        "at 2.50 s",
        "  applied  EMERGENCY_STOP since 2.10 s, to 0 m/s with 6 m/s2, latched until it is "
        "released",
        "  mode     SAFE since 2.08 s",
        "  because  rule 'person' asked for EMERGENCY_STOP: for a test",
        "           first seen at 2.00 s, confirmed at 2.08 s (1 of 1 frames), commanded at 2.09 "
        "s, acknowledged at 2.10 s, applied at 2.10 s, ended at 4.00 s, released at 4.02 s",
        "           ends when none of 1 frames in a row shows it and 300 ms have passed since the "
        "last that did, and the vehicle stands",
        "  beside   fault 'results late' asked for SLOW_DOWN: too many results came later than the "
        "end-to-end budget allows",
        "           first seen at 1.50 s, confirmed at 1.50 s, ended at 3.00 s",
    ]


def test_without_the_mission_it_says_where_the_why_is() -> None:
    (cause,) = explain(journal_of_report(REPORT), 3.5, None).causes
    assert "--mission" in cause.why
    assert cause.ends == ""


def test_what_the_microcontroller_does_by_itself_is_told() -> None:
    journal = journal_of_report(REPORT)
    told = explain(journal, 4.6, None)
    assert told.alone == (
        "the microcontroller did so by itself: no fresh command came; no heartbeat of a turning "
        "loop came"
    )
    assert told.faults == ("a frame was damaged (at 4.40 s)",)
    assert "no rule and no fault asked for anything" in "\n".join(told.lines())
    assert "not released yet" in explain(journal, 0.5, None).alone
    assert explain(journal, 2.5, None).alone == ""


def test_every_fault_has_words() -> None:
    assert FAULT_WORDS.keys() == FAULTS.keys()
    assert CORE_WORDS.keys() == set(fault_names())


@pytest.mark.parametrize(
    ("at", "lines"), [("2.5", "at 2.50 s"), ("clip:2.0", "at 2.50 s"), ("9", "at 9.00 s")]
)
def test_the_verb_takes_seconds_of_the_run_and_of_the_clip(
    tmp_path: Path, mission: Path, brakepoint: Brakepoint, at: str, lines: str
) -> None:
    report = tmp_path / "run.json"
    report.write_text(json.dumps(REPORT))
    code, out, _ = brakepoint("policy", "explain", report, at, "--mission", mission)
    assert code == 0
    assert out.startswith(lines)
    code, out, _ = brakepoint("policy", "explain", report, at, "--json")
    assert json.loads(out)["schema"] == "brakepoint.policy-explanation/1"


@pytest.mark.parametrize("at", ["9.1", "-1", "soon", "clip:30", "frame:3", "nan"])
def test_a_moment_that_the_run_does_not_have_is_refused(
    tmp_path: Path, brakepoint: Brakepoint, at: str
) -> None:
    report = tmp_path / "run.json"
    report.write_text(json.dumps(REPORT))
    code, _, err = brakepoint("policy", "explain", report, "--", at)
    assert code == 2
    assert "no such moment" in err
    assert "0 to 9" in err


@pytest.mark.parametrize(
    "changes",
    [{"timeline": [{}]}, {"effective": [{"mono_ms": 1}]}, {"modes": 3}, {"seconds": "long"}],
)
def test_a_report_that_lacks_something_is_not_trusted(changes: dict[str, Any]) -> None:
    with pytest.raises(NotTrusted, match="cannot be read"):
        journal_of_report(REPORT | changes)
