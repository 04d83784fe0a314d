"""Each law of the microcontroller, broken by a core that answers wrongly in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.proof.machines.core_laws import CORE_LAWS, CoreBreach, core_breaches
from edge.proof.machines.core_process import (
    COLUMNS,
    MOVING,
    NO_SENSOR,
    STANDING,
    Answer,
    CoreProcess,
    Rows,
    Step,
    Vehicle,
)
from edge.proof.machines.core_trace import letters_from_json, letters_to_json, retrace
from edge.proof.machines.microcontroller import (
    AT,
    DEMANDS_MOST,
    HEARTBEATS,
    Demand,
    Letter,
    Microcontroller,
    representatives,
)
from firmware_bridge.emulation.build import build_firmware, default_build_folder
from firmware_bridge.errors import DeviceFault, UsageError
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Reason, SafetyCommand

DEMANDS = [
    Demand.of(
        SafetyCommand(
            action=action,
            release=False,
            speed_ceiling_mps=ceiling,
            deceleration_limit_mps2=braking,
            valid_for_ms=250,
            reason=Reason.CLEAR,
        )
    )
    for action, ceiling, braking in (
        (Action.NONE, 60.0, 0.0),
        (Action.CAP_SPEED, 10.0, 1.5),
        (Action.COMFORT_STOP, 0.0, 1.0),
        (Action.EMERGENCY_STOP, 0.0, 6.0),
    )
]


@pytest.fixture(scope="module")
def program() -> Path:
    return build_firmware(default_build_folder(), target="table")


class WrongCore(CoreProcess):
    """The compiled core, with its answers spoilt."""

    spoil: Callable[[Step, Vehicle, Sequence[int], Rows, Answer], None] | None = None

    def take(
        self, step: Step, states: Rows, vehicle: Vehicle, *, given: Sequence[int] = ()
    ) -> Answer:
        real = super().take(step, states, vehicle, given=given)
        answer = Answer(real.states.copy(), real.applied.copy(), real.results.copy())
        if self.spoil is not None:
            self.spoil(step, vehicle, given, states, answer)
        return answer


@pytest.fixture
def core(program: Path) -> Iterator[WrongCore]:
    with WrongCore(program) as running:
        yield running


def found(core: CoreProcess) -> dict[str, CoreBreach]:
    mcu = Microcontroller.under_any_host(core, DEMANDS)
    explored = mcu.explore()
    assert explored.states == len(mcu.states) > 500
    return {breach.law: breach for breach in core_breaches(mcu, explored)}


def column(rows: Rows, name: str) -> Rows:
    return rows[:, AT[name]]


def _put(name: str, value: int, *, step: Step, vehicle: Vehicle | None = None) -> object:
    """After such a step the states have this value."""

    def spoil(
        taken: Step, seen: Vehicle, _given: Sequence[int], _before: Rows, answer: Answer
    ) -> None:
        if taken is step and vehicle in (None, seen):
            answer.states[:, AT[name]] = value

    return spoil


def _applies_less(
    step: Step, _vehicle: Vehicle, _given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.UPDATE:
        answer.applied[:, 1] = 6000


def _ignores_commands(
    step: Step, _vehicle: Vehicle, given: Sequence[int], before: Rows, answer: Answer
) -> None:
    if step is Step.COMMAND and given[0] == Action.CAP_SPEED:
        answer.states[:] = before
        answer.applied[:] = 0


def _does_not_clip(
    step: Step, _vehicle: Vehicle, given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.COMMAND and given[0] == Action.CAP_SPEED and given[5] == 0:
        answer.states[:, AT["commanded_braking"]] = 201


def _lets_up(
    step: Step, _vehicle: Vehicle, _given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.UPDATE:
        braking = answer.states[:, AT["latch_braking"]]
        answer.states[:, AT["latch_braking"]] = np.where(braking > 100, 100, braking)


def _releases_moving(
    step: Step, vehicle: Vehicle, given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.COMMAND and vehicle is MOVING and given[1]:
        answer.states[:, AT["latch"] : AT["latch"] + 3] = (0, 6000, 0)


def _never_tires(
    step: Step, _vehicle: Vehicle, given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.LAST and given[1] == 0 and given[0] <= 300:
        answer.applied[:] = 0


def _never_leaves(
    step: Step, _vehicle: Vehicle, given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.LAST and given[1] == 1 and given[0] == 100:
        answer.applied[:, 0] = Action.SLOW_DOWN


def _counts_blind(
    step: Step, _vehicle: Vehicle, given: Sequence[int], _before: Rows, answer: Answer
) -> None:
    if step is Step.HEARTBEAT and tuple(given) == HEARTBEATS["a blind heartbeat"]:
        answer.states[:, AT["healthy_heartbeats"]] = 3


WRONG: dict[str, object] = {
    "mcu boots stopped": _put("latch", 0, step=Step.BOOT),
    "mcu obeys": _ignores_commands,
    "mcu applies the gravest": _applies_less,
    "mcu clips": _does_not_clip,
    "mcu never lets up": _lets_up,
    "mcu releases standing": _releases_moving,
    "mcu needs a sensor": _put("latch", 0, step=Step.UPDATE, vehicle=NO_SENSOR),
    "mcu acts alone": _never_tires,
    "mcu slow ends": _put("slow", 0, step=Step.UPDATE),
    "mcu vouches": _counts_blind,
    "mcu can be left": _never_leaves,
}


def test_every_law_is_broken_here() -> None:
    assert WRONG.keys() == {law.name for law in CORE_LAWS}


def test_the_compiled_core_breaks_no_law(core: WrongCore) -> None:
    assert found(core) == {}


@pytest.mark.parametrize("law", WRONG)
def test_a_core_that_answers_wrongly_breaks_the_law(law: str, core: WrongCore) -> None:
    core.spoil = WRONG[law]  # type: ignore[assignment]
    broken = found(core)
    assert law in broken
    assert broken[law].text
    assert all(letter.text() for letter in broken[law].letters)


def test_the_way_to_a_breach_is_a_shortest_one(core: WrongCore) -> None:
    core.spoil = _releases_moving
    way = found(core)["mcu releases standing"].letters
    assert len(way) == 1  # a release while moving, right after boot
    assert way[0].step is Step.COMMAND
    assert way[0].vehicle is MOVING


@pytest.mark.requirement("R-RUN-124")
def test_a_way_is_taken_again_by_the_compiled_core(program: Path) -> None:
    """What a wrong core did is not done by the real one; a law that its way breaks is named."""
    way = (
        Letter(Step.HEARTBEAT, STANDING, HEARTBEATS["a healthy heartbeat"]),
        Letter(Step.COMMAND, MOVING, (0, 1, 6000, 0, LIMITS.command_valid_max_ms, 0)),
    )
    breach = CoreBreach("mcu releases standing", way, "a stop is released")
    again = letters_from_json(letters_to_json(breach))
    assert again == breach
    lines, wrong = retrace(again, program)
    assert [applied for _, applied in lines] == ["COMFORT_STOP 0 m/s 1 m/s2"] * 2
    assert wrong is None
    with pytest.raises(UsageError, match="cannot be read"):
        letters_from_json({"law": "x", "text": "y", "steps": [{"step": "FLY"}]})


def test_of_many_demands_the_extremes_of_each_action_stand_for_all() -> None:
    few = [Demand(2, ceiling, 100) for ceiling in range(DEMANDS_MOST)]
    assert representatives(few) == {one: one for one in few}
    many = [Demand(2, 10 * n, 200 - n) for n in range(40)] + [
        Demand(5, 0, 500 + n) for n in range(9)
    ]
    found = representatives(many)
    assert found.keys() == set(many)
    assert {one.action == other.action for one, other in found.items()} == {True}
    assert set(found.values()) == {
        Demand(2, 0, 200),
        Demand(2, 390, 161),
        Demand(5, 0, 508),
    }


def test_a_core_that_ends_is_a_device_fault(tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    with CoreProcess(silent) as core, pytest.raises(DeviceFault, match="ended"):
        core.take(Step.BOOT, np.zeros((600, len(COLUMNS)), np.int32), MOVING)
