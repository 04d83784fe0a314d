"""The verbs `ranges diff` and `ranges plot`: options and printing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from calibration.observation.observation import NAME as OBSERVATION
from calibration.observation.observation import read_observation
from calibration.ranges.plot import plot as draw
from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import differences, read_ranges
from edge.commands.options import JsonOption
from edge.terminal import echo, new_console

SOURCES = ("model", "data", "preprocess", "method", "percentile")


def diff(
    one: Annotated[Path, typer.Argument(metavar="A", help="a ranges.json")],
    other: Annotated[Path, typer.Argument(metavar="B", help="another")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell what two ranges.json were taken from, and every range that differs."""
    former, latter = read_ranges(one, model=None), read_ranges(other, model=None)
    sources = {
        name: [getattr(former, name), getattr(latter, name)]
        for name in SOURCES
        if getattr(former, name) != getattr(latter, name)
    }
    rows = differences(former, latter)
    if as_json:
        tensors = [{**asdict(row), "change": row.change} for row in rows]
        echo(json.dumps({"taken_from": sources, "tensors": tensors}, indent=1))
        return
    console = new_console()
    for name, (before, after) in sources.items():
        console.print(f"{name}: {before} -> {after}")
    table = Table("range", "A", "B", "change", title_justify="left")
    for row in rows:
        values = ["-" if value is None else f"{value:.5g}" for value in (row.one, row.other)]
        change = "" if row.change is None else f"{100 * row.change:+.1f} %"
        table.add_row(row.tensor, *values, change)
    if rows:
        console.print(table)
    console.print(f"{len(rows)} of {len(former.tensors)} ranges differ")


def plot(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="what `calibrate` wrote")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="an .svg or .png")],
) -> None:
    """Draw every range over the values it was taken from."""
    ranges = read_ranges(folder / RANGES, model=None)
    draw(ranges, read_observation(folder / OBSERVATION), out)
    echo(f"wrote {out}", error=True)
