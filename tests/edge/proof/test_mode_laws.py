"""Every single wrong cell of the modes' table is found, and every wrong situation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import STOP, mission_with, settings_of

from edge.proof.laws.turn import Turn
from edge.proof.machines import mode_laws
from edge.proof.machines.mode_laws import (
    LEAVES_BY_STOPPED,
    SAYS_WHAT_HOLDS,
    declared_situation,
    situation_breach,
    situation_key,
    table_breaches,
)
from edge.proof.turns.checker import Checker
from edge.proof.turns.walks import walk
from edge.runtime.policy.facts import Decision, Facts
from edge.runtime.policy.modes import TRANSITIONS, Situation
from firmware_bridge.protocol.messages import Mode, Perception


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> list[Turn]:
    settings, classes = settings_of(mission_with(tmp_path_factory.mktemp("modes"), STOP))
    return list(walk(settings, classes, Checker(), turns=400, seed=1))


def test_the_table_and_every_situation_are_as_declared(turns: list[Turn]) -> None:
    assert list(table_breaches()) == []
    assert [found for turn in turns if (found := situation_breach(turn)) is not None] == []


def test_turns_of_one_key_have_one_situation(turns: list[Turn]) -> None:
    """Only the first turn of a key is judged in a proof."""
    found: dict[object, set[Situation]] = {}
    for turn in turns:
        assert turn.decision is not None
        seen = mode_laws.situation(turn.facts, turn.decision)
        found.setdefault(situation_key(turn), set()).add(seen)
    assert {len(seen) for seen in found.values()} == {1}


@pytest.mark.requirement("R-RUN-26")
def test_every_wrong_cell_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    laws = set()
    for mode, after in itertools.product(Mode, Situation):
        for wrong in set(Mode) - {TRANSITIONS[mode][after]}:
            with monkeypatch.context() as patched:
                patched.setitem(TRANSITIONS[mode], after, wrong)
                (breach, *_) = table_breaches()
                assert wrong.name in breach.text
                laws.add(breach.law)
    assert laws == {LEAVES_BY_STOPPED, SAYS_WHAT_HOLDS}


WRONG: dict[str, Callable[[Facts, Decision], tuple[Facts, Decision]]] = {
    "the end": lambda facts, decision: (replace(facts, ending=not facts.ending), decision),
    "waiting": lambda facts, decision: (facts, replace(decision, waiting=not decision.waiting)),
    "what is applied": lambda facts, decision: (replace(facts, effective_action=None), decision),
    "standstill": lambda facts, decision: (replace(facts, standstill=True), decision),
    "the link": lambda facts, decision: (replace(facts, link_up=True), decision),
    "perception": lambda facts, decision: (
        facts,
        replace(decision, perception=Perception.KNOWN),
    ),
    "the faults": lambda facts, decision: (facts, replace(decision, demands=())),
}


@pytest.mark.parametrize("ignored", WRONG)
def test_a_situation_that_ignores_something_is_found(
    ignored: str, turns: list[Turn], monkeypatch: pytest.MonkeyPatch
) -> None:
    def situation(facts: Facts, decision: Decision) -> Any:
        return declared_situation(*WRONG[ignored](facts, decision))

    monkeypatch.setattr(mode_laws, "situation", situation)
    found = [breach for turn in turns if (breach := situation_breach(turn)) is not None]
    assert {breach.law for breach in found} == {SAYS_WHAT_HOLDS}


def test_a_mode_that_nothing_becomes_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for row in TRANSITIONS.values():
        for after, to in list(row.items()):
            if to is Mode.DEGRADED:
                monkeypatch.setitem(row, after, Mode.NORMAL)
    texts = [breach.text for breach in table_breaches()]
    assert "no mode ever becomes DEGRADED" in texts
