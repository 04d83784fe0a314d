"""Every run leaves a record: a JSON file in `runs/` beside the weights, kept by whoever trains.

Says what was done and what came of it; nothing reads it back to decide anything.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge.contract.artifact import write_json

SCHEMA = "brakepoint.training/2"
FOLDER = "runs"
PACKAGES = ("brakepoint", "torch", "numpy", "opencv-python-headless", "scikit-learn")


def environment() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def now() -> str:
    """The time as UTC, to the second, as ISO 8601 has it without separators."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def write_record(
    beside: Path, kind: str, *, started: str, recipe_digest: str, facts: Mapping[str, Any]
) -> Path:
    """Write a record of a run of `kind` ("train", "folds" or "search"); returns its path."""
    path = beside.parent / FOLDER / f"{started}-{kind}-{recipe_digest[:12]}.json"
    write_json(
        path,
        SCHEMA,
        {
            "kind": kind,
            "started": started,
            "recipe_digest": recipe_digest,
            "environment": environment(),
            **facts,
        },
    )
    return path


def curve_rows(curve: Sequence[tuple[int, float, float | None]]) -> list[dict[str, Any]]:
    """A loss curve with names."""
    return [{"step": step, "loss": loss, "watched": seen} for step, loss, seen in curve]
