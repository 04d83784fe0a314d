"""The machine of one rule: its states, its laws, how it is left, and what is explored shortened."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import PERSON, mission_with, rule

from edge.contract.mission.sections.policy import Confirm, Rule
from edge.proof.machines import rule_machine
from edge.proof.machines.rule_declared import ASKS, KNOWN, OVER, STANDS
from edge.proof.machines.rule_machine import (
    CONDITIONS,
    PARTS,
    WINDOW_MOST,
    BoundlessRule,
    RuleMachine,
    machine_kind,
    shortened,
)
from edge.runtime.policy.rule_state import RuleState

STOPS: dict[str, Any] = {"action": "EMERGENCY_STOP", "clear": "standstill", "braking_mps2": 6.0}
CAPS: dict[str, Any] = {"action": "CAP_SPEED", "ceiling_mps": 5.0, "braking_mps2": 1.0}


def a_rule(folder: Path, **more: Any) -> Rule:
    return mission_with(folder, rule("rule", PERSON, **more)).policy.rules[0]


@pytest.mark.parametrize("clear", ["when_gone", "standstill", "operator", "never"])
@pytest.mark.parametrize("kind", [STOPS, CAPS, {}])
def test_the_real_rule_does_what_is_declared_from_every_state(
    tmp_path: Path, kind: dict[str, Any], clear: str
) -> None:
    if kind is STOPS and clear == "when_gone":
        return  # a mission is refused that asks for this
    machine = RuleMachine(a_rule(tmp_path, k=2, of=4, **(kind | {"clear": clear, "hold_ms": 100})))
    explored = machine.explore()
    assert explored.states == len(machine.states) > 60
    assert machine.missteps() == []
    assert machine.frames_to_leave() == (None if clear == "never" else 4)


def test_every_window_is_a_state(tmp_path: Path) -> None:
    machine = RuleMachine(a_rule(tmp_path, k=3, of=5, **CAPS))
    windows = {state.window for state in machine.states}
    assert len(windows) == 2 + 4 + 8 + 16 + 32 + 1


def test_random_turns_end_where_the_tables_say(tmp_path: Path) -> None:
    one = a_rule(tmp_path, k=2, of=3, **STOPS)
    machine, dice = RuleMachine(one), random.Random(2)
    state = RuleState()
    for _ in range(500):
        part = dice.choice(list(PARTS))
        bits = dice.randrange(CONDITIONS) | OVER
        expected = machine.after(state, (part,), bits)
        state = PARTS[part](state, one).cleared(
            one,
            now_ns=0,
            known=bool(bits & KNOWN),
            standstill=bool(bits & STANDS),
            operator=bool(bits & ASKS),
        )
        state = replace(state, last_match_ns=None)
        assert state == expected


WRONG: dict[str, Callable[[RuleState, Rule], RuleState]] = {
    "a match": lambda state, rule: replace(
        state.after_frame(rule, matched=True, captured_ns=0), active=False
    ),
    "no match": lambda state, rule: replace(
        state.after_frame(rule, matched=False, captured_ns=0), active=True
    ),
    "unclear": lambda state, _: state,
    "a gap": lambda state, _: state,
    "the moment again, a match": lambda state, rule: state.after_frame(
        rule, matched=True, captured_ns=0
    ),
}
LAWS = {
    "a match": "rules act",
    "no match": "never early",
    "unclear": "remembers",
    "a gap": "remembers",
    "the moment again, a match": "remembers",
}


@pytest.mark.parametrize("part", WRONG)
def test_a_wrong_part_breaks_its_law(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setitem(PARTS, part, WRONG[part])
    machine = RuleMachine(a_rule(tmp_path, k=2, of=3, **STOPS))
    laws = {misstep.law: misstep.text() for misstep in machine.missteps()}
    assert LAWS[part] in laws
    assert "breaks the law" in laws[LAWS[part]]


def test_a_rule_that_clears_too_early_or_never_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = a_rule(tmp_path, k=1, of=2, **STOPS)
    real = RuleState.cleared
    early = lambda state, rule, **given: real(state, rule, **(given | {"standstill": True}))  # noqa: E731
    monkeypatch.setattr(RuleState, "cleared", early)
    assert [misstep.law for misstep in RuleMachine(one).missteps()] == ["clears as declared"]
    monkeypatch.setattr(RuleState, "cleared", lambda state, _rule, **_given: state)
    machine = RuleMachine(one)
    assert [misstep.law for misstep in machine.missteps()] == ["clears as declared"]
    assert machine.frames_to_leave() is None


def test_a_rule_without_a_bound_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def longer(state: RuleState, _rule: Rule) -> RuleState:
        return replace(state, window=(*state.window, True))

    monkeypatch.setitem(rule_machine.PARTS, "a match", longer)
    with pytest.raises(BoundlessRule, match="True, True, True"):
        RuleMachine(a_rule(tmp_path, k=1, of=2))


@pytest.mark.parametrize(
    ("k", "of", "short"),
    [
        (3, 5, (3, 5)),
        (1, 25, (1, 10)),
        (25, 25, (10, 10)),
        (20, 25, (8, 10)),
        (2, 250, (2, 10)),
        (249, 250, (9, 10)),
    ],
)
def test_long_windows_are_shortened_and_keep_their_kind(
    k: int, of: int, short: tuple[int, int]
) -> None:
    confirm = shortened(Confirm(k=k, of=of))
    assert (confirm.k, confirm.of) == short
    assert confirm.of <= WINDOW_MOST


def test_rules_that_differ_in_names_and_numbers_share_a_machine(tmp_path: Path) -> None:
    one = a_rule(tmp_path, k=2, of=3, hold_ms=100, **CAPS)
    other = one.model_copy(update={"name": "other", "hold_ms": 5000, "speed_ceiling_mps": 9.0})
    assert machine_kind(one) == machine_kind(other)
    assert machine_kind(one) != machine_kind(one.model_copy(update={"hold_ms": 0}))
    assert machine_kind(one) != machine_kind(one.model_copy(update={"action": "NOTIFY"}))
