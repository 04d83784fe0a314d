"""One step of a qualification, and its outcome: passed, failed or left out, and why.

Values only; the tables of steps are in `device_steps` and `model_steps`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

State = Literal["passed", "failed", "left out"]

S = TypeVar("S")


@dataclass(frozen=True)
class Outcome:
    """What a step found.

    Attributes:
        found: a sentence; where it was left out, why.
        remedy: what to do about it; empty where nothing is to be done. A step that passed may have
            one too: advice.
        figures: what was measured, for the JSON.
    """

    state: State
    found: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def passed(found: str, *, advice: str = "", figures: Mapping[str, Any] | None = None) -> Outcome:
    """It is as it should be."""
    return Outcome("passed", found, advice, figures or {})


def failed(found: str, *, remedy: str, figures: Mapping[str, Any] | None = None) -> Outcome:
    """It is not; `remedy` says what to do."""
    return Outcome("failed", found, remedy, figures or {})


def left_out(why: str, *, remedy: str = "") -> Outcome:
    """It could not be tried here."""
    return Outcome("left out", why, remedy)


@dataclass(frozen=True)
class Step(Generic[S]):
    """One row of a table of steps.

    Attributes:
        needs: names of the steps that must have passed.
        does: what it does, for a person.
        run: the work on a subject; a Refusal that it raises is a failure.
    """

    name: str
    needs: tuple[str, ...]
    does: str
    run: Callable[[S], Outcome]


@dataclass(frozen=True)
class Done:
    """A step with its outcome and the seconds that it took."""

    name: str
    does: str
    outcome: Outcome
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "step": self.name,
            "does": self.does,
            "state": self.outcome.state,
            "found": self.outcome.found,
            "remedy": self.outcome.remedy,
            "figures": dict(self.outcome.figures),
            "seconds": round(self.seconds, 2),
        }
