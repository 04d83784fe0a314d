"""What a benchmark takes and leaves: its data, its figures, and what falls short of its demands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from child_process import ROOT


def parser_of(document: str | None) -> argparse.ArgumentParser:
    """Of a script with that docstring, with --data and --json."""
    parser = argparse.ArgumentParser(description=(document or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, help="write every figure here")
    return parser


def write_figures(figures: Sequence[dict[str, Any]], path: Path | None) -> None:
    """Every figure, where that was asked for."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")


def exit_code(figures: Sequence[dict[str, Any]], *, named: str) -> int:
    """1 where a result of name `named` says in "short" what falls short; each is printed."""
    short = [f"{result[named]}: {why}" for result in figures for why in result["short"]]
    for why in short:
        print(f"falls short: {why}")
    return 1 if short else 0
