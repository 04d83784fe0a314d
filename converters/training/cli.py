"""Verb `train` on the command line: progress on stderr, figures on stdout."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from converters.train import TrainReport
from converters.train import train as train_mission
from converters.training.task import Figures
from edge.cli_mission import JsonOption, MissionArgument, SetOption
from edge.contract.loading import load_mission
from edge.progress import progress_bar

FreshOption = Annotated[
    bool, typer.Option("--fresh", help="start anew, even where a training was cut off")
]
MANY_LABELS = 12
"""With more labels, only the worst are shown."""


def train(
    mission: MissionArgument,
    *,
    fresh: FreshOption = False,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the mission's network and judge it on examples it never saw; goes on where it was cut
    off."""
    loaded = load_mission(mission, set_ or [])
    with progress_bar() as advance:
        report = train_mission(loaded, progress=advance, fresh=fresh)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
        return
    _print(report, loaded.name)


def _print(report: TrainReport, name: str) -> None:
    console = Console(highlight=False)
    judged = report.judgement
    figures = "   ".join(f"{key} {_shown(value)}" for key, value in judged.figures.items())
    console.print(f"[bold]{name}[/], examples it never saw: {figures}")
    worst = sorted(judged.by_label, key=lambda label: _badness(judged.by_label[label]))
    labels = worst[:MANY_LABELS] if len(worst) > MANY_LABELS else list(judged.by_label)
    title = "labels" if len(labels) == len(worst) else f"the {MANY_LABELS} worst of {len(worst)}"
    _table(console, title, {label: judged.by_label[label] for label in labels})
    _table(console, "conditions", judged.by_condition)
    resumed = f", taken up again at {report.resumed_at}" if report.resumed_at else ""
    console.print(
        f"weights  {report.weights}   ({report.parameters} parameters, {report.steps} steps in "
        f"{report.seconds:.0f} s{resumed})"
    )


def _table(console: Console, title: str, rows: dict[str, Figures] | object) -> None:
    if not isinstance(rows, dict) or not rows:
        return
    columns = list(next(iter(rows.values())))
    table = Table(title, *columns, title_justify="left")
    for name, figures in rows.items():
        table.add_row(name, *(_shown(figures.get(column)) for column in columns))
    console.print(table)


def _badness(figures: Figures) -> float:
    known = [value for value in figures.values() if isinstance(value, float)]
    return min(known, default=1.0)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
