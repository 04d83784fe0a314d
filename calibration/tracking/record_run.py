"""Leaves the record of a run beside its mission and, where the mission asks for it, in MLflow.

The run is done by then: whatever goes wrong here is told, and fails nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge.contract.mission.schema import Mission
from edge.contract.run_record import Run, folder_of, read_run, write_run

MIRROR_S = 180
"""A first mirror makes MLflow's tables, which takes seconds; longer than this it hangs."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_AUTO_LOGGING": "true",
}
"""What keeps MLflow from telling anyone of it, and from talking on stderr."""

Say = Callable[[str], None]


def record(
    mission_file: Path,
    mission: Mission,
    run: Run,
    *,
    digest: str,
    files: Sequence[Path] = (),
    say: Say,
) -> None:
    """Records a run, and mirrors it with `files`; `digest` is of what it was made of."""
    folder = folder_of(mission_file)
    try:
        path = write_run(folder, run, digest=digest)
    except OSError as error:
        say(f"this run is not recorded in {folder}: {error.strerror or error}")
    else:
        say(f"recorded as {path.stem} in {folder}")
    _mirror(mission, run, files, say)


def mirror_record(mission: Mission, path: Path, *, say: Say) -> None:
    """Mirrors the run of a record that is there already, where the mission asks for it."""
    _mirror(mission, read_run(path).run, [path], say)


def _mirror(mission: Mission, run: Run, files: Sequence[Path], say: Say) -> None:
    store = mission.tracking.mlflow
    if store is None:
        return
    say(f"mirroring to MLflow in {store}")
    if trouble := mirror(store, run, files):
        say(f"this run is not in MLflow ({store}): {trouble}")
    else:
        say(f"mirrored: mlflow ui --backend-store-uri sqlite:///{store}")


def mirror(store: Path, run: Run, files: Sequence[Path]) -> str | None:
    """Puts a run into the MLflow store of a SQLite file; what went wrong, or None.

    In a process of its own: MLflow brings threads, settings and megabytes that this one has no use
    for, and may fail in ways that it does not name.
    """
    request = {
        "store": str(store.absolute()),
        "run": asdict(run),
        "files": [str(path.absolute()) for path in files],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "calibration.tracking.mlflow_mirror"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=MIRROR_S,
            env={**os.environ, **QUIET},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    return lines[-1]
