"""What a proof found: explorations, properties that hold or are broken, deadlines.

Values, and the collection that explorations write to. steps.py runs them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from edge.contract.mission.sections.policy import Confirm
from edge.proof.machines.core_laws import CoreBreach
from edge.proof.properties import PROPERTIES, Property
from edge.proof.story import Story
from edge.proof.turns.checker import Broken

Alone = tuple[str, Confirm]
"""A rule that was explored alone, and the confirm window that it had."""

SCHEMA = "brakepoint.policy-check/1"


@dataclass(frozen=True)
class Exploration:
    """One exploration: numbers of states and edges, and seconds."""

    name: str
    states: int
    edges: int
    seconds: float


@dataclass(frozen=True)
class CounterExample:
    """Why a property does not hold.

    Attributes:
        text: what is wrong.
        story: turns of `decide` that show it; None where it is not about turns.
        words: steps that show it otherwise.
        core: letters that the microcontroller took; empty where it is not about it.
    """

    text: str
    story: Story | None = None
    words: tuple[str, ...] = ()
    core: CoreBreach | None = None


@dataclass(frozen=True)
class Deadline:
    """Until when a fault's action is commanded."""

    fault: str
    action: str
    within: str


@dataclass(frozen=True)
class Proof:
    """The result.

    Attributes:
        mission: its name.
        explorations: in their order.
        broken: property -> counter-example, in the order of the table.
        deadlines: of every fault.
        notes: what was explored otherwise than as it is.
    """

    mission: str
    explorations: tuple[Exploration, ...]
    broken: dict[str, CounterExample]
    deadlines: tuple[Deadline, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Every property holds."""
        return not self.broken

    def payload(self) -> dict[str, Any]:
        """As JSON, without the schema."""
        return {
            "mission": self.mission,
            "holds": self.holds,
            "explorations": [vars(one) for one in self.explorations],
            "states": sum(one.states for one in self.explorations),
            "edges": sum(one.edges for one in self.explorations),
            "properties": [self._property(one) for one in PROPERTIES.values()],
            "deadlines": [vars(one) for one in self.deadlines],
            "notes": list(self.notes),
        }

    def _property(self, one: Property) -> dict[str, Any]:
        found = self.broken.get(one.name)
        counter_example = None
        if found is not None:
            story = None if found.story is None else found.story.to_json()
            counter_example = {"text": found.text, "story": story, "steps": list(found.words)}
        return {
            "name": one.name,
            "sentence": one.sentence,
            "requirements": list(one.requirements),
            "holds": found is None,
            "counter_example": counter_example,
        }


@dataclass
class Findings:
    """Collects what explorations find.

    Attributes:
        explorations: in their order.
        broken: property -> the first counter-example.
        turns: law of turns -> the first turn that breaks it, and the rule that was alone then.
        notes: see `Proof`.
    """

    explorations: list[Exploration] = field(default_factory=list)
    broken: dict[str, CounterExample] = field(default_factory=dict)
    turns: dict[str, tuple[Broken, Alone | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, text: str, *, words: tuple[str, ...] = ()) -> None:
        """A broken property; only the first counter-example is kept."""
        self.broken.setdefault(name, CounterExample(text, words=words))

    def add_turns(self, broken: dict[str, Broken], *, alone: Alone | None = None) -> None:
        """Broken laws of turns; `alone`: the only rule, with its window."""
        for law, one in broken.items():
            self.turns.setdefault(law, (one, alone))

    @contextmanager
    def measured(self, name: str) -> Iterator[list[int]]:
        """Measures one exploration: put its states and edges into the list."""
        began = time.perf_counter()
        counted: list[int] = []
        yield counted
        states, edges = counted
        self.explorations.append(
            Exploration(name, states, edges, round(time.perf_counter() - began, 3))
        )
