"""Writes the run record of each training (`edge.contract.run_record`) in `runs/` beside the
weights.

Takes the kind of run, the recipe's digest and facts; returns the record's path. The record is for
readers: no training depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.contract.run_record import FOLDER, Run, now, training_run, write_run
from edge.contract.run_record import environment as versions

__all__ = ["SCHEMA", "curve_rows", "environment", "now", "write_record"]

SCHEMA = "brakepoint.training/2"
"""Schema of the JSON beside the weights."""

PACKAGES = ("brakepoint", "torch", "numpy", "opencv-python-headless", "scikit-learn")


def environment() -> dict[str, str]:
    """Versions of everything installed that the numbers of a training depend on."""
    return versions(PACKAGES)


def write_record(
    beside: Path, kind: str, *, started: str, recipe_digest: str, facts: Mapping[str, Any]
) -> Path:
    """Writes a record of a run of `kind` ("train", "folds" or "search"); returns its path."""
    details = {"recipe_digest": recipe_digest, "environment": environment(), **facts}
    run = Run(**training_run(kind, started, details))
    return write_run(beside.parent / FOLDER, run, digest=recipe_digest)


def curve_rows(curve: Sequence[tuple[int, float, float | None]]) -> list[dict[str, Any]]:
    """A loss curve as JSON rows: step, loss, watched score."""
    return [{"step": step, "loss": loss, "watched": seen} for step, loss, seen in curve]
