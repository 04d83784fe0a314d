"""Proves a mission's policy: takes every step and finds a story for each broken law.

In: a mission, and the program of the compiled core. Out: a `Proof`. Takes seconds to minutes;
writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from edge.contract.mission.schema import Mission
from edge.progress import Advance
from edge.proof.frames.frame_classes import FrameClasses, scenes_of
from edge.proof.joint_steps import microcontroller_and_loop
from edge.proof.laws.faults import FAULTS
from edge.proof.laws.turn_laws import RAISES
from edge.proof.machines.core_process import CoreProcess
from edge.proof.proof import CounterExample, Deadline, Findings, Proof
from edge.proof.properties import PROPERTIES
from edge.proof.steps import STEPS, Work
from edge.proof.stories.search import shortest_story
from edge.proof.stories.story import story_of
from edge.runtime.policy.settings import PolicySettings

ALL_STEPS: dict[str, Callable[[Work, Callable[[int, int], None]], None]] = {
    **STEPS,
    "microcontroller and closed loop": microcontroller_and_loop,
}

SEARCH_TURNS = 20_000
"""Turns of `decide` that a search for a story may take; a shorter budget finds fewer stories from
the start of a run, and no fewer broken laws."""


def prove(
    mission: Mission,
    *,
    core_program: Path,
    advance: Advance,
    walk_turns: int,
    search_turns: int = SEARCH_TURNS,
    steps: Mapping[str, Callable[[Work, Callable[[int, int], None]], None]] | None = None,
) -> Proof:
    """Takes the steps in their order.

    Args:
        mission: whose policy is proved.
        core_program: as `build_firmware(..., target="table")` makes it.
        advance: called with the step, what is done of it, and how much there is.
        walk_turns: of random walks.
        search_turns: see SEARCH_TURNS.
        steps: those to take; None: all.
    """
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    classes = FrameClasses(settings, scenes_of(mission))
    with CoreProcess(core_program) as core:
        work = Work(mission, settings, classes, core, walk_turns)
        for name, step in (ALL_STEPS if steps is None else steps).items():
            advance(name, 0, 0)
            try:
                step(work, partial(advance, name))
            except Exception as error:  # noqa: BLE001 # the code that is explored may fail anyhow
                work.findings.add(RAISES.name, f"while exploring {name}: {error!r}")
                break
    _tell_stories(work, search_turns, advance)
    deadlines = [Deadline(f.name, f.action.name, f.deadline(settings)) for f in FAULTS.values()]
    return Proof(
        mission=mission.name,
        explorations=tuple(work.findings.explorations),
        broken=_in_order(work.findings),
        deadlines=tuple(deadlines),
        notes=tuple(work.findings.notes),
    )


def _tell_stories(work: Work, search_turns: int, advance: Advance) -> None:
    """A story for each broken law of turns: from the start of a run where the search finds one."""
    for done, (law, broken) in enumerate(work.findings.turns.items()):
        advance("looking for the shortest stories", done, len(work.findings.turns))
        story = None
        if search_turns:
            story = shortest_story(
                work.settings, work.classes, law, broken, most_turns=search_turns
            )
        if story is None:
            story = story_of(broken, law, work.settings.policy)
        work.findings.broken.setdefault(law, CounterExample(story.text, story=story))


def _in_order(findings: Findings) -> dict[str, CounterExample]:
    return {name: findings.broken[name] for name in PROPERTIES if name in findings.broken}
