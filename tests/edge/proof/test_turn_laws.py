"""Each law of a turn is broken by an answer that is wrong in one part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from policies.proof_road import SLOW, STOP, mission_with, settings_of

from edge.proof.laws.declared import declared
from edge.proof.laws.faults import FAULTS
from edge.proof.laws.turn import Turn, take_turn
from edge.proof.laws.turn_laws import LAWS, answers, breaches
from edge.proof.turns.checker import MS, NOW_NS, QUIET, Checker
from edge.proof.turns.recovery import worst
from edge.proof.turns.walks import walk
from edge.runtime.policy.facts import Demand
from edge.runtime.policy.policy import initial
from firmware_bridge.protocol.messages import Action, Perception, Reason

SOME = Demand("some", "rule", Action.COMFORT_STOP, None, 1.0, Reason.POLICY_RULE)


@pytest.fixture(scope="module")
def turns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Turn]:
    """A turn in which nothing is wrong, one with a match, and one in which everything is wrong."""
    mission = mission_with(tmp_path_factory.mktemp("laws"), STOP, SLOW)
    settings, classes = settings_of(mission)
    assert classes.clear is not None
    state, now_ns = initial(settings), NOW_NS
    for _ in range(4):
        now_ns += 40 * MS
        frame = classes.clear.at(now_ns)
        clear = take_turn(settings, replace(QUIET, frame=frame), state, now_ns, shown=classes.clear)
        state = clear.after
    shown = classes.of["person"].least[0]
    now_ns += 40 * MS
    facts = replace(QUIET, frame=shown.at(now_ns), standstill=False)
    match = take_turn(settings, facts, state, now_ns, shown=shown)
    bad = take_turn(settings, replace(QUIET, camera_gone=True), worst(settings), NOW_NS)
    return {"clear": clear, "match": match, "bad": bad}


def _command(**changes: Any) -> Callable[[Turn], Turn]:
    def changed(turn: Turn) -> Turn:
        assert turn.decision is not None
        command = replace(turn.decision.command, **changes)
        return replace(turn, decision=replace(turn.decision, command=command))

    return changed


def _decision(**changes: Any) -> Callable[[Turn], Turn]:
    def changed(turn: Turn) -> Turn:
        assert turn.decision is not None
        return replace(turn, decision=replace(turn.decision, **changes))

    return changed


def _after(**changes: Any) -> Callable[[Turn], Turn]:
    return lambda turn: replace(turn, after=replace(turn.after, **changes))


def _rule(**changes: Any) -> Callable[[Turn], Turn]:
    def changed(turn: Turn) -> Turn:
        first, *rest = turn.after.rules
        rules = (replace(first, **changes), *rest)
        return replace(turn, after=replace(turn.after, rules=rules))

    return changed


def _counter(name: str, **changes: Any) -> Callable[[Turn], Turn]:
    return lambda turn: _after(**{name: replace(getattr(turn.after, name), **changes)})(turn)


WRONG: dict[str, list[tuple[str, Callable[[Turn], Turn]]]] = {
    "faults act": [
        ("bad", _command(action=Action.SLOW_DOWN)),
        ("bad", _counter("stale", active=False)),
        ("bad", _counter("unknown", active=False)),
        ("bad", _counter("late", active=False)),
    ],
    "rules act": [("match", _command(action=Action.COMFORT_STOP)), ("match", _rule(active=False))],
    "never early": [("clear", _rule(active=True))],
    "nothing more": [("clear", _command(action=Action.CAP_SPEED))],
    "releases standing": [
        ("match", _command(release=True)),
        ("clear", _command(release=False)),
    ],
    "holds stops": [
        ("match", _after(held_stop=None)),
        ("clear", _after(held_stop=SOME)),
        ("match", _after(held_stop=replace(SOME, action=Action.EMERGENCY_STOP))),
    ],
    "clears as declared": [("bad", _rule(active=False))],
    "remembers": [
        ("match", _rule(window=(False,))),
        ("match", _rule(conclusive_since_gap=0)),
        ("match", _rule(newest_conclusive=False)),
        ("match", _rule(last_match_ns=None)),
    ],
    "knows": [
        ("clear", _decision(perception=Perception.UNKNOWN)),
        ("clear", _after(known_ns=None)),
        ("clear", _after(newest_ns=None)),
        ("clear", _after(newest_known=False)),
        ("clear", _decision(waiting=True)),
    ],
    "counts": [
        ("bad", _counter("unknown", level=1.0)),
        ("bad", _counter("late", level=1.0)),
        ("bad", _counter("stale", level_ns=1.0)),
        ("clear", _counter("stale", at_ns=None)),
    ],
    "numbers": [
        ("match", _command(speed_ceiling_mps=1.0)),
        ("match", _command(deceleration_limit_mps2=5.0)),
        ("clear", _command(valid_for_ms=300)),
    ],
    "names rules": [("match", _decision(matched=())), ("match", _decision(unsure=()))],
    "says why": [
        ("match", _command(reason=Reason.HEALTH)),
        ("match", _decision(demands=())),
        ("match", _decision(winner=None)),
        ("clear", _decision(demands=(replace(SOME, name="unheard of"),))),
    ],
    "never fails": [("clear", lambda turn: replace(turn, decision=None, error="KeyError()"))],
}
"""Law -> turns, each with one wrong part of its answer."""


def test_every_law_is_broken_here() -> None:
    assert WRONG.keys() == {law.name for law in LAWS}


@pytest.mark.requirement("R-RUN-120")
@pytest.mark.parametrize("law", WRONG)
def test_a_law_is_broken_by_one_wrong_part(law: str, turns: dict[str, Turn]) -> None:
    for name, wrong in WRONG[law]:
        turn = turns[name]
        assert breaches(turn) == []
        broken = wrong(turn)
        found = {breach.law: breach.text for breach in breaches(broken)}
        assert law in found
        assert found[law]
        if broken.decision is not None:
            assert not answers(broken, broken.decision, declared(broken))


def test_the_short_cut_is_the_laws(tmp_path: Path) -> None:
    """In turns of all kinds: nothing differs from what is declared, and no law finds anything."""
    settings, classes = settings_of(mission_with(tmp_path, STOP, SLOW))
    for turn in walk(settings, classes, Checker(), turns=800, seed=3):
        assert turn.decision is not None
        must = declared(turn)
        assert answers(turn, turn.decision, must)
        assert [law.name for law in LAWS if law.broken(turn, turn.decision, must)] == []


@pytest.mark.requirement("R-RUN-125")
def test_a_fault_that_the_table_lacks_breaks_a_law(
    turns: dict[str, Turn], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever adds a fallback to the loop must add its row: the proof says so."""
    from edge.runtime.policy import policy

    table = policy._fallbacks
    new = Demand("lens covered", "fallback", Action.SLOW_DOWN, 5.0, 1.0, Reason.HEALTH)
    monkeypatch.setattr(policy, "_fallbacks", lambda *given: [*table(*given), new])
    settings, _ = settings_of(mission_with(tmp_path, STOP))
    checker = Checker()
    checker.take(settings, QUIET, initial(settings))
    assert "lens covered" in checker.broken["says why"].text
    assert "lens covered" not in FAULTS
