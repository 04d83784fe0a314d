"""Verbs `init` and `mission check`: write a first mission file, check one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.artifact import write_atomic
from edge.contract.mission.loading import load_mission
from edge.contract.mission.notes import notes_of
from edge.contract.mission.schema import Mission
from edge.contract.mission.template import mission_template
from edge.install import PACKAGES, pip_install
from edge.terminal import echo
from firmware_bridge.errors import Missing, UsageError

FIRST = "converters.sources.first_mission.write:first_mission"
"""Reads a model's file and writes a mission that fits it; by name, as FIT below."""


def init(
    path: Annotated[Path, typer.Argument(help="the file to write")] = Path("mission.toml"),
    *,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="a model to fit it to: ONNX, TorchScript or torch.export"),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", help="with --model: its labels, a,b,c, or a file, one a line"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="640x384", help="with --model: its picture, if not told"),
    ] = None,
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
    if model is None:
        if labels is not None or size is not None:
            raise UsageError(
                "--labels and --size are of a model",
                expected="--model FILE with them",
                found="no --model",
                remedy=f"brakepoint init {path} --model FILE",
            )
        write_atomic(path, mission_template().encode())
        echo(f"wrote {path}", error=True)
    else:
        made = _workshop(FIRST, "init --model")(model, path, labels=labels, size=size)
        write_atomic(path, made.text.encode())
        echo(f"wrote {path} for {model}: {made.summary}", error=True)
        echo("not known, look at:", error=True)
        for line in made.unknown:
            echo(f"  {line}", error=True)
    echo(f"next: brakepoint mission check {path}", error=True)


def _workshop(target: str, verb: str) -> Callable[..., Any]:
    """A function of `converters`, by its name "module:function".

    Raises:
        Missing: a package that it needs is not installed.
    """
    module, function = target.split(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in PACKAGES:
            raise  # a module of this program is missing: a defect, so show the traceback
        raise Missing(
            f"`brakepoint {verb}` needs a package that is not installed",
            expected="the extra [convert]",
            found=str(error),
            remedy=pip_install("convert"),
        ) from error
    return found


FIT = "converters.conversion.mission_fit:fit_of"
"""Opens a model and compares it with its mission; by name, since no import points upwards."""


def check(
    mission: MissionArgument,
    *,
    set_: SetOption = None,
    file_only: Annotated[
        bool,
        typer.Option("--file-only", help="leave the model closed: run no code of a factory"),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a mission file: every mistake at once, with its key; and whether its model fits."""
    loaded = load_mission(mission, set_ or [])
    model_lines = ["not checked: --file-only"] if file_only else _model_lines(loaded)
    if as_json:
        echo(json.dumps(loaded.model_dump(mode="json"), indent=1))
        return
    rules = ", ".join(f"{rule.name} -> {rule.action}" for rule in loaded.policy.rules)
    echo(f"{loaded.name}: ok")
    echo(f"  model    {loaded.model.file or loaded.model.factory}")
    for line in model_lines:
        echo(f"           {line}")
    echo(f"  labels   {len(loaded.model.labels)}")
    if loaded.model.condition is not None:
        echo(f"  scenes   {', '.join(loaded.model.condition.labels)}")
    echo(f"  budget   {loaded.budget.end_to_end_ms:g} ms from capture to command")
    echo(f"  rules    {rules}")
    for note in notes_of(loaded):
        echo(f"  note     {note}")


def _model_lines(mission: Mission) -> list[str]:
    """Lines on the mission's model, or the reason why it was not opened.

    Raises:
        UsageError: the model does not fit the mission.
    """
    try:
        fit = _workshop(FIT, "mission check")(mission)
    except Missing as refusal:
        return [f"not checked: {refusal.what}: {refusal.found} ({refusal.remedy})"]
    if fit is None:
        return ["not checked: no such file yet"]
    lines: list[str] = fit.lines()
    return lines
