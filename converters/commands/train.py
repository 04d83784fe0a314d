"""Verb `train` on the command line: progress on stderr, figures on stdout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from calibration.tracking.record_run import mirror_record
from converters.training.architecture_search import LATENCY_WEIGHT, SearchReport, pareto_front
from converters.training.architecture_search import search as search_candidates
from converters.training.cross_validation import FoldsReport, cross_validate
from converters.training.tasks.task import Figures, Judgement
from converters.training.train import TrainReport
from converters.training.train import train as train_mission
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.mission.loading import load_mission
from edge.progress import progress_bar
from edge.terminal import echo, new_console, styled
from firmware_bridge.errors import UsageError

FreshOption = Annotated[
    bool, typer.Option("--fresh", help="start anew, even where a training was cut off")
]
FoldsOption = Annotated[
    int | None, typer.Option("--folds", metavar="K", help="cross-validate; writes no weights")
]
SearchOption = Annotated[
    int | None,
    typer.Option("--search", metavar="N", help="compare N candidates; writes no weights"),
]
MANY_ROWS = 12
"""With more labels, only the worst are shown."""
SHOWN_BY_CONDITION = ("frames", "objects", "ap50", "recall", "condition_accuracy")


def train(
    mission: MissionArgument,
    *,
    folds: FoldsOption = None,
    search: SearchOption = None,
    fresh: FreshOption = False,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the mission's network and judge it on examples it never saw.

    Goes on where a training was cut off.
    """
    if folds is not None and search is not None:
        raise UsageError(
            "--folds and --search are two questions",
            expected="one of them",
            found="both",
            remedy="search first, then cross-validate with the settings it names",
        )
    loaded = load_mission(mission, set_ or [])
    report: TrainReport | FoldsReport | SearchReport
    with progress_bar() as advance:
        if folds is not None:
            report = cross_validate(loaded, folds, progress=advance, fresh=fresh)
        elif search is not None:
            report = search_candidates(loaded, search, progress=advance, fresh=fresh)
        else:
            report = train_mission(loaded, progress=advance, fresh=fresh)
    assert report.record is not None  # every training leaves one
    mirror_record(
        report.record, store=loaded.tracking.mlflow, say=lambda line: echo(line, error=True)
    )
    if as_json:
        echo(json.dumps(report.to_json(), indent=1))
        return
    console = new_console()
    if isinstance(report, FoldsReport):
        _print_folds(console, report, loaded.name)
    elif isinstance(report, SearchReport):
        _print_search(console, report, loaded.name)
    else:
        _print(console, report, loaded.name)


def _print(console: Console, report: TrainReport, name: str) -> None:
    judged = report.judgement
    figures = "   ".join(f"{key} {_shown(value)}" for key, value in judged.figures.items())
    console.print(styled((name, "bold"), f", examples it never saw: {figures}"))
    _print_labels(console, judged)
    _table(console, "condition", judged.by_condition, columns=SHOWN_BY_CONDITION)
    resumed = f", taken up again at {report.resumed_at}" if report.resumed_at else ""
    console.print(
        f"weights  {report.weights}   ({report.parameters} parameters, {report.steps} steps in "
        f"{report.seconds:.0f} s{resumed})"
    )


def _print_labels(console: Console, judged: Judgement) -> None:
    """A table for each kind of label: objects and road conditions have other figures."""
    kinds: dict[tuple[str, ...], dict[str, Figures]] = {}
    for label, figures in judged.by_label.items():
        kinds.setdefault(tuple(figures), {})[label] = figures
    for rows in kinds.values():
        worst = sorted(rows, key=lambda label: _least(rows[label]))
        many = len(worst) > MANY_ROWS
        title = f"the {MANY_ROWS} worst of {len(worst)}" if many else "label"
        shown = {label: rows[label] for label in (worst[:MANY_ROWS] if many else rows)}
        _table(console, title, shown, columns=tuple(next(iter(rows.values()))))


def _print_folds(console: Console, report: FoldsReport, name: str) -> None:
    table = Table("figure", "mean", "deviation", *(f"{n + 1}" for n in range(len(report.sizes))))
    for figure, spread in report.spread.items():
        each = (_shown(value) for value in spread.each)
        table.add_row(figure, _shown(spread.mean), _shown(spread.deviation), *each)
    sizes = ", ".join(f"{judged}" for _, judged in report.sizes)
    told = f", {len(report.sizes)} folds, judged on {sizes} examples"
    console.print(styled((name, "bold"), told))
    console.print(table)
    console.print(f"record   {report.record}   ({report.seconds:.0f} s of training)")


def _print_search(console: Console, report: SearchReport, name: str) -> None:
    told = f", by accuracy - {LATENCY_WEIGHT} x latency / {report.chosen.budget_ms:g} ms"
    console.print(styled((name, "bold"), told))
    table = Table("candidate", "parameters", "steps", "accuracy", "ms", "score", "front")
    front = pareto_front(report.last)
    for trial in report.last:
        mark = styled("*" if trial in front else "")
        if trial == report.chosen:
            mark = styled(("chosen", "green"))
        table.add_row(
            trial.candidate.name,
            str(trial.parameters),
            str(trial.steps),
            _shown(trial.accuracy),
            f"{trial.latency_ms:.2f}",
            _shown(trial.score),
            mark,
        )
    console.print(table)
    console.print("* no other candidate is as quick and more accurate (or the reverse)")
    console.print(f"record   {report.record}   ({report.seconds:.0f} s)")
    for setting in report.chosen.candidate.settings:
        console.print(f"--set {setting}")


def _table(
    console: Console, title: str, rows: Mapping[str, Figures], *, columns: tuple[str, ...]
) -> None:
    if not rows:
        return
    kept = [column for column in columns if any(column in figures for figures in rows.values())]
    table = Table(title, *kept)
    for name, figures in rows.items():
        table.add_row(name, *(_shown(figures.get(column)) for column in kept))
    console.print(table)


def _least(figures: Figures) -> float:
    known = [value for value in figures.values() if isinstance(value, float)]
    return min(known, default=1.0)


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
