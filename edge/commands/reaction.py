"""Verb `policy reaction`: how late each rule acts, and up to which speed it avoids contact."""

from __future__ import annotations

import json

from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.runtime.reaction.avoidance import reactions
from edge.runtime.reaction.reaction_text import payload_of, print_reactions
from edge.terminal import echo, new_console

WIDTH = 140


def reaction(
    mission: MissionArgument, *, set_: SetOption = None, as_json: JsonOption = False
) -> None:
    """Follow the chain from light to brakes for each rule, dry and wet, beside UN R152 and R157."""
    loaded = load_mission(mission, set_ or [])
    found = reactions(loaded)
    if as_json:
        echo(json.dumps({"mission": loaded.name, **payload_of(found)}, indent=1))
        return
    print_reactions(new_console(width=WIDTH), found)
