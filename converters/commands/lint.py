"""Verb `lint` on the command line: findings on stdout, exit 1 while there is an error."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from converters.quantization.lint.checks import Finding
from converters.quantization.lint.engine_precision import EngineFindings
from converters.quantization.lint.lint_file import fix_file, lint_file, lint_with_engine
from edge.commands.options import JsonOption
from edge.contract.severity import SEVERITIES
from edge.engine.inspector import InspectorReport, read_inspector, read_inspector_file
from edge.engine.load import inspector_text
from edge.terminal import echo, new_console
from firmware_bridge.errors import GateFailed, UsageError

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
    inspector: Annotated[
        Path | None,
        typer.Option("--inspector", metavar="FILE", help="JSON of an engine's inspector: join it"),
    ] = None,
    engine: Annotated[
        Path | None,
        typer.Option("--engine", metavar="PLAN", help="ask this engine's inspector, on its GPU"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a Q/DQ file against TensorRT's rules; exit 1 when it breaks one that matters."""
    report = _engine_report(inspector, engine)
    joined = None if report is None else lint_with_engine(model, report)
    findings = lint_file(model) if joined is None else joined.findings
    fixed = None if fix is None else fix_file(model, fix)
    if as_json:
        shown = {
            "schema": SCHEMA,
            "file": str(model),
            "findings": [asdict(finding) for finding in findings],
            "engine": None if report is None or joined is None else _engine(report, joined),
            "fixed": None if fixed is None else {"file": str(fix), **asdict(fixed)},
            "answers": {"judged": False, "command": _judge(fix or model)},
        }
        echo(json.dumps(shown, indent=1))
    else:
        _print(model, findings)
        if report is not None and joined is not None:
            _print_engine(report, joined)
        if fixed is not None:
            new_console().print(
                f"{fix}: {fixed.macs_int8_share:.1%} of the multiplications in INT8, "
                f"{fixed.left_float} operators in float",
            )
        new_console().print(
            f"what it answers was not judged: {_judge(fix or model)}", soft_wrap=True
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


def _judge(model: Path) -> str:
    """The command that compares a file with the float network it was made from."""
    return f"brakepoint compare FLOAT.onnx {shlex.quote(str(model))} --frames FOLDER"


def _engine_report(inspector: Path | None, engine: Path | None) -> InspectorReport | None:
    if inspector is not None and engine is not None:
        raise UsageError(
            "it is not clear which engine is meant",
            expected="either --inspector FILE or --engine PLAN",
            found="both",
            remedy="leave one out",
        )
    if engine is not None:
        return read_inspector(inspector_text(engine), name=str(engine))
    return None if inspector is None else read_inspector_file(inspector)


def _engine(report: InspectorReport, joined: EngineFindings) -> dict[str, Any]:
    return {
        **report.to_json(),
        "int8_macs_share": joined.int8_macs_share,
        "not_found": joined.not_found,
    }


def _print_engine(report: InspectorReport, joined: EngineFindings) -> None:
    weighted = len(report.int8) + len(report.in_float)
    share = joined.int8_macs_share
    new_console().print(
        f"the engine: {len(report.int8)} of {weighted} convolutions and the like in INT8"
        + ("" if share is None else f", {share:.1%} of the file's multiplications")
        + f"; {len(report.reformats)} reformats, {len(report.unfused_quantize)} Quantize layers, "
        f"{len(joined.not_found)} operators of the file not found by name",
    )


def _print(model: Path, findings: tuple[Finding, ...]) -> None:
    """One row for each kind of finding, worst first, with the first places where it stands."""
    console = new_console(width=120)
    joined = any(one.engine for one in findings)
    engine = ["in the engine"] if joined else []
    table = Table("rule", "", "times", "MACs", "found", *engine, "to mend")
    colours = dict(zip(SEVERITIES, ("dim", "yellow", "bold red"), strict=True))
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
            *([", ".join(sorted({one.engine for one in same} - {""}))] if joined else []),
            Text(remedy),
        )
    if findings:
        console.print(table)
    counts = Counter(finding.severity for finding in findings)
    told = ", ".join(f"{counts[severity]} {severity}s" for severity in reversed(SEVERITIES))
    console.print(f"{model}: {told}")
