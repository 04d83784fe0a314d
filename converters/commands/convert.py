"""Verb `convert` on the command line: progress on stderr, the result on stdout."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from calibration.tracking.record_run import record
from converters.commands.gate_summary import VERDICTS, Given, require_passed, show_advice
from converters.conversion.convert import convert as convert_mission
from converters.conversion.lockfile import NAME as LOCK
from converters.conversion.run_record import convert_run
from converters.report.report import PAGE, REPORT, Report
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.contract.run_record import RunRecord, now, runs_folder, runs_in
from edge.progress import progress_bar
from edge.terminal import echo, new_console


def convert(
    mission: MissionArgument,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="folder for the artifacts")],
    ranges: Annotated[
        Path | None,
        typer.Option("--ranges", metavar="FILE", help="use these of `calibrate`, unless stale"),
    ] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="refuse other inputs or files than the lock names")
    ] = False,
    lock: Annotated[
        Path | None,
        typer.Option("--lock", metavar="FILE", help="that lock, if not DIR/convert.lock.json"),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="take nothing from former runs in the folder")
    ] = False,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write float, INT8 and CPU graphs with ranges and report; exit 1 when a gate fails.

    Goes on where a killed run stopped, and makes only what changed.
    """

    def say(line: str) -> None:
        echo(line, error=True)

    loaded = load_mission(mission, set_ or [])
    started, began = now(), time.monotonic()
    with progress_bar() as advance:
        report = convert_mission(
            loaded,
            out,
            progress=advance,
            ranges_file=ranges,
            locked=(lock or out / LOCK) if locked or lock is not None else None,
            fresh=fresh,
            former=[one for one in runs_in(runs_folder(mission)) if isinstance(one, RunRecord)],
            note=say,
        )
    run = convert_run(loaded, report, out, started=started, seconds=time.monotonic() - began)
    record(
        mission,
        run,
        digest=run.inputs["all"] or "",
        store=loaded.tracking.mlflow,
        files=[out / PAGE, out / REPORT, out / LOCK],
        say=say,
    )
    given = Given(mission, out, set_ or [])
    if as_json:
        echo(json.dumps(report.to_json(), indent=1))
    else:
        _print(report, given)
    require_passed(report, given)


def _print(report: Report, given: Given) -> None:
    """What was written, the gates, and what to try where one failed."""
    out = given.out
    console = new_console()
    files = Table(title=f"{report.mission} in {out}", title_justify="left")
    for name in ("file", "kB", "nodes", "multiplications in INT8"):
        files.add_column(name, justify="left" if name == "file" else "right")
    for name, file in report.artifacts.items():
        share = "" if file.macs_int8_share is None else f"{100 * file.macs_int8_share:.1f} %"
        files.add_row(name, f"{file.size / 1000:.0f}", str(file.nodes or ""), share)
    console.print(files)
    count = report.gate_count
    title = f"{count.words}, {count.not_gated} figures are not gated"
    gates = Table("gate", "limit", "verdict", "measured", title=title, title_justify="left")
    for gate in report.gates:
        gates.add_row(gate.name, gate.limit_text, VERDICTS[gate.passed], gate.sentence)
    console.print(gates)
    show_advice(console, report, given)
    seconds = sum(stage.seconds for stage in report.stages)
    console.print(
        "INT8 in cpu.onnx is what onnxruntime computes in integers, in the others what TensorRT's "
        f"rules say; opset {report.opset}; {seconds:.0f} s"
    )
    console.print(f"the page  {out / PAGE}", soft_wrap=True)
