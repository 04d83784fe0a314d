"""Shared by all benchmarks: the options --data and --json, figures as JSON, the exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from child_process import ROOT


def parser_of(document: str | None) -> argparse.ArgumentParser:
    """The parser of a script with that docstring, with --data and --json."""
    parser = argparse.ArgumentParser(description=(document or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write every figure here")
    return parser


def write_figures(figures: Sequence[dict[str, Any]], path: Path | None) -> None:
    """Writes every figure as JSON; None: writes nothing."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def exit_code(figures: Sequence[dict[str, Any]], *, named: str) -> int:
    """1 where a result misses a limit, else 0. Prints each sentence of "short", with the result's
    value of the key `named`."""
    short = [f"{result[named]}: {why}" for result in figures for why in result["short"]]
    for why in short:
        print(f"falls short: {why}")
    return 1 if short else 0
