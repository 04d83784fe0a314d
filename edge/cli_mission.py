"""Verbs `init` and `mission check`: write a first mission file, judge one."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from edge.contract.artifact import write_atomic
from edge.contract.loading import load_mission
from firmware_bridge.errors import UsageError

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="set a mission key for this run; repeatable"),
]
MissionArgument = Annotated[Path, typer.Argument(metavar="MISSION", help="a mission.toml")]
JsonOption = Annotated[bool, typer.Option("--json", help="print facts as JSON")]


def init(
    path: Annotated[Path, typer.Argument(help="the file to write")] = Path("mission.toml"),
) -> None:
    """Write a first mission file with a comment on every key."""
    if path.is_dir():
        path = path / "mission.toml"
    if path.exists():
        raise UsageError(
            f"{path} exists",
            expected="a path where nothing is yet",
            found=f"a file of {path.stat().st_size} bytes",
            remedy="choose another name, or move that file away",
        )
    template = resources.files("edge.contract").joinpath("mission_template.toml")
    write_atomic(path, template.read_bytes())
    typer.echo(f"wrote {path}", err=True)
    typer.echo(f"next: brakepoint mission check {path}", err=True)


def check(mission: MissionArgument, *, set_: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a mission file: every mistake at once, with its key."""
    loaded = load_mission(mission, set_ or [])
    if as_json:
        typer.echo(json.dumps(loaded.model_dump(mode="json"), indent=1))
        return
    rules = ", ".join(f"{rule.name} -> {rule.action}" for rule in loaded.policy.rules)
    typer.echo(f"{loaded.name}: ok")
    typer.echo(f"  model    {loaded.model.file or loaded.model.factory}")
    typer.echo(f"  labels   {len(loaded.model.labels)}")
    if loaded.model.condition is not None:
        typer.echo(f"  scenes   {', '.join(loaded.model.condition.labels)}")
    typer.echo(f"  budget   {loaded.budget.end_to_end_ms:g} ms from capture to command")
    typer.echo(f"  rules    {rules}")
