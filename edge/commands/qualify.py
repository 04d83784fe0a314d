"""Verb `qualify`: the first hour on a device, step by step, and a page to send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from edge.commands.options import (
    ConvertedOption,
    JsonOption,
    MissionArgument,
    PortOption,
    PrecisionOption,
    SetOption,
)
from edge.contract.artifact import replacing_folder, require_folder
from edge.contract.mission.loading import load_mission
from edge.progress import progress_bar
from edge.qualification.device.facts import read_facts
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device_steps import Device
from edge.qualification.page import page
from edge.qualification.qualify import Record, read_record
from edge.qualification.qualify import qualify as qualify_steps
from edge.qualification.subject import Subject
from edge.terminal import echo, new_console, styled
from firmware_bridge.errors import UsageError

JSON, PAGE = "qualification.json", "qualification.html"
STYLES = {"passed": "green", "failed": "bold red", "left out": "yellow"}
WIDTH = 120


def qualify(
    mission: MissionArgument,
    *,
    converted: ConvertedOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help=f"for {PAGE}, {JSON} and the engine")
    ] = Path("qualification"),
    source: Annotated[
        str | None, typer.Option("--source", help="as of `run`; default: a generated story")
    ] = None,
    precision: PrecisionOption = "int8",
    engine: Annotated[
        Path | None, typer.Option("--engine", metavar="FILE", help="prove this one, build none")
    ] = None,
    port: PortOption = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1.0, max=3600.0, help="of the clip, at most")
    ] = 20.0,
    tests: Annotated[
        Path | None, typer.Option("--tests", metavar="DIR", help="a checkout with its tests")
    ] = None,
    wheelhouse: Annotated[
        Path | None, typer.Option("--wheelhouse", metavar="DIR", help="that this came from")
    ] = None,
    signed_off_by: Annotated[
        str, typer.Option("--signed-off-by", metavar="NAME", help="who vouches for the record")
    ] = "",
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the device, prove the model on it, and write one page and its JSON to send."""
    loaded = load_mission(mission, set_ or [])
    _require_results(out)
    files = DeviceFiles()
    device = Device(files, read_facts(files))
    with replacing_folder(out, require=_require_results) as staging, progress_bar() as advance:
        subject = Subject(
            device,
            loaded,
            converted,
            precision,
            work=staging,
            source=source,
            port=port or loaded.link.port,
            engine=engine,
            tests=tests,
            wheelhouse=wheelhouse,
            clip_s=seconds,
            progress=advance,
        )
        record = Record.of(subject, qualify_steps(subject), signed_off_by=signed_off_by)
        (staging / JSON).write_bytes(record.to_bytes())
        (staging / PAGE).write_text(page(record))
    _show(record, as_json=as_json)
    if not as_json:
        echo(f"written: {out / PAGE}, {out / JSON}")
    raise typer.Exit(record.exit_code)


def show(
    record: Annotated[Path, typer.Argument(metavar="FILE", help=f"a {JSON}")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare a record with its digest and print it; the exit code is that of the qualification."""
    found = read_record(record)
    _show(found, as_json=as_json)
    raise typer.Exit(found.exit_code)


def _require_results(out: Path) -> None:
    require_folder(out)
    if out.exists() and not (out / JSON).is_file():
        raise UsageError(
            f"{out} is there and holds no qualification",
            expected="a new folder, or one that `qualify` wrote",
            found="other files",
            remedy="choose another folder: --out DIR",
        )


def _show(record: Record, *, as_json: bool) -> None:
    if as_json:
        echo(json.dumps(record.document, indent=1))
        return
    table = Table("step", "", "found", box=None, padding=(0, 2, 0, 0), show_header=False)
    for step in record.steps:
        text = Text(step["found"])
        if step["remedy"]:
            word = "to mend" if step["state"] == "failed" else "hint"
            text.append(f"\n{word}: {step['remedy']}", style="dim")
        state = Text(step["state"], style=STYLES[step["state"]], no_wrap=True)
        table.add_row(Text(step["step"], no_wrap=True), state, text)
    console = new_console(width=WIDTH)
    console.print(table)
    console.print(styled((record.verdict, "bold")))
