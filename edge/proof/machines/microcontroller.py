"""Every state of the microcontroller's rules that any host can bring about, and the laws they obey.

In: the compiled core, and the commands that the mission's policy can give. Out: `Microcontroller`:
states, letters, and for each pair the state after it. The host is free: any command or heartbeat
may come at any time, in any order, fresh or stale, or stay away. Time is free too: whatever is live
may run out at any time, so no assumption on the line is made. How long it takes is checked from
every state by letting time pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

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
from edge.proof.machines.frontier import Explored, Indices, reach
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, SafetyCommand

AT = {name: place for place, name in enumerate(COLUMNS)}
"""Column of a state -> its place."""

VEHICLES = (MOVING, STANDING, NO_SENSOR)
_VALID_MS = LIMITS.command_valid_max_ms
_EXPIRED = (1, 2, 4, 8, 1 | 2, 1 | 4, 2 | 4, 1 | 2 | 4, 1 | 2 | 4 | 8)
"""Sets of timers that run out together: command, heartbeat, perception, escalation."""
_HEARTBEAT = 2
"""No healthy heartbeat is younger than the heartbeat's timer: they run out with it."""


@dataclass(frozen=True)
class Letter:
    """What happens to the microcontroller at once; `given` as hal_table/main.c asks for."""

    step: Step
    vehicle: Vehicle
    given: tuple[int, ...] = ()

    def text(self) -> str:
        """In words."""
        return f"{_WORDS[self.step](self.given)}, the vehicle {_VEHICLE_WORDS[self.vehicle]}"


@dataclass(frozen=True)
class Demand:
    """The numbers of a command as they travel."""

    action: int
    ceiling_cmps: int
    braking_cmps2: int

    @staticmethod
    def of(command: SafetyCommand) -> Demand:
        """Of a command."""
        return Demand(
            int(command.action),
            round(command.speed_ceiling_mps * 100.0),
            round(command.deceleration_limit_mps2 * 100.0),
        )


class Microcontroller:
    """All states of the core under any host, and where each letter leads.

    Attributes:
        states: (N, columns) rows; the first is the state after boot.
        letters: what may happen.
        after: (letters, N) the state after each.
        applied: (N, 3) what is applied there: action, ceiling, braking.
        answers: for the laws: of each letter the states after it, applied demands and results.
    """

    def __init__(self, core: CoreProcess, letters: Sequence[Letter]) -> None:
        self.letters = tuple(letters)
        self._core = core
        first = core.take(Step.BOOT, np.zeros((1, len(COLUMNS)), np.int32), MOVING).states
        self.states, self.answers = self._tabled(first)
        index = {key: place for place, key in enumerate(_keys(self.states).tolist())}
        self.after: Indices = np.array(
            [[index[key] for key in _keys(answer.states).tolist()] for answer in self.answers],
            np.int32,
        )
        self.applied = core.take(Step.UPDATE, self.states, MOVING).applied

    @staticmethod
    def under_any_host(core: CoreProcess, demands: Iterable[Demand]) -> Microcontroller:
        """With every letter, where the host's commands ask for these."""
        return Microcontroller(core, letters_of(sorted(set(demands), key=astuple)))

    def explore(self) -> Explored:
        """Every letter from every state that letters reach."""
        return reach(
            np.zeros(1, np.int32),
            lambda states, letter: (states, self.after[letter][states]),
            letters=len(self.letters),
            size=len(self.states),
        )

    def lasting(self, vehicle: Vehicle, *, for_ms: int, commands: bool, heartbeats: int) -> Answer:
        """Every state after so long with commands that ask for nothing, or none, and heartbeats of
        a kind (enum bp_table_heartbeats)."""
        given = (for_ms, int(commands), heartbeats)
        return self._core.take(Step.LAST, self.states, vehicle, given=given)

    def _tabled(self, first: Rows) -> tuple[Rows, list[Answer]]:
        """Asks the core for every letter from every state until no new state comes."""
        states, frontier = first, first
        seen = _keys(first)
        parts: list[list[Answer]] = [[] for _ in self.letters]
        while len(frontier):
            found = []
            for letter, answers in zip(self.letters, parts, strict=True):
                answer = self._core.take(letter.step, frontier, letter.vehicle, given=letter.given)
                answers.append(answer)
                found.append(answer.states)
            every = np.concatenate(found)
            keys, places = np.unique(_keys(every), return_index=True)
            new = ~np.isin(keys, seen)
            frontier = every[places[new]]
            seen = np.concatenate([seen, keys[new]])
            states = np.concatenate([states, frontier])
        return states, [_joined(answers) for answers in parts]


DEMANDS_MOST = 24
"""Demands with which the core is explored. Of more, the extremes of each action stand for all: the
core only compares numbers, clips them and takes the lower or the higher."""


def representatives(demands: Iterable[Demand]) -> dict[Demand, Demand]:
    """Each demand -> the one that it is explored as; the same action."""
    every = sorted(set(demands), key=astuple)
    if len(every) <= DEMANDS_MOST:
        return {one: one for one in every}
    found = {}
    for action in {one.action for one in every}:
        alike = [one for one in every if one.action == action]
        strict = min(alike, key=lambda one: (one.ceiling_cmps, -one.braking_cmps2))
        mild = max(alike, key=lambda one: (one.ceiling_cmps, -one.braking_cmps2))
        middle_cmps = (strict.ceiling_cmps + mild.ceiling_cmps) / 2.0
        for one in alike:
            found[one] = strict if one.ceiling_cmps <= middle_cmps else mild
    return found


def letters_of(demands: Sequence[Demand]) -> tuple[Letter, ...]:
    """Everything that a host, the line and time can do."""
    made = []
    for vehicle in VEHICLES:
        made.append(Letter(Step.UPDATE, vehicle))
        for one in demands:
            numbers = (one.ceiling_cmps, one.braking_cmps2, _VALID_MS)
            made += [
                Letter(Step.COMMAND, vehicle, (one.action, release, *numbers, 0))
                for release in (0, 1)
            ]
            made.append(Letter(Step.COMMAND, vehicle, (one.action, 1, *numbers, _VALID_MS)))
        made += [Letter(Step.HEARTBEAT, vehicle, given) for given in HEARTBEATS.values()]
        made += [
            Letter(Step.EXPIRE, vehicle, (timers, 0 if timers & _HEARTBEAT else 3, 0))
            for timers in _EXPIRED
        ]
        made.append(Letter(Step.EXPIRE, vehicle, (1, 3, LIMITS.escalation_ms)))
        made += [Letter(Step.EXPIRE, vehicle, (0, kept, 0)) for kept in (0, 1, 2)]
        made += [Letter(Step.SESSION, vehicle), Letter(Step.BOOT, vehicle)]
    return tuple(made)


_OLD_MS = LIMITS.frame_age_max_ms
HEARTBEATS = {
    "a healthy heartbeat": (1, 0, 0, 1),
    "a blind heartbeat": (0, 0, 0, 1),
    "a heartbeat with an old frame": (1, _OLD_MS, 0, 1),
    "a heartbeat of a loop that stands still": (1, 0, 0, 0),
    "a stale heartbeat": (1, 0, LIMITS.heartbeat_timeout_ms, 1),
}
"""Heartbeats in words: perceives, camera age, age, whether the loop sequence has moved."""


def _keys(rows: Rows) -> NDArray[np.int64]:
    """Each state as one number: two demands of 26 bits, nine small columns."""
    keys = np.zeros(len(rows), np.int64)
    bits = (3, 13, 10, 3, 13, 10, 1, 1, 1, 2, 2, 1, 1)
    for column, width in enumerate(bits):
        keys = keys << width | rows[:, column]
    return keys


def _joined(answers: Sequence[Answer]) -> Answer:
    return Answer(
        *(np.concatenate([getattr(one, name) for one in answers]) for name in vars(answers[0]))
    )


def _command_words(given: tuple[int, ...]) -> str:
    age = "a stale" if given[5] else "a fresh"
    numbers = f"{given[2] / 100:g} m/s, {given[3] / 100:g} m/s2"
    release = ", release" if given[1] else ""
    return f"{age} command {Action(given[0]).name} ({numbers}){release}"


def _expiry_words(given: tuple[int, ...]) -> str:
    names = ("the command", "the heartbeat", "the frame", "SLOW_DOWN")
    out = [name for bit, name in enumerate(names) if given[0] >> bit & 1]
    out += [f"all but {given[1]} healthy heartbeats"] if given[1] < 3 else []
    return f"too old: {', '.join(out)}"


_WORDS: dict[Step, Callable[[tuple[int, ...]], str]] = {
    Step.UPDATE: lambda _: "nothing arrives",
    Step.EXPIRE: _expiry_words,
    Step.COMMAND: _command_words,
    Step.HEARTBEAT: lambda given: next(
        name for name, numbers in HEARTBEATS.items() if numbers == given
    ),
    Step.SESSION: lambda _: "a new session",
    Step.BOOT: lambda _: "boot",
    Step.LAST: lambda given: f"{given[0]} ms pass",
}
_VEHICLE_WORDS = {MOVING: "moves", STANDING: "stands", NO_SENSOR: "has no valid speed"}
