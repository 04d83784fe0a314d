"""The closed loop: host, line, microcontroller and vehicle, every state that they reach together.

In: the tables of `Host` and `Microcontroller`. Out: which joint states are reached, and how many
turns each needs at most to get back to driving once nothing is wrong. A joint state is one number
of mixed radix: microcontroller, vehicle, host. In every step any one thing happens: a turn of the
host of which command and heartbeat arrive, or one of them, or none; a timer runs out; the vehicle
moves, stands or loses its speed sensor; a session begins, the microcontroller boots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.proof.machines.core_process import MOVING, STANDING, Step
from edge.proof.machines.frontier import Explored, Indices, reach
from edge.proof.machines.host import Host, Outcome
from edge.proof.machines.microcontroller import (
    HEARTBEATS,
    VEHICLES,
    Demand,
    Letter,
    Microcontroller,
)
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Mode

_NOTHING = -1
_DELIVERED = ("nothing arrives", "the heartbeat arrives", "the command arrives", "both arrive")
_AT_REST = 64


@dataclass(frozen=True)
class Stuck:
    """A reached joint state that does not get back to driving, and the way there in words."""

    words: tuple[str, ...]
    text: str


class ClosedLoop:
    """The joint machine.

    Attributes:
        size: number of joint states, reached or not.
    """

    def __init__(
        self, host: Host, mcu: Microcontroller, explored_as: Mapping[Demand, Demand]
    ) -> None:
        """`explored_as`: each demand -> that with which the microcontroller was explored."""
        self._host, self._mcu, self._as = host, mcu, explored_as
        self._letter = {letter: place for place, letter in enumerate(mcu.letters)}
        self._shape = (len(mcu.states), len(VEHICLES), len(host.states))
        self.size = int(np.prod(self._shape))
        self._outcomes = np.array(list(map(len, host.outcomes)), np.int32)
        self._most = int(self._outcomes.max())
        self._host_number = {state: place for place, state in enumerate(host.states)}
        self._host_after, self._arrives = self._host_tables()
        # Each host state once the first frame was perceived.
        seen = [self._host_number[replace(state, waiting=False)] for state in host.states]
        self._perceives = np.array(seen, np.int32)
        self._alone = [
            place
            for place, letter in enumerate(mcu.letters)
            if letter.vehicle is MOVING and letter.step in (Step.EXPIRE, Step.SESSION, Step.BOOT)
        ]

    @property
    def letters(self) -> int:
        """Host's turns by what arrives of them; then what happens to the microcontroller alone; the
        vehicle's three states; the first frame perceived."""
        return self._most * len(_DELIVERED) + len(self._alone) + len(VEHICLES) + 1

    def explore(self, advance: Callable[[int], None] | None = None) -> Explored:
        """Everything that is reached from boot and start, with the vehicle moving."""
        first = np.array([self._number(0, 0, 0)], np.int32)
        return reach(first, self._take, letters=self.letters, size=self.size, advance=advance)

    def turns_to_drive(self, explored: Explored) -> tuple[int, Indices]:
        """Turns after which every reached state drives again, once nothing is wrong; and the states
        that never do."""
        at = explored.reached
        origin = at.copy()
        turns = 0
        recover = self._recovery()
        while turns < _AT_REST:
            waiting = ~self._drives(at)
            if not waiting.any():
                return turns, np.zeros(0, np.int32)
            at, origin = at[waiting], origin[waiting]
            at = recover(at)
            turns += 1
        return turns, origin

    def way_to(self, explored: Explored, state: int) -> tuple[str, ...]:
        """A shortest way from the start, in words."""
        return tuple(self._words(before, letter) for before, letter in explored.way_to(state))

    def describe(self, state: int) -> str:
        """A joint state in words."""
        m, v, h = (int(part[0]) for part in self.parts(np.array([state], np.int32)))
        applied = Action(int(self._mcu.applied[m, 0])).name
        host = self._host.states[h]
        held = "nothing" if host.held is None else host.held[0].name
        vehicle = ("moves", "stands", "has no valid speed")[v]
        return f"mode {host.mode.name}, {held} held, {applied} applied, the vehicle {vehicle}"

    def _number(self, m: int, v: int, h: int) -> int:
        return (m * self._shape[1] + v) * self._shape[2] + h

    def parts(self, states: Indices) -> tuple[Indices, Indices, Indices]:
        """Numbers of the microcontroller's state, the vehicle and the host's state."""
        rest, h = np.divmod(states, self._shape[2])
        m, v = np.divmod(rest, self._shape[1])
        return m, v, h

    def _joined(self, m: Indices, v: Indices | int, h: Indices) -> Indices:
        joined: Indices = (m * self._shape[1] + v) * self._shape[2] + h
        return joined

    def _host_tables(self) -> tuple[Indices, Indices]:
        """For each host state and outcome: the state after it; and the letters of heartbeat and
        command for each vehicle. Rows that a state does not have stay empty."""
        states = len(self._host.states)
        after = np.zeros((states, self._most), np.int32)
        arrives = np.zeros((states, self._most, 2, len(VEHICLES)), np.int32)
        for place, outcomes in enumerate(self._host.outcomes):
            for row, outcome in enumerate(outcomes):
                after[place, row] = self._host_number[outcome.after]
                for v in range(len(VEHICLES)):
                    arrives[place, row, :, v] = self._messages(outcome, v)
        return after, arrives

    def _messages(self, outcome: Outcome, v: int) -> tuple[int, int]:
        """Letters of an outcome's heartbeat and command."""
        vehicle, demand = VEHICLES[v], self._as[outcome.demand]
        beat = HEARTBEATS["a healthy heartbeat" if outcome.healthy else "a blind heartbeat"]
        numbers = (demand.action, int(outcome.release), demand.ceiling_cmps, demand.braking_cmps2)
        command = Letter(Step.COMMAND, vehicle, (*numbers, LIMITS.command_valid_max_ms, 0))
        return self._letter[Letter(Step.HEARTBEAT, vehicle, beat)], self._letter[command]

    def _take(self, states: Indices, letter: int) -> tuple[Indices, Indices]:
        turns = self._most * len(_DELIVERED)
        if letter >= turns:
            return states, self._alone_after(states, letter - turns)
        row, delivered = divmod(letter, len(_DELIVERED))
        able = states[self._outcomes[states % self._shape[2]] > row]
        m, v, h = self.parts(able)
        for message in (0, 1):
            if delivered >> message & 1:
                m = self._mcu.after[self._arrives[h, row, message, v], m]
        return able, self._joined(m, v, self._host_after[h, row])

    def _alone_after(self, states: Indices, letter: int) -> Indices:
        """The states after something that is no turn of the host."""
        m, v, h = self.parts(states)
        if letter < len(self._alone):
            of_vehicle = len(self._mcu.letters) // len(VEHICLES)
            return self._joined(self._mcu.after[self._alone[letter] + of_vehicle * v, m], v, h)
        letter -= len(self._alone)
        if letter < len(VEHICLES):
            update = self._letter[Letter(Step.UPDATE, VEHICLES[letter])]
            return self._joined(self._mcu.after[update, m], letter, h)
        return self._joined(m, v, self._perceives[h])

    def _drives(self, states: Indices) -> NDArray[np.bool_]:
        """Nothing is held, nothing applied, and the mode is NORMAL."""
        m, _, h = self.parts(states)
        free = np.array([one.held is None and one.mode is Mode.NORMAL for one in self._host.states])
        drives: NDArray[np.bool_] = free[h] & (self._mcu.applied[m, 0] == 0)
        return drives

    def _recovery(self) -> Callable[[Indices], Indices]:
        """A turn in which nothing is wrong: clear road, everything arrives, a stop lets the vehicle
        stand, and the speed sensor works."""
        states = self._host.states
        after = np.full((len(states), 2, 2), _NOTHING, np.int32)
        arrives = np.zeros((len(states), 2, 2, 2, len(VEHICLES)), np.int32)
        for h, state in enumerate(states):
            for stands in (0, 1):
                for stopped in (0, 1):
                    outcome = self._host.recovery(
                        state, stands=bool(stands), stop_applied=bool(stopped)
                    )
                    if outcome is None:
                        continue
                    after[h, stands, stopped] = self._host_number[outcome.after]
                    for v in range(len(VEHICLES)):
                        arrives[h, stands, stopped, :, v] = self._messages(outcome, v)
        standing = VEHICLES.index(STANDING)

        def recover(numbers: Indices) -> Indices:
            m, v, h = self.parts(numbers)
            stopped = (self._mcu.applied[m, 0] >= int(Action.COMFORT_STOP)).astype(np.int32)
            v = np.where(stopped == 1, standing, np.where(v == 2, 0, v)).astype(np.int32)
            stands = (v == standing).astype(np.int32)
            for message in (0, 1):
                m = self._mcu.after[arrives[h, stands, stopped, message, v], m]
            return self._joined(m, v, after[h, stands, stopped])

        return recover

    def _words(self, before: int, letter: int) -> str:
        h = before % self._shape[2]
        turns = self._most * len(_DELIVERED)
        if letter < turns:
            row, delivered = divmod(letter, len(_DELIVERED))
            outcome = self._host.outcomes[h][row]
            release = ", release" if outcome.release else ""
            seen = "KNOWN" if outcome.healthy else "UNKNOWN"
            return (
                f"the host commands {Action(outcome.demand.action).name}{release} with perception "
                f"{seen}; {_DELIVERED[delivered]}"
            )
        letter -= turns
        if letter < len(self._alone):
            return self._mcu.letters[self._alone[letter]].text().split(", the vehicle")[0]
        letter -= len(self._alone)
        if letter < len(VEHICLES):
            return ("the vehicle moves", "the vehicle stands", "the speed is not valid")[letter]
        return "the first frame is perceived"
