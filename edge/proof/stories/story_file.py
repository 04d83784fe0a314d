"""Counter-examples as files, and their replay: turns of `decide`, or steps of the microcontroller.

In: a proof, or a file that `policy check --save` wrote. Out: files, and what a replay shows. A
replay asks the real code again: it says whether the property is still broken, on this mission, by
this code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract.artifact import read_json, write_json
from edge.contract.mission.schema import Mission
from edge.proof.frames.frame_classes import FrameClasses, scenes_of
from edge.proof.machines.core_laws import CoreBreach
from edge.proof.machines.core_trace import letters_from_json, letters_to_json, retrace
from edge.proof.stories.story import Story, story_from_json
from edge.proof.stories.story_text import Row, played
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.emulation.build import build_firmware, default_build_folder
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.policy-story/1"


@dataclass(frozen=True)
class Replay:
    """What a replay showed: lines of a table, and what is wrong; None: nothing any more."""

    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    wrong: str | None


@dataclass(frozen=True)
class StoryFile:
    """One counter-example.

    Attributes:
        prop: the property that it breaks.
        mission: name of the mission that it was found in.
        body: a story of turns, or the way of the microcontroller.
    """

    prop: str
    mission: str
    body: Story | CoreBreach

    def write(self, path: Path) -> None:
        """Writes the file."""
        write_json(path, SCHEMA, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As in the file, without the schema."""
        if isinstance(self.body, Story):
            kind, body = "turns", self.body.to_json()
        else:
            kind, body = "microcontroller", letters_to_json(self.body)
        return {"property": self.prop, "mission": self.mission, "kind": kind, kind: body}

    def replay(self, mission: Mission) -> Replay:
        """Plays it on a mission."""
        if isinstance(self.body, Story):
            return _replay_turns(self.body, mission)
        program = build_firmware(default_build_folder(), target="table")
        lines, wrong = retrace(self.body, program)
        return Replay(("what", "applied"), tuple(lines), wrong)


_READERS: dict[str, Callable[[Mapping[str, Any]], Story | CoreBreach]] = {
    "turns": story_from_json,
    "microcontroller": letters_from_json,
}


def read_story(path: Path) -> StoryFile:
    """A file that `write` wrote.

    Raises:
        Missing, NotTrusted, UsageError: it is not there, or no such file.
    """
    document = read_json(path, SCHEMA)
    kind = document.get("kind")
    reader = _READERS.get(str(kind))
    if reader is None or not isinstance(document.get(str(kind)), dict):
        raise UsageError(
            f"{path} is no story of a policy",
            expected=f"kind = {' or '.join(_READERS)}, and what it names",
            found=f"kind = {kind}",
            remedy="write it again: brakepoint policy check MISSION --save FILE",
        )
    body = reader(document[str(kind)])
    return StoryFile(str(document.get("property")), str(document.get("mission")), body)


def _replay_turns(story: Story, mission: Mission) -> Replay:
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    shown = played(story, settings, FrameClasses(settings, scenes_of(mission)))
    return Replay(
        columns=("turn", "after, ms", "what", "decision", "breaks"),
        lines=tuple(_cells(row) for row in shown.rows),
        wrong=shown.broken.get(story.law),
    )


def _cells(row: Row) -> tuple[str, ...]:
    turns = str(row.first) if row.first == row.last else f"{row.first} to {row.last}"
    return turns, f"{row.after_ms:g}", row.what, row.decision, row.breaks
