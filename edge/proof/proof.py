"""What a proof found: explorations, properties that hold or are broken, deadlines.

Values, and the collection that explorations write to. steps.py runs them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from edge.proof.machines.core_laws import CoreBreach
from edge.proof.machines.frontier import Explored
from edge.proof.properties import PROPERTIES, Property
from edge.proof.stories.story import Story
from edge.proof.turns.checker import Broken

SCHEMA = "brakepoint.policy-check/1"


@dataclass(frozen=True)
class Exploration:
    """One exploration.

    Attributes:
        states, edges: their numbers.
        seconds: with the calls of the real code.
        tabled_s: seconds of processor time in which the edges were followed by numpy; None where
            each edge is a call of the real code.
    """

    name: str
    states: int
    edges: int
    seconds: float
    tabled_s: float | None = None

    @property
    def edges_a_second(self) -> float | None:
        """Where they were tabled."""
        return None if not self.tabled_s else self.edges / self.tabled_s


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
class Count:
    """What an exploration counts as it goes."""

    states: int = 0
    edges: int = 0
    tabled_s: float = 0.0

    def add(self, explored: Explored) -> None:
        """One that was tabled."""
        self.states += explored.states
        self.edges += explored.edges
        self.tabled_s += explored.seconds


@dataclass
class Findings:
    """Collects what explorations find.

    Attributes:
        explorations: in their order.
        broken: property -> the first counter-example.
        turns: law of turns -> the first turn that breaks it.
        notes: see `Proof`.
    """

    explorations: list[Exploration] = field(default_factory=list)
    broken: dict[str, CounterExample] = field(default_factory=dict)
    turns: dict[str, Broken] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, text: str, *, words: tuple[str, ...] = ()) -> None:
        """A broken property; only the first counter-example is kept."""
        self.broken.setdefault(name, CounterExample(text, words=words))

    def add_turns(self, broken: dict[str, Broken]) -> None:
        """Broken laws of turns."""
        for law, one in broken.items():
            self.turns.setdefault(law, one)

    @contextmanager
    def measured(self, name: str) -> Iterator[Count]:
        """Measures one exploration, which counts its states and edges."""
        began = time.perf_counter()
        count = Count()
        yield count
        seconds = round(time.perf_counter() - began, 3)
        tabled_s = round(count.tabled_s, 3) if count.tabled_s else None
        self.explorations.append(Exploration(name, count.states, count.edges, seconds, tabled_s))
