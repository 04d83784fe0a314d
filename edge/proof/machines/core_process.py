"""The microcontroller's rules as a function on many states: the compiled core in a process.

In: states as rows of numbers and a step that each of them takes. Out: states after it, what is
applied, and the result of a command. Never models the core: every answer comes from
firmware_bridge/firmware/core.
"""

from __future__ import annotations

import enum
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import DeviceFault

Rows = NDArray[np.int32]

COLUMNS = (
    "commanded",
    "commanded_ceiling",
    "commanded_braking",
    "latch",
    "latch_ceiling",
    "latch_braking",
    "command_live",
    "heartbeat_live",
    "perception_live",
    "slow",
    "healthy_heartbeats",
    "heartbeat_healthy",
    "sequence_known",
)
"""The numbers of a state, as in hal_table/main.c."""

_GIVEN = 6
_AT_ONCE = 512  # rows; both ways they fit into a pipe, so neither side waits for the other


class Step(enum.IntEnum):
    """What a state may do next; the numbers that each takes are in hal_table/main.c."""

    UPDATE = 0
    EXPIRE = 1
    COMMAND = 2
    HEARTBEAT = 3
    SESSION = 4
    BOOT = 5
    LAST = 6


@dataclass(frozen=True)
class Vehicle:
    """What the microcontroller measures."""

    speed_cmps: int
    speed_valid: bool


MOVING, STANDING, NO_SENSOR = Vehicle(1400, True), Vehicle(0, True), Vehicle(0, False)


@dataclass(frozen=True)
class Answer:
    """After a step: states, the applied (action, ceiling, braking), and each command's result."""

    states: Rows
    applied: Rows
    results: Rows


class CoreProcess:
    """The compiled core; use it as a context."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __enter__(self) -> CoreProcess:
        self._process = subprocess.Popen(
            [str(self._program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def take(
        self, step: Step, states: Rows, vehicle: Vehicle, *, given: Sequence[int] = ()
    ) -> Answer:
        """Lets every state take the same step.

        Raises:
            DeviceFault: the process ended.
        """
        numbers = [*given, *[0] * (_GIVEN - len(given)), vehicle.speed_cmps, vehicle.speed_valid]
        rows = np.empty((len(states), len(COLUMNS) + len(numbers)), np.int32)
        rows[:, : len(COLUMNS)] = states
        rows[:, len(COLUMNS) :] = numbers
        parts = [self._ask(step, rows[at : at + _AT_ONCE]) for at in range(0, len(rows), _AT_ONCE)]
        answers = np.concatenate(parts) if parts else np.empty((0, len(COLUMNS) + 4), np.int32)
        return Answer(
            states=answers[:, : len(COLUMNS)],
            applied=answers[:, len(COLUMNS) : -1],
            results=answers[:, -1],
        )

    def _ask(self, step: Step, rows: Rows) -> Rows:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        wanted = len(rows) * (len(COLUMNS) + 4) * 4
        try:
            head = np.array([step, len(rows)], np.int32)
            self._process.stdin.write(head.tobytes() + rows.tobytes())
            self._process.stdin.flush()
            answer = self._process.stdout.read(wanted)
        except OSError as error:
            raise self._ended() from error
        if len(answer) < wanted:
            raise self._ended()
        return np.frombuffer(answer, np.int32).reshape(len(rows), -1)

    def _ended(self) -> DeviceFault:
        return DeviceFault(
            "the compiled core ended",
            expected="an answer for every state",
            found=f"exit code {self._process.poll()}",
            remedy="report this as a defect of brakepoint, with the mission",
        )
