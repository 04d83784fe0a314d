"""Verbs `policy check`, `policy explain` and `policy diagram`: prove a policy, explain an action,
draw it.

`check` explores and changes nothing but the file of `--save`; `explain` reads a run's report.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.artifact import read_json, write_atomic
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.progress import progress_bar
from edge.proof.diagram.mermaid import mermaid
from edge.proof.diagram.svg import svg as svg_of
from edge.proof.proof import SCHEMA
from edge.proof.proof_text import print_replay
from edge.proof.sections import SECTIONS
from edge.proof.stories.story_file import read_story
from edge.runtime.recording.explanation import explain as explain_moment
from edge.runtime.recording.journal import Journal, journal_of_report
from edge.runtime.recording.run_report import SCHEMA as RUN_SCHEMA
from edge.terminal import echo, new_console
from firmware_bridge.errors import UsageError

WIDTH = 140
EXPLANATION_SCHEMA = "brakepoint.policy-explanation/1"


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


def explain(
    journal: Annotated[
        Path, typer.Argument(metavar="JOURNAL", help="a report that `run --json` printed")
    ],
    at: Annotated[
        str, typer.Argument(metavar="AT", help="a second of the run, or clip:S of the clip")
    ],
    *,
    mission: Annotated[
        Path | None,
        typer.Option(
            "--mission", metavar="MISSION", help="the mission that ran: its whys and ends"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say in words why an action was taken at a moment of a run."""
    recorded = journal_of_report(read_json(journal, RUN_SCHEMA))
    policy = None if mission is None else load_mission(mission, []).policy
    found = explain_moment(recorded, _moment(at, recorded), policy)
    if as_json:
        echo(json.dumps({"schema": EXPLANATION_SCHEMA, **found.to_json()}, indent=1))
        return
    for line in found.lines():
        echo(line)


def _moment(at: str, journal: Journal) -> float:
    """Seconds of the run."""
    kind, _, number = at.rpartition(":")
    begins_s = {"": 0.0, "clip": journal.clip_begins_s}.get(kind)
    try:
        seconds = float(number) + (begins_s if begins_s is not None else math.nan)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds <= journal.seconds:
        clip = "" if journal.clip_begins_s is None else ", or clip:S"
        raise UsageError(
            "there is no such moment in this run",
            expected=f"a second from 0 to {journal.seconds:g}{clip}",
            found=at,
            remedy="see the run's timeline for moments",
        )
    return seconds


def diagram(
    mission: MissionArgument,
    *,
    set_: SetOption = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="write a picture there instead")
    ] = None,
) -> None:
    """Draw rules, faults and modes: Mermaid text, or an SVG picture."""
    loaded = load_mission(mission, set_ or [])
    if svg is None:
        echo(mermaid(loaded))
        return
    write_atomic(svg, svg_of(loaded).encode())
    echo(f"wrote {svg}", error=True)
