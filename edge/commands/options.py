"""Options that several verbs share: the mission, settings on the command line, JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="set a mission key for this run; repeatable"),
]
MissionArgument = Annotated[Path, typer.Argument(metavar="MISSION", help="a mission.toml")]
JsonOption = Annotated[bool, typer.Option("--json", help="print facts as JSON")]
