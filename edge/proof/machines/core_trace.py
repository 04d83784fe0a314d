"""A way of the microcontroller as JSON, and the same way taken again by the compiled core.

In: the letters of a `CoreBreach`. Out: plain values; and for a replay what is applied after each,
and whether the last one still breaks the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.proof.machines.core_laws import CORE_LAWS, CoreBreach
from edge.proof.machines.core_process import (
    COLUMNS,
    MOVING,
    Answer,
    CoreProcess,
    Rows,
    Step,
    Vehicle,
)
from edge.proof.machines.microcontroller import Letter
from firmware_bridge.errors import UsageError
from firmware_bridge.protocol.messages import Action


@dataclass(frozen=True)
class _OneStep:
    """One state and one letter, as a `CoreTable`."""

    core: CoreProcess
    states: Rows
    letters: tuple[Letter, ...]
    answers: list[Answer]

    def lasting(self, vehicle: Vehicle, *, for_ms: int, commands: bool, heartbeats: int) -> Answer:
        """The state after so long."""
        given = (for_ms, int(commands), heartbeats)
        return self.core.take(Step.LAST, self.states, vehicle, given=given)


def letters_to_json(breach: CoreBreach) -> dict[str, Any]:
    """The way as plain values."""
    steps = [
        {
            "step": letter.step.name,
            "vehicle": [letter.vehicle.speed_cmps, letter.vehicle.speed_valid],
            "given": list(letter.given),
        }
        for letter in breach.letters
    ]
    return {"law": breach.law, "text": breach.text, "steps": steps}


def letters_from_json(document: Mapping[str, Any]) -> CoreBreach:
    """The way of a file.

    Raises:
        UsageError: it is no such file.
    """
    try:
        letters = tuple(
            Letter(
                Step[one["step"]],
                Vehicle(int(one["vehicle"][0]), bool(one["vehicle"][1])),
                tuple(int(number) for number in one["given"]),
            )
            for one in document["steps"]
        )
        return CoreBreach(str(document["law"]), letters, str(document["text"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UsageError(
            "the story cannot be read",
            expected="a file that `brakepoint policy check --save` wrote",
            found=f"{type(error).__name__}: {error}",
            remedy="write it again: brakepoint policy check MISSION --save FILE",
        ) from error


def retrace(breach: CoreBreach, program: Path) -> tuple[list[tuple[str, str]], str | None]:
    """Each letter with what is applied after it, both in words; and what is wrong with the last."""
    lines = []
    with CoreProcess(program) as core:
        before = core.take(Step.BOOT, np.zeros((1, len(COLUMNS)), np.int32), MOVING).states
        state = before
        for letter in breach.letters:
            before = state
            answer = core.take(letter.step, state, letter.vehicle, given=letter.given)
            state = answer.states
            action, ceiling, braking = (int(number) for number in answer.applied[0])
            lines.append(
                (
                    letter.text(),
                    f"{Action(action).name} {ceiling / 100:g} m/s {braking / 100:g} m/s2",
                )
            )
        last = breach.letters[-1] if breach.letters else Letter(Step.UPDATE, MOVING)
        answer = core.take(last.step, before, last.vehicle, given=last.given)
        seen = _OneStep(core, before, (last,), [answer])
        law = next((one for one in CORE_LAWS if one.name == breach.law), None)
        found = [] if law is None else [text for _, wrong, text in law.broken(seen) if wrong.any()]
    return lines, found[0] if found else None
