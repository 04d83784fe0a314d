"""The verb `compare`: what one network loses against another on the same frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from calibration.commands.evaluation_tables import number
from calibration.evaluation.paired_comparison import (
    COMPARISON,
    Comparison,
    compare,
    read_evaluation,
)
from edge.commands.options import JsonOption
from edge.terminal import echo, new_console
from firmware_bridge.errors import GateFailed, UsageError

SHOWN = 10
"""Frames listed on the terminal; `--json` lists all."""


def compare_verb(
    first: Annotated[
        Path, typer.Argument(metavar="A", help="an evaluation, or a folder of --precision both")
    ],
    second: Annotated[Path | None, typer.Argument(metavar="B", help="another one")] = None,
    *,
    max_loss: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="largest loss of the score allowed, 0..1"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold evaluation B against A, frame by frame; exit 1 when it loses more than --max-loss."""
    if second is None:
        if not first.is_dir():
            raise UsageError(
                "there is one evaluation, and nothing to hold it against",
                expected="two files, or the folder that `evaluate --precision both` wrote",
                found=str(first),
                remedy="brakepoint compare A.json B.json",
            )
        first, second = first / "evaluation-float.json", first / "evaluation-int8.json"
    found = compare(read_evaluation(first), read_evaluation(second))
    if as_json:
        echo(json.dumps({"schema": COMPARISON, **found.payload()}, indent=1))
    else:
        _show(new_console(), found)
    loss = found.score.loss
    # A loss that is not known fails, like one that is too large.
    if max_loss is not None and not (loss is not None and loss <= max_loss):
        raise GateFailed(
            f"{found.second} loses too much",
            expected=f"{found.score.name} at most {max_loss:g} below {found.first}'s",
            found=f"{number(found.score.first)} -> {number(found.score.second)}",
            remedy="look at the frames that got worse; leave more layers in float "
            "(precision.task_loss_max), or calibrate on frames like them",
        )


def _show(console: Console, found: Comparison) -> None:
    console.print(f"{found.second} against {found.first}, {found.frames} frames")
    score = found.score
    interval = "" if score.interval is None else "  95 % {:+.3f} to {:+.3f}".format(*score.interval)
    loss = "-" if score.loss is None else f"{score.loss:+.3f}"
    console.print(
        f"{score.name} {number(score.first)} -> {number(score.second)}, loss {loss}{interval}"
    )
    console.print(
        f"{found.lost} lost, {found.gained} gained; McNemar's exact test: p = {found.p_value:.3g}"
    )
    table = Table("", "first", "second", "loss")
    for row in found.rows:
        loss = "-" if row.loss is None else f"{row.loss:+.3f}"
        table.add_row(row.name, number(row.first), number(row.second), loss)
    console.print(table)
    for frame in found.worse[:SHOWN]:
        words = f"{frame.lost} lost, {frame.made_up} made up"
        if found.unit == "pixels":
            words = f"{frame.lost} more pixels wrong"
        console.print(f"  {frame.name}: {words}")
    if len(found.worse) > SHOWN:
        console.print(f"  and {len(found.worse) - SHOWN} more frames got worse")
