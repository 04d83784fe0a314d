"""What is wrong with the microcontroller's steps, for each law of core_laws.py.

In: states, letters, and what the compiled core made of them. Out: for each letter the states in
which it breaks the law, with a text. The sentences of docs/link.md judge; nothing models the
core.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.proof.machines.core_process import (
    MOVING,
    NO_SENSOR,
    STANDING,
    Answer,
    Rows,
    Step,
    Vehicle,
)
from edge.proof.machines.microcontroller import AT, HEARTBEATS, Letter
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import AckResult, Action

Bools = NDArray[np.bool_]


class CoreTable(Protocol):
    """What the laws look at: states, letters, and what each letter makes of each state."""

    @property
    def states(self) -> Rows:
        """(N, columns): the states before."""
        ...

    @property
    def letters(self) -> tuple[Letter, ...]:
        """What happened to all of them."""
        ...

    @property
    def answers(self) -> list[Answer]:
        """For each letter what came of it."""
        ...

    def lasting(self, vehicle: Vehicle, *, for_ms: int, commands: bool, heartbeats: int) -> Answer:
        """Every state after so long."""
        ...


_STOP = int(Action.COMFORT_STOP)
_SLOW = int(Action.SLOW_DOWN)
_UPDATE_MS = 10

BLIND, STANDS_STILL, HEALTHY = 1, 2, 3
"""Kinds of lasting heartbeats (enum bp_table_heartbeats); 0: none."""

Found = Iterator[tuple[Letter | None, Bools, str]]
"""A letter, the states from which it breaks the law, and what is wrong."""


def _column(rows: Rows, name: str) -> NDArray[np.int32]:
    column: NDArray[np.int32] = rows[:, AT[name]]
    return column


def _latched(rows: Rows) -> Bools:
    stopped: Bools = _column(rows, "latch") >= _STOP
    return stopped


def _steps(mcu: CoreTable) -> Iterator[tuple[Letter, Answer]]:
    yield from zip(mcu.letters, mcu.answers, strict=True)


def boots_stopped(mcu: CoreTable) -> Found:
    """After boot a stop is latched."""
    for letter, answer in _steps(mcu):
        if letter.step is Step.BOOT:
            yield letter, ~_latched(answer.states), "no stop is latched after boot"


def applies(mcu: CoreTable) -> Found:
    """What is applied is the gravest of command, timer and latch."""
    for letter, answer in _steps(mcu):
        states, applied = answer.states, answer.applied
        slow = _column(states, "slow") > 0
        row = LIMITS.action[Action.SLOW_DOWN]
        actions = [_column(states, "commanded"), _column(states, "latch"), slow * _SLOW]
        ceilings = [
            _column(states, "commanded_ceiling"),
            np.where(_latched(states), _column(states, "latch_ceiling"), 10**6),
            np.where(slow, LIMITS.slow_down_ceiling_cmps, 10**6),
        ]
        braking = [
            _column(states, "commanded_braking"),
            _column(states, "latch_braking"),
            slow * row.deceleration_default_cmps2,
        ]
        wrong = (
            (applied[:, 0] != np.maximum.reduce(actions))
            | (applied[:, 1] != np.minimum.reduce(ceilings))
            | (applied[:, 2] != np.maximum.reduce(braking))
        )
        yield letter, wrong, "it applies other than the gravest of command, timer and latch"


def obeys(mcu: CoreTable) -> Found:
    """A command that is in force is applied, or something graver; a stale one changes nothing but
    that its stop is latched."""
    refused = int(AckResult.REFUSED_STALE)
    for letter, answer in _steps(mcu):
        if letter.step is not Step.COMMAND:
            continue
        action, _, ceiling, braking, _, age = letter.given
        stale = age >= LIMITS.command_valid_max_ms
        yield letter, (answer.results == refused) != stale, "a command's age is judged wrongly"
        if not stale or action >= _STOP:
            row = LIMITS.action[Action(action)]
            least = min(max(braking, row.deceleration_min_cmps2), row.deceleration_max_cmps2)
            wrong = answer.applied[:, 0] < action
            if action > Action.NOTIFY:
                wrong |= answer.applied[:, 1] > (0 if action >= _STOP else ceiling)
                wrong |= answer.applied[:, 2] < least
            yield letter, wrong, "less is applied than the command asks for"
        else:
            weaker = _column(answer.states, "latch") < _column(mcu.states, "latch")
            weaker |= _column(answer.states, "commanded") != _column(mcu.states, "commanded")
            weaker |= _column(answer.states, "command_live") > _column(mcu.states, "command_live")
            yield letter, weaker, "a stale command changes something"


def clips(mcu: CoreTable) -> Found:
    """Numbers stay in the compiled limits."""
    for letter, answer in _steps(mcu):
        action = _column(answer.states, "commanded")
        braking = _column(answer.states, "commanded_braking")
        lowest = np.array([row.deceleration_min_cmps2 for row in LIMITS.action])[action]
        highest = np.array([row.deceleration_max_cmps2 for row in LIMITS.action])[action]
        ceiling = _column(answer.states, "commanded_ceiling")
        wrong = (braking < lowest) | (braking > highest)
        wrong |= ceiling > LIMITS.speed_ceiling_max_cmps
        booted = np.all(answer.states[:, :3] == 0, axis=1)
        yield letter, wrong & ~booted, "a number outside the compiled limits is applied"


def never_lets_up(mcu: CoreTable) -> Found:
    """A latched stop never brakes softer."""
    for letter, answer in _steps(mcu):
        both = _latched(mcu.states) & _latched(answer.states)
        if letter.step is Step.BOOT:
            continue
        softer = _column(answer.states, "latch_braking") < _column(mcu.states, "latch_braking")
        softer |= _column(answer.states, "latch") < _column(mcu.states, "latch")
        released = letter.step is Step.COMMAND and letter.given[1] == 1
        if not (released and letter.vehicle is STANDING):
            yield letter, both & softer, "a latched stop brakes softer than before"


def releases_standing(mcu: CoreTable) -> Found:
    """A stop ends by a fresh permission at standstill only."""
    before = mcu.states
    vouched = (_column(before, "healthy_heartbeats") == LIMITS.healthy_heartbeats_to_release) & (
        _column(before, "perception_live") == 1
    )
    for letter, answer in _steps(mcu):
        ended = _latched(before) & ~_latched(answer.states)
        may = (
            letter.step is Step.COMMAND
            and letter.vehicle is STANDING
            and letter.given[1] == 1
            and letter.given[5] < LIMITS.command_valid_max_ms
        )
        if may:
            yield letter, ended & ~vouched, "a stop is released that no healthy heartbeats allow"
        else:
            where = "while the vehicle moves" if letter.vehicle is not STANDING else ""
            yield letter, ended, f"a stop is released without a fresh permission {where}".strip()


def sensor(mcu: CoreTable) -> Found:
    """Without a valid speed a stop is applied."""
    for letter, answer in _steps(mcu):
        if letter.vehicle is NO_SENSOR:
            wrong = (answer.applied[:, 0] < _STOP) | ~_latched(answer.states)
            yield letter, wrong, "the speed is not valid and no stop is applied"


LASTING: tuple[tuple[str, bool, int, int], ...] = (
    ("nothing arrives", False, 0, LIMITS.heartbeat_timeout_ms),
    ("heartbeats come without commands", False, HEALTHY, LIMITS.command_valid_max_ms),
    # A loop that stands still counts once where no sequence is known yet.
    ("the loop stands still", True, STANDS_STILL, LIMITS.heartbeat_timeout_ms + _UPDATE_MS),
    ("all heartbeats are blind", True, BLIND, LIMITS.frame_age_max_ms),
)
"""What may last: in words, whether commands arrive, the kind of heartbeats, and after how many
milliseconds SLOW_DOWN is applied; COMFORT_STOP LIMITS.escalation_ms later."""


def silence(mcu: CoreTable) -> Found:
    """What lasts makes it slow down, and then stop."""
    for words, commands, heartbeats, slow_ms in LASTING:
        for vehicle in (MOVING, STANDING):
            stop_ms = slow_ms + LIMITS.escalation_ms
            for after_ms, least in ((slow_ms, _SLOW), (stop_ms, _STOP)):
                answer = mcu.lasting(
                    vehicle, for_ms=after_ms, commands=commands, heartbeats=heartbeats
                )
                letter = Letter(Step.LAST, vehicle, (after_ms, int(commands), heartbeats))
                wrong = answer.applied[:, 0] < least
                yield (
                    letter,
                    wrong,
                    f"{words} for {after_ms} ms, and {Action(least).name} is not applied",
                )


def slow_ends(mcu: CoreTable) -> Found:
    """SLOW_DOWN by a timer ends when all is well only."""
    before = mcu.states
    for letter, answer in _steps(mcu):
        after = answer.states
        ended = (_column(before, "slow") > 0) & (_column(after, "slow") == 0)
        well = (
            (_column(after, "command_live") == 1)
            & (_column(after, "perception_live") == 1)
            & (_column(after, "healthy_heartbeats") == LIMITS.healthy_heartbeats_to_release)
        )
        if letter.step is not Step.BOOT:
            yield letter, ended & ~well, "SLOW_DOWN by a timer ends too early"


def vouches(mcu: CoreTable) -> Found:
    """Only a healthy heartbeat adds to those that vouch, and only three make perception live."""
    before = mcu.states
    healthy = HEARTBEATS["a healthy heartbeat"]
    for letter, answer in _steps(mcu):
        after = answer.states
        more = _column(after, "healthy_heartbeats") > _column(before, "healthy_heartbeats")
        live = (_column(after, "perception_live") == 1) & (_column(before, "perception_live") == 0)
        if letter.step is Step.HEARTBEAT and letter.given == healthy:
            three = _column(after, "healthy_heartbeats") == LIMITS.healthy_heartbeats_to_release
            yield letter, live & ~three, "perception is vouched for by fewer heartbeats"
        else:
            # A loop that stands still counts once where no sequence is known yet.
            unknown = _column(before, "sequence_known") == 0
            first = letter.given == HEARTBEATS["a heartbeat of a loop that stands still"]
            excused = unknown if first and letter.step is Step.HEARTBEAT else np.zeros_like(unknown)
            yield letter, (more | live) & ~excused, "something unhealthy counts as healthy"


def leaves(mcu: CoreTable) -> Found:
    """A healthy host releases a standing vehicle."""
    answer = mcu.lasting(STANDING, for_ms=100, commands=True, heartbeats=HEALTHY)
    letter = Letter(Step.LAST, STANDING, (100, 1, HEALTHY))
    yield letter, answer.applied[:, 0] != 0, "a healthy host cannot release a standing vehicle"
