"""Verbs `policy check`, `policy explain` and `policy diagram`: prove a policy, explain an action, draw it.

`check` explores and changes nothing but the file of `--save`; `explain` reads a run's report.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.progress import progress_bar
from edge.proof.proof import SCHEMA
from edge.proof.proof_text import print_replay
from edge.proof.sections import SECTIONS
from edge.proof.story_file import read_story
from edge.terminal import echo, new_console

WIDTH = 120


def check(
    mission: MissionArgument,
    *,
    set_: SetOption = None,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FILE", help="play a counter-example again instead"),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="write the first counter-example there"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove a policy by exploring every state: exit code 1 where a property does not hold."""
    loaded = load_mission(mission, set_ or [])
    if replay is not None:
        raise typer.Exit(_replay(replay, loaded, as_json=as_json))
    with progress_bar() as advance:
        found = {name: section(loaded, advance) for name, section in SECTIONS.items()}
    holds = all(section.holds for section in found.values())
    if as_json:
        sections = {name: section.payload for name, section in found.items()}
        document = {"schema": SCHEMA, "mission": loaded.name, "holds": holds, "sections": sections}
        echo(json.dumps(document, indent=1))
    else:
        console = new_console(width=WIDTH)
        for section in found.values():
            section.show(console)
    stories = [story for section in found.values() for story in section.stories]
    if save is not None and stories:
        stories[0].write(save)
        echo(f"wrote {save}: brakepoint policy check {mission} --replay {save}", error=True)
    raise typer.Exit(0 if holds else 1)


def _replay(path: Path, mission: Mission, *, as_json: bool) -> int:
    """Plays a counter-example; returns 1 where it still breaks its property."""
    story = read_story(path)
    shown = story.replay(mission)
    if as_json:
        rows = [dict(zip(shown.columns, line, strict=True)) for line in shown.lines]
        document = {"property": story.prop, "broken": shown.wrong, "rows": rows}
        echo(json.dumps(document, indent=1))
    else:
        console = new_console(width=WIDTH)
        print_replay(console, shown)
        verdict = "holds here" if shown.wrong is None else f"is broken: {shown.wrong}"
        console.print(f"'{story.prop}' {verdict}")
    return 0 if shown.wrong is None else 1
