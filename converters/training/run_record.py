"""Records each training (`edge.contract.run_record`) in `runs/` beside the weights.

Says what was done and what came of it; nothing reads it back to decide anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.contract.run_record import FOLDER, Run, now, training_run, write_run
from edge.contract.run_record import environment as versions

__all__ = ["SCHEMA", "curve_rows", "environment", "now", "write_record"]

SCHEMA = "brakepoint.training/2"
"""Of the JSON beside the weights."""

PACKAGES = ("brakepoint", "torch", "numpy", "opencv-python-headless", "scikit-learn")


def environment() -> dict[str, str]:
    """Versions of what the numbers of a training depend on."""
    return versions(PACKAGES)


def write_record(
    beside: Path, kind: str, *, started: str, recipe_digest: str, facts: Mapping[str, Any]
) -> Path:
    """Write a record of a run of `kind` ("train", "folds" or "search"); returns its path."""
    told = {"recipe_digest": recipe_digest, "environment": environment(), **facts}
    run = Run(**training_run(kind, started, told))
    return write_run(beside.parent / FOLDER, run, digest=recipe_digest)


def curve_rows(curve: Sequence[tuple[int, float, float | None]]) -> list[dict[str, Any]]:
    """A loss curve with names."""
    return [{"step": step, "loss": loss, "watched": seen} for step, loss, seen in curve]
