"""Verb `lint` on the command line: findings on stdout, exit 1 while there is an error."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from converters.lint.file import fixed_file, lint_file
from converters.lint.findings import SEVERITIES, Finding
from edge.cli_mission import JsonOption
from firmware_bridge.errors import GateFailed

SCHEMA = "brakepoint.lint/1"

EXAMPLES = 3
"""Places that the table names for each kind of finding; --json names all."""


def lint(
    model: Annotated[Path, typer.Argument(help="a quantized ONNX file, by whatever tool")],
    *,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", metavar="FILE", help="write the file anew by the rules, here"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a Q/DQ file against TensorRT's rules; exit 1 when it breaks one that matters."""
    findings = lint_file(model)
    fixed = None if fix is None else fixed_file(model, fix)
    if as_json:
        shown = {
            "schema": SCHEMA,
            "file": str(model),
            "findings": [asdict(finding) for finding in findings],
            "fixed": None if fixed is None else {"file": str(fix), **asdict(fixed)},
        }
        typer.echo(json.dumps(shown, indent=1))
    else:
        _print(model, findings)
        if fixed is not None:
            Console(highlight=False).print(
                f"{fix}: {fixed.macs_int8_share:.1%} of the multiplications in INT8, "
                f"{fixed.left_float} operators in float",
                markup=False,
            )
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors and fix is None:
        rules = Counter(finding.rule for finding in errors)
        raise GateFailed(
            f"{model} breaks rules that TensorRT enforces",
            expected="no error",
            found=", ".join(f"{rule}: {count}" for rule, count in rules.items()),
            remedy=f"brakepoint lint {model} --fix FIXED.onnx, or quantize the float network with "
            "brakepoint convert",
        )


def _print(model: Path, findings: tuple[Finding, ...]) -> None:
    """One row for each kind of finding, worst first, with the first places where it stands."""
    console = Console(highlight=False, width=max(120, Console().width))
    table = Table("rule", "", "times", "MACs", "found", "to mend")
    colours = dict(zip(SEVERITIES, ("bold red", "yellow", "dim"), strict=True))
    kinds: dict[tuple[str, str, str], list[Finding]] = {}
    for one in findings:
        kinds.setdefault((one.rule, one.severity, one.remedy), []).append(one)
    for (rule, severity, remedy), same in kinds.items():
        shares = [one.macs_share for one in same if one.macs_share is not None]
        places = [f"{one.node}: {one.found}" for one in same[:EXAMPLES]]
        more = [f"and {len(same) - EXAMPLES} more"] if len(same) > EXAMPLES else []
        table.add_row(
            rule,
            Text(severity, style=colours[same[0].severity]),
            str(len(same)),
            f"{sum(shares):.1%}" if shares else "",
            Text("\n".join([*places, *more])),
            Text(remedy),
        )
    if findings:
        console.print(table)
    counts = Counter(finding.severity for finding in findings)
    told = ", ".join(f"{counts[severity]} {severity}s" for severity in SEVERITIES)
    console.print(f"{model}: {told}", markup=False)
