"""Verb `bench`: measures a mission on this machine and proposes its budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.commands.options import (
    BackendOption,
    ConvertedOption,
    EngineOption,
    JsonOption,
    MissionArgument,
    PortOption,
    PrecisionOption,
    SetOption,
)
from edge.contract.artifact import json_file, replacing_folder, require_folder
from edge.contract.mission.loading import load_mission
from edge.progress import progress_bar
from edge.qualification.bench.budget import MARGIN, as_toml
from edge.qualification.bench.chart import draw
from edge.qualification.bench.measure import BenchResult, Effort, measure
from edge.qualification.bench.spread import Spread
from edge.qualification.bench.windows import END_TO_END, HANDED_OVER, ROWS, Window
from edge.qualification.candidate import Candidate
from edge.qualification.device.files import DeviceFiles
from edge.qualification.vehicle_link import vehicle_link
from edge.terminal import echo, new_console
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.bench/1"
JSON, PLOT = "bench.json", "bench.svg"
WIDTH = 120


def bench(
    mission: MissionArgument,
    *,
    converted: ConvertedOption,
    source: Annotated[
        str | None,
        typer.Option("--source", help="as of `run`, repeated; default: a generated story"),
    ] = None,
    precision: PrecisionOption = "float",
    backend: BackendOption = None,
    engine: EngineOption = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.01, max=1440.0, help="how long the loop runs")
    ] = 10.0,
    port: PortOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help=f"write {JSON} and {PLOT}")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure every stage, cold and after so many minutes, against inference alone."""
    loaded = load_mission(mission, set_ or [])
    candidate = Candidate.choose(converted, loaded, precision, backend=backend, engine=engine)
    if out is not None:
        _require_results(out)
    with vehicle_link(loaded, port or loaded.link.port) as link, progress_bar() as advance:
        result = measure(
            candidate,
            source=source,
            link=link,
            effort=Effort(alone_s=min(3.0, 6.0 * minutes), loop_s=60.0 * minutes),
            files=DeviceFiles(),
            progress=advance,
        )
    if out is not None:
        with replacing_folder(out, require=_require_results) as staging:
            (staging / JSON).write_bytes(json_file(SCHEMA, result.to_json()))
            (staging / PLOT).write_text(draw(result))
    if as_json:
        echo(json.dumps({"schema": SCHEMA, **result.to_json()}, indent=1))
    else:
        print_result(result)
        if out is not None:
            echo(f"written: {out / JSON}, {out / PLOT}")
    raise typer.Exit(result.exit_code)


def _require_results(out: Path) -> None:
    require_folder(out)
    if out.exists() and not (out / JSON).is_file():
        raise UsageError(
            f"{out} is there and holds no measurement",
            expected="a new folder, or one that `bench` wrote",
            found="other files",
            remedy="choose another folder: --out DIR",
        )


def print_result(result: BenchResult) -> None:
    """Print the tables, the faults and the proposed section."""
    console = new_console(width=WIDTH)
    model = result.report.model
    console.print(
        f"{result.report.mission}: {model.path} ({model.precision}) on {model.backend}, "
        f"{result.report.seconds:.0f} s of {result.report.source.given} "
        f"at {result.report.source.fps:g} frames a second"
    )
    console.print(_latencies(result))
    console.print(_states(result))
    for fault in result.report.faults:
        console.print(f"fault: {fault.text}  (to mend: {fault.remedy})")
    console.print(
        f"\nfor the mission: the 99th percentile and {100 * (MARGIN - 1):.0f} % more",
        soft_wrap=True,
    )
    echo(as_toml(result.proposal))


def _latencies(result: BenchResult) -> Table:
    table = Table(title="ms in the first and the last stretch of the loop", title_justify="left")
    table.add_column("", no_wrap=True)
    for column in ("first p50", "p99", "last p50", "p95", "p99", "max", "budget", "p50 / bare"):
        table.add_column(column, justify="right", no_wrap=True)
    floor = result.hot.bare.infer
    table.add_row("bare inference", *_ends(result.cold.bare.infer), *_all(floor), "", "1.00")
    for row in ROWS:
        last, budget_ms = result.last.rows[row], result.budget_ms(row)
        table.add_row(
            row,
            *_ends(result.first.rows[row]),
            *_all(last),
            "" if budget_ms is None else f"{budget_ms:g}",
            f"{last.p50 / floor.p50:.2f}" if last is not None and row in COMPARED else "",
        )
    return table


COMPARED = ("infer", HANDED_OVER, END_TO_END)
"""Rows that contain an inference."""


def _ends(spread: Spread | None) -> list[str]:
    return ["", ""] if spread is None else [f"{spread.p50:.2f}", f"{spread.p99:.2f}"]


def _all(spread: Spread | None) -> list[str]:
    if spread is None:
        return [""] * 4
    return [f"{value:.2f}" for value in (spread.p50, spread.p95, spread.p99, spread.max)]


def _states(result: BenchResult) -> Table:
    table = Table("", "first", "last", title="throughput and device", title_justify="left")
    first, last, cold, hot = result.first, result.last, result.cold, result.hot
    table.add_row("model loaded in", f"{cold.bare.open_ms:.0f} ms", f"{hot.bare.open_ms:.0f} ms")
    table.add_row("first inference", f"{cold.bare.first_ms:.1f} ms", f"{hot.bare.first_ms:.1f} ms")
    table.add_row("frames a second, at most", _figure(cold.fps_most), _figure(hot.fps_most))
    table.add_row("frames a second, in the loop", f"{first.fps:.1f}", f"{last.fps:.1f}")
    for name in last.device:
        cells = [
            _figure(None if one is None else one.p50, " ms", digits=3)
            for one in (first.device.get(name), last.device.get(name))
        ]
        table.add_row(f"on the device, p50: {name}", *cells)
    for label, cells in _sensed(first, last):
        if any(cells):
            table.add_row(label, *cells)
    before, least = result.available
    if before is not None and least is not None:
        table.add_row("memory taken from the system", "", f"{max(before - least, 0) / 1e6:.0f} MB")
    return table


def _sensed(*stretches: Window) -> list[tuple[str, list[str]]]:
    return [
        ("this process in memory", [_figure(_mega(w.resident), " MB") for w in stretches]),
        ("hottest zone", [_figure(w.celsius, " °C") for w in stretches]),
        ("whole board", [_figure(w.watts, " W") for w in stretches]),
        ("energy for a frame", [_figure(w.millijoules, " mJ") for w in stretches]),
        ("CPU clock", [_figure(w.cpu_mhz, " MHz") for w in stretches]),
        ("GPU clock", [_figure(w.gpu_mhz, " MHz") for w in stretches]),
        ("over-current events", [_figure(w.over_current) for w in stretches]),
    ]


def _mega(value: int | None) -> float | None:
    return None if value is None else value / 1e6


def _figure(value: float | None, unit: str = "", *, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}{unit}"
