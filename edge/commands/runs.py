"""Verbs `runs list`, `runs show` and `runs compare`: list, show and compare records of runs.

Reads records; writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.commands.options import JsonOption
from edge.contract.gate_count import GateCount
from edge.contract.run_record import FOLDER, RunRecord, read_run, runs_folder, runs_in
from edge.terminal import echo, new_console, styled
from firmware_bridge.errors import Missing, UsageError

InOption = Annotated[
    Path, typer.Option("--in", metavar="MISSION", help="a mission, its folder, or one of records")
]
HERE = Path()

TELLING = 3
"""Metrics of a run in `runs list`, at most."""

WIDTH = 120

COLOURS = {True: "green", False: "bold red"}


def list_(
    *,
    in_: InOption = HERE,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="only convert, train, evaluate, ...")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every recorded run, the last one last."""
    found = [one for one in _all(in_) if kind is None or one.run.kind == kind]
    if as_json:
        echo(json.dumps([_summary(one) for one in found], indent=1))
        return
    table = Table("run", "kind", "mission", "gates", "s", "figures")
    for one in found:
        figures = list(one.run.metrics.items())[:TELLING]
        table.add_row(
            one.name,
            one.run.kind,
            one.run.mission,
            _gates(one),
            f"{one.run.seconds:.0f}",
            "  ".join(f"{name} {_shown(value)}" for name, value in figures),
        )
    _console().print(table)


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="its name or the beginning of it")],
    *,
    in_: InOption = HERE,
    as_json: JsonOption = False,
) -> None:
    """Show one run: parameters, gates, figures, digests."""
    one = _named(run, in_)
    if as_json:
        echo(json.dumps({"name": one.name, **asdict(one.run)}, indent=1))
        return
    console = _console()
    console.print(styled((one.name, "bold"), f"  {one.run.mission}  ") + _gates(one))
    for title, values in _sections(one).items():
        if values:
            table = Table(title, "", show_header=True, title_justify="left")
            for key, value in values.items():
                table.add_row(key, _shown(value))
            console.print(table)


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN...", help="names or their beginnings")
    ],
    *,
    in_: InOption = HERE,
    everything: Annotated[bool, typer.Option("--all", help="also what is the same")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare runs: what was asked for, what went in, what came of it; only what differs."""
    if len(runs) < 2:
        raise UsageError(
            "one run cannot be compared",
            expected="the names of two runs or more",
            found=runs[0] if runs else "none",
            remedy="see their names: brakepoint runs list",
        )
    found = [_named(name, in_) for name in runs]
    rows = [row for row in differences(found) if everything or not row.same]
    if as_json:
        document = {
            "runs": [one.name for one in found],
            "differences": [asdict(row) for row in rows],
        }
        echo(json.dumps(document, indent=1))
        return
    console = _console()
    if not rows:
        console.print("the same in everything that is recorded, times left out")
        return
    for number, one in enumerate(found, start=1):
        console.print(styled(f"{number}  {one.name}  {one.run.mission}  ") + _gates(one))
    table = Table("", "", *map(str, range(1, len(found) + 1)), "change")
    section = ""
    for row in rows:
        told_section = row.section if row.section != section else ""
        section = row.section
        change = "" if row.change is None else f"{row.change:+.4g}"
        table.add_row(told_section, row.key, *map(_shown, row.values), change)
    console.print(table)


@dataclass(frozen=True)
class Row:
    """The values of one key in several runs, in their order; None where a run lacks it.

    Attributes:
        change: the last number less the first; None where they are not numbers.
    """

    section: str
    key: str
    values: Sequence[Any]
    same: bool
    change: float | None


def differences(found: Sequence[RunRecord]) -> list[Row]:
    """Every key of every run, section by section."""
    sections = [_sections(one) for one in found]
    rows = []
    for section in sections[0]:
        keys = dict.fromkeys(key for one in sections for key in one[section])
        for key in keys:
            values: list[Any] = [one[section].get(key) for one in sections]
            first, last = values[0], values[-1]
            rows.append(
                Row(
                    section,
                    key,
                    values,
                    same=all(value == values[0] for value in values),
                    change=last - first if _is_number(first) and _is_number(last) else None,
                )
            )
    return rows


def _sections(one: RunRecord) -> dict[str, Mapping[str, Any]]:
    run = one.run
    gates = {str(gate.get("name")): _verdict(gate) for gate in run.gates}
    return {
        "run": {"kind": run.kind, "mission": run.mission},
        "parameters": run.parameters,
        "inputs": run.inputs,
        "gates": gates,
        "figures": run.metrics,
        "outputs": run.outputs,
        "environment": run.environment,
    }


def _gates(one: RunRecord) -> Text:
    """How many gates failed or held, coloured; empty without gates."""
    if one.run.passed is None:
        return Text()
    count = GateCount.of(gate.get("passed") for gate in one.run.gates)
    return styled((count.words, COLOURS[one.run.passed]))


def _verdict(gate: Mapping[str, Any]) -> str:
    """ "passed: 0.95 >= 0.9"."""
    measured, passed = _shown(gate.get("measured")), gate.get("passed")
    if passed is None:
        return f"not gated: {measured}"
    return f"{'passed' if passed else 'failed'}: {measured} {gate.get('limit_text', '')}".rstrip()


def _summary(one: RunRecord) -> dict[str, Any]:
    run = one.run
    return {
        "name": one.name,
        "kind": run.kind,
        "mission": run.mission,
        "started": run.started,
        "seconds": run.seconds,
        "passed": run.passed,
        "metrics": dict(run.metrics),
    }


def _folder(where: Path) -> Path:
    """The folder of records for a mission, its folder, or the folder itself."""
    beside = runs_folder(where)
    if beside.is_dir():
        return beside
    if where.is_dir() and where.name == FOLDER:
        return where
    raise Missing(
        f"no runs are recorded for {where}",
        expected=f"a folder {beside}, as convert, train, calibrate and evaluate write it",
        found="none",
        remedy="name the mission: --in MISSION; or run one of these verbs",
    )


def _all(where: Path) -> list[RunRecord]:
    """Every valid record; damaged ones are reported on stderr."""
    found = []
    for one in runs_in(_folder(where)):
        if isinstance(one, RunRecord):
            found.append(one)
        else:
            path, refusal = one
            echo(f"passed over: {path.name}: {refusal.found}", error=True)
    return sorted(found, key=lambda one: (one.run.started, one.name))


def _named(name: str, where: Path) -> RunRecord:
    """The one run whose name begins with `name`, or the record in the file `name`."""
    if name.endswith(".json"):
        return read_run(Path(name))
    folder = _folder(where)
    paths = [path for path in sorted(folder.glob("*.json")) if path.stem.startswith(name)]
    exact = [path for path in paths if path.stem == name]
    if len(exact or paths) == 1:
        return read_run((exact or paths)[0])
    raise UsageError(
        f"no single run is named '{name}'",
        expected=f"the name of a run in {folder}, or enough of its beginning",
        found=", ".join(path.stem for path in paths[:4]) or "none that begins so",
        remedy="see their names: brakepoint runs list",
    )


def _console() -> Console:
    """A console wide enough for the names of runs, also without a terminal."""
    return new_console(width=WIDTH)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text):
        return text[:12]
    return text if len(text) <= 60 else f"{text[:57]}..."
