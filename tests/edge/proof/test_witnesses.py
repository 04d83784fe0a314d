"""Rules that never fire or never matter are found, and those that do are not accused."""

from __future__ import annotations

from pathlib import Path

import pytest
from policies.proof_road import PERSON, STOP, mission_with, rule, settings_of

from edge.contract.mission.schema import Mission
from edge.proof.turns.witnesses import Witness, witness

MILD = {"action": "SLOW_DOWN", "ceiling_mps": 5.0, "braking_mps2": 2.0}


def found(mission: Mission, name: str) -> Witness:
    settings, classes = settings_of(mission)
    (one,) = [one for one in mission.policy.rules if one.name == name]
    return witness(settings, classes, one)


@pytest.mark.requirement("R-RUN-121")
@pytest.mark.parametrize(
    ("when", "more"),
    [
        (PERSON, {}),
        (PERSON.replace("0.6", "0.9"), {}),
        (PERSON + ", time_to_contact_max_s = 2.0", {}),
        (PERSON + ", count = 3", {}),
        (PERSON, {"k": 2, "of": 3}),
    ],
)
def test_a_rule_that_a_graver_one_hides_is_found(
    tmp_path: Path, when: str, more: dict[str, int]
) -> None:
    mission = mission_with(tmp_path, STOP, rule("hidden", when, **MILD, **more))
    assert found(mission, "hidden") == Witness("hidden", True, False, ("person",))
    assert found(mission, "person").decides


@pytest.mark.parametrize(
    ("graver", "milder"),
    [
        # Fires first, outlasts it, brakes harder, fires on a flicker, waits for the operator.
        ({"k": 3, "of": 5}, {"k": 1, "of": 1}),
        ({}, {"hold_ms": 2000}),
        ({"braking_mps2": 1.0, "action": "COMFORT_STOP"}, {"braking_mps2": 2.0}),
        ({"k": 2, "of": 2}, {"k": 2, "of": 5}),
        ({"hold_ms": 0}, {"clear": "operator"}),
    ],
)
def test_a_rule_that_sometimes_decides_is_not_accused(
    tmp_path: Path, graver: dict[str, object], milder: dict[str, object]
) -> None:
    stop = {"action": "EMERGENCY_STOP", "clear": "standstill", "braking_mps2": 6.0} | graver
    mission = mission_with(
        tmp_path,
        rule("graver", PERSON, **stop),  # type: ignore[arg-type]
        rule("milder", PERSON, **(MILD | milder)),  # type: ignore[arg-type]
    )
    assert found(mission, "milder").decides


def test_a_rule_that_cannot_match_does_not_fire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.runtime.policy import rule_matching

    monkeypatch.setattr(rule_matching, "inside", lambda *_: False)
    assert not found(mission_with(tmp_path, STOP), "person").fires
