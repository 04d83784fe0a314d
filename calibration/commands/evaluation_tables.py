"""Prints an evaluation as tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from calibration.evaluation.evaluate import Evaluation
from calibration.evaluation.figures.values import Figure, Row, ScoreDrop, Tables
from calibration.evaluation.predictions.predict import SCORE_MIN
from edge.terminal import styled


def show(console: Console, evaluation: Evaluation) -> None:
    """Prints which network was evaluated on which frames, and its tables."""
    tables, data = evaluation.tables, evaluation.data
    groups = len({frame.group for frame in tables.frames})
    console.print(
        f"{evaluation.network.name} ({evaluation.network.precision}) on {data.data_name}, "
        f"{data.split}: {len(tables.frames)} frames in {groups} groups",
    )
    for word, count in data.left_out.items():
        often = f" ({count})" if count else ""
        console.print(f"  left out: {word}{often}, the model has no such label")
    if data.unlabelled:
        console.print(f"  left out: {data.unlabelled} records without labels")
    if data.ignored:
        console.print(f"  not judged: {data.ignored} regions that the data set says to ignore")
    for doubt in data.doubts:
        console.print(f"  [yellow]beware[/] of {doubt}")
    if tables.faults:
        figure_text = f"  {tables.faults} frames whose output cannot be right"
        console.print(figure_text, style="bold red")
    if tables.crowded:
        console.print(
            f"  in {tables.crowded} frames model.decode.max_detections left out what reaches the "
            f"score of {SCORE_MIN}: the best were judged"
        )
    console.print(table_of("overall and by class", [tables.overall, *tables.by_class]))
    if tables.by_condition:
        console.print(table_of("by condition", tables.by_condition))
    if tables.condition_head is not None:
        console.print(table_of("second head", [tables.condition_head]))
    if tables.robustness:
        console.print(_robustness(tables))
    if tables.folds:
        k = len(next(iter(tables.folds.values())).each)
        spread = Table("figure", "mean", "deviation", title=f"{k} folds", title_justify="left")
        for name, one in tables.folds.items():
            spread.add_row(name, number(one.mean), number(one.deviation))
        console.print(spread)


def _robustness(tables: Tables) -> Table:
    """Corruptions by severity: the score, and below it its drop from the clean score with its 95 %
    interval.
    """
    title = f"{tables.score} by severity, and its fall from the clean frames"
    table = Table("corruption", title=title, title_justify="left")
    severities = sorted({fall.severity for fall in tables.robustness})
    for severity in severities:
        table.add_column(str(severity), justify="right")
    cells = {(fall.corruption, fall.severity): fall for fall in tables.robustness}
    for name in dict.fromkeys(fall.corruption for fall in tables.robustness):
        row = [cells[name, severity] for severity in severities]
        table.add_row(name, *(_fell(one) for one in row))
    return table


def _fell(one: ScoreDrop) -> Text:
    """Score, drop and interval in a cell: 0.210, below it 0.085 and 0.04-0.12; or dashes."""
    below = f"\n{number(one.drop)}"
    if one.low is not None and one.high is not None:
        below += f"\n{one.low:.2f} to {one.high:.2f}"
    return styled(number(one.score), (below, "dim"))


def table_of(title: str, rows: Sequence[Row]) -> Table:
    """Rows of figures, each with its interval."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    table = Table("", title=title, title_justify="left")
    for column in ("frames", "count", *names):
        table.add_column(column, justify="right")
    for row in rows:
        cells = [figure_text(row.figures[name]) if name in row.figures else "" for name in names]
        table.add_row(row.name, str(row.frames), str(row.count), *cells)
    return table


def figure_text(figure: Figure) -> str | Text:
    """Figure and interval in a cell: 0.295, below it 0.21-0.38; or a dash."""
    if figure.value is None:
        return "-"
    if figure.interval is None:
        return number(figure.value)
    low, high = figure.interval
    return styled(f"{figure.value:.3f}", (f"\n{low:.2f}-{high:.2f}", "dim"))


def number(value: float | None) -> str:
    """Three decimals, or a dash."""
    return "-" if value is None else f"{value:.3f}"
