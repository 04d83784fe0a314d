"""The verb `policy check`: what it prints and writes, its exit codes, and that it tries all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import PERSON, SLOW, STOP, mission_with, rule, write_mission

from edge.commands import policy as policy_verbs
from edge.proof import prove as prove_module
from edge.proof import sections
from edge.proof.laws.faults import FAULTS
from edge.proof.laws.turn_laws import LAWS
from edge.proof.machines import rule_machine
from edge.proof.machines.core_laws import CORE_LAWS
from edge.proof.machines.mode_laws import LEAVES_BY_STOPPED, SAYS_WHAT_HOLDS
from edge.proof.proof import Proof
from edge.proof.properties import (
    AGES,
    DECIDES,
    DRIVES,
    FACTORS,
    IN_TIME,
    MATCHES,
    PROPERTIES,
    REACHABLE,
    RECOVERS,
    RULES_END,
)
from edge.proof.prove import ALL_STEPS, prove
from edge.proof.sections import SECTIONS, Section
from edge.proof.steps import STEPS
from edge.proof.turns.checker import Checker
from edge.runtime.policy import arbitration, policy, rule_matching
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.fault_counter import FaultCounter
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.emulation.build import build_firmware, default_build_folder
from firmware_bridge.protocol.messages import Action

Brakepoint = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def program() -> Path:
    return build_firmware(default_build_folder(), target="table")


def proved(folder: Path, program: Path, *rules: str, **more: Any) -> Proof:
    given: dict[str, Any] = {"walk_turns": 300, "search_turns": 0} | more
    return prove(
        mission_with(folder, *rules), core_program=program, advance=lambda *_: None, **given
    )


@pytest.mark.requirement("R-RUN-120", "R-RUN-122", "R-RUN-123", "R-RUN-125")
def test_a_sound_policy_holds_and_every_fact_and_fault_was_tried(
    tmp_path: Path, brakepoint: Brakepoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: dict[str, set[Any]] = defaultdict(set)
    demanded = set()
    real = Checker.take

    def take(self: Checker, settings: Any, facts: Facts, *given: Any, **more: Any) -> Any:
        for field in fields(Facts):
            value = getattr(facts, field.name)
            tried[field.name].add(value if field.name != "frame" else value is None)
        turn = real(self, settings, facts, *given, **more)
        demanded.update(demand.name for demand in turn.decision.demands)
        return turn

    monkeypatch.setattr(Checker, "take", take)
    assert sections.WALK_TURNS >= 10_000
    monkeypatch.setattr(sections, "WALK_TURNS", 500)
    code, out, err = brakepoint("policy", "check", write_mission(tmp_path, STOP))
    assert code == 0, out
    assert f"all {len(PROPERTIES)} properties hold" in out
    assert [name for name in PROPERTIES if f" {name} " not in out] == []
    assert "from 400 ms of age on" in out
    assert "million edges a second" in out
    assert "turns at most" in out
    assert "from light to the first braking" in out
    (whole,) = [line for line in out.splitlines() if " all  " in line]
    assert int(whole.split("│")[3].replace(",", "")) > 1_000_000
    assert [name for name in ALL_STEPS if name not in err] == []
    assert {name for name, values in tried.items() if len(values) < 2} == set()
    for name in ("standstill", "operator_request"):
        assert tried[name] == {True, False, None}
    assert tried["effective_action"] == {None, *Action}
    assert demanded == FAULTS.keys() | {"person"}


def _wrong_settings(patched: pytest.MonkeyPatch) -> None:
    real = PolicySettings.of
    patched.setattr(
        PolicySettings, "of", lambda *given, **more: replace(real(*given, **more), valid_for_ms=500)
    )


FOUND: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], object]]] = {
    DRIVES: (
        "faults, rules and stops together",
        lambda patched: patched.setattr(policy, "held_stop", lambda held, *_, **__: held),
    ),
    RECOVERS: (
        "the worst state until a free road",
        lambda patched: patched.setattr(RuleState, "cleared", lambda self, *_, **__: self),
    ),
    IN_TIME: (
        "counters and ages of faults",
        lambda patched: patched.setattr(
            FaultCounter,
            "after",
            lambda self, *, bad: replace(self, level=min(self.level + bad * 0.5, self.limit)),
        ),
    ),
    REACHABLE: (
        "stories of each rule",
        lambda patched: patched.setattr(rule_matching, "inside", lambda *_: False),
    ),
    AGES: ("stories of each rule", _wrong_settings),
    RULES_END: (
        "each rule's window of frames",
        lambda patched: patched.setattr(RuleState, "permits_release", lambda *_: False),
    ),
    MATCHES: (
        "stories of each rule",
        lambda patched: patched.setattr(rule_matching, "inside", lambda *_: True),
    ),
}


def test_every_property_is_broken_by_some_test() -> None:
    """Laws in test_turn_laws.py and test_core_laws.py, modes in test_mode_laws.py, these here."""
    of_laws = {law.name for law in LAWS} | {law.name for law in CORE_LAWS}
    of_modes = {LEAVES_BY_STOPPED, SAYS_WHAT_HOLDS}
    assert of_laws | of_modes | FOUND.keys() | {DECIDES, FACTORS} == PROPERTIES.keys()


@pytest.mark.parametrize("prop", FOUND)
def test_a_property_of_the_whole_is_broken_by_the_code(
    prop: str, tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, spoil = FOUND[prop]
    names = [step] if prop != DRIVES else [step, "modes", "microcontroller and closed loop"]
    spoil(monkeypatch)
    proof = proved(tmp_path, program, STOP, steps={name: ALL_STEPS[name] for name in names})
    assert prop in proof.broken
    assert proof.broken[prop].text


def test_parts_that_do_not_make_the_whole_are_found(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that behaves otherwise in the whole policy than it does when it is tabled."""
    names = [name for name in STEPS if "alone" not in name and "worst" not in name]
    real = RuleState.after_gap

    def walk_otherwise(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(RuleState, "after_gap", lambda self: self)
        yield from walked(*given, **more)
        monkeypatch.setattr(RuleState, "after_gap", real)

    from edge.proof import steps

    walked = steps.walk
    monkeypatch.setattr(steps, "walk", walk_otherwise)
    proof = proved(tmp_path, program, STOP, SLOW, steps={name: STEPS[name] for name in names})
    assert "does not follow its machine" in proof.broken[FACTORS].text


def test_a_policy_that_fails_is_a_broken_property_and_no_traceback(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise KeyError("no such action")

    monkeypatch.setattr(policy, "command_of", fails)
    proof = proved(tmp_path, program, STOP)
    assert "KeyError" in proof.broken["never fails"].text


def test_long_windows_are_noted(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_machine, "WINDOW_MOST", 4)
    long = rule("long", PERSON, k=20, of=25, action="CAP_SPEED", ceiling_mps=5.0, braking_mps2=1.0)
    names = ["each rule's window of frames"]
    proof = proved(tmp_path, program, long, steps={name: STEPS[name] for name in names})
    assert proof.notes == ("rule 'long': 20 of 25 frames is explored as 3 of 4",)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """The verb takes these steps alone."""
    monkeypatch.setattr(prove_module, "ALL_STEPS", {name: ALL_STEPS[name] for name in names})


@pytest.mark.requirement("R-RUN-121")
def test_a_policy_that_contradicts_itself_is_one_message_and_exit_code_1(
    tmp_path: Path, brakepoint: Brakepoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "stories of each rule")
    hidden = rule("hidden", PERSON, action="SLOW_DOWN", ceiling_mps=5.0, braking_mps2=2.0)
    code, out, _ = brakepoint("policy", "check", write_mission(tmp_path, STOP, hidden), "--json")
    assert code == 1
    document = json.loads(out)
    assert document["schema"] == "brakepoint.policy-check/1"
    assert document["holds"] is False
    properties = document["sections"]["proof"]["properties"]
    broken = [one for one in properties if not one["holds"]]
    assert [one["name"] for one in broken] == [DECIDES]
    assert broken[0]["counter_example"]["text"] == (
        "rule 'hidden' never changes a command: whenever it is active, 'person' asks for at least "
        "as much"
    )


def test_another_section_is_run_printed_and_counted(
    tmp_path: Path, brakepoint: Brakepoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place where more is to be checked: a row of SECTIONS."""
    shown = Section(False, {"far": 3}, lambda console: console.print("too far"))
    monkeypatch.setattr(policy_verbs, "SECTIONS", {"distance": lambda *_: shown})
    path = write_mission(tmp_path, STOP)
    code, out, _ = brakepoint("policy", "check", path)
    assert (code, out.strip()) == (1, "too far")
    _, out, _ = brakepoint("policy", "check", path, "--json")
    assert json.loads(out)["sections"] == {"distance": {"far": 3}}
    assert list(SECTIONS) == ["proof", "reaction"]


@pytest.mark.requirement("R-RUN-124")
def test_a_counter_example_is_saved_and_played_again(
    tmp_path: Path, brakepoint: Brakepoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in code that releases while moving; mended, the same story breaks nothing."""
    real = arbitration.command_of

    def releases(demands: Any, **given: Any) -> Any:
        return real(demands, **(given | {"may_release": True}))

    monkeypatch.setattr(policy, "command_of", releases)
    only(monkeypatch, "counters and ages of faults")
    path, story = write_mission(tmp_path, STOP), tmp_path / "story.json"
    code, out, err = brakepoint("policy", "check", path, "--save", story)
    assert code == 1
    assert "release is True, must be False" in out
    assert f"--replay {story}" in err
    code, out, _ = brakepoint("policy", "check", path, "--replay", story)
    assert code == 1
    assert "'releases standing' is broken" in out
    code, out, _ = brakepoint("policy", "check", path, "--replay", story, "--json")
    assert json.loads(out)["rows"][-1]["breaks"].startswith("releases standing")
    monkeypatch.setattr(policy, "command_of", real)
    code, out, _ = brakepoint("policy", "check", path, "--replay", story)
    assert code == 0
    assert "'releases standing' holds here" in out


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("nothing", 4, "not valid JSON"),
        ('{"schema": "brakepoint.run/1"}', 4, "another schema"),
        ('{"schema": "brakepoint.policy-story/1", "kind": "film"}', 2, "no story"),
        (
            '{"schema": "brakepoint.policy-story/1", "kind": "turns", "turns": {"law": "x"}}',
            2,
            "cannot be read",
        ),
    ],
)
def test_a_file_that_is_no_story_is_one_message(
    tmp_path: Path, brakepoint: Brakepoint, text: str, code: int, words: str
) -> None:
    story = tmp_path / "story.json"
    story.write_text(text)
    found, _, err = brakepoint("policy", "check", write_mission(tmp_path, STOP), "--replay", story)
    assert found == code
    assert words in err
