"""The sections of `policy check`, one table: what is checked, and by what.

In: a mission. Out: a `Section` each: whether all of it holds, its facts as JSON, its lines for a
person. A section that is added here is run, printed and counted in the exit code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from edge.contract.mission.schema import Mission
from edge.progress import Advance
from edge.proof.proof import Proof
from edge.proof.proof_text import print_proof
from edge.proof.prove import prove
from edge.proof.stories.story_file import StoryFile
from edge.runtime.reaction.avoidance import reactions
from edge.runtime.reaction.reaction_text import payload_of, print_reactions
from firmware_bridge.emulation.build import build_firmware, default_build_folder

WALK_TURNS = 10_000
"""Turns of random walks in every proof (R-RUN-123)."""


@dataclass(frozen=True)
class Section:
    """What one section found.

    Attributes:
        holds: nothing in it is wrong.
        payload: for programs.
        show: prints it.
        stories: its counter-examples that can be played again, the first one first.
    """

    holds: bool
    payload: dict[str, Any]
    show: Callable[[Console], None]
    stories: tuple[StoryFile, ...] = ()


def proof_section(mission: Mission, advance: Advance) -> Section:
    """Exhaustive exploration: the properties of edge/proof/properties.py."""
    program = build_firmware(default_build_folder(), target="table")
    proof = prove(mission, core_program=program, advance=advance, walk_turns=WALK_TURNS)
    return Section(
        holds=proof.holds,
        payload=proof.payload(),
        show=lambda console: print_proof(console, proof, mission),
        stories=_stories_of(proof),
    )


def _stories_of(proof: Proof) -> tuple[StoryFile, ...]:
    """The counter-examples of a proof that can be played again."""
    found = []
    for name, one in proof.broken.items():
        body = one.story if one.story is not None else one.core
        if body is not None:
            found.append(StoryFile(name, proof.mission, body))
    return tuple(found)


def reaction_section(mission: Mission, _advance: Advance) -> Section:
    """From light to standstill, as `policy reaction` prints it: figures, which judge nothing."""
    found = reactions(mission)
    return Section(
        holds=True,
        payload=payload_of(found),
        show=lambda console: print_reactions(console, found),
    )


SECTIONS: dict[str, Callable[[Mission, Advance], Section]] = {
    "proof": proof_section,
    "reaction": reaction_section,
}
