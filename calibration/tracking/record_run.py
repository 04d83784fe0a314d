"""Records a run beside its mission and, where the mission asks for it, in MLflow.

In: a `Run`. Out: a file, and lines for people. The run is finished by then, so a failure here is
reported and does not fail the verb.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge.contract.run_record import Run, read_run, runs_folder, write_run

MIRROR_S = 180
"""MLflow creates its tables at first, which takes seconds; after this long it has hung."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_DISABLE_AUTO_LOGGING": "true",
}
"""Environment that turns off MLflow's telemetry and its messages on stderr."""

Say = Callable[[str], None]


def record(
    mission_file: Path,
    run: Run,
    *,
    digest: str,
    store: Path | None,
    files: Sequence[Path] = (),
    say: Say,
) -> None:
    """Records a run, and mirrors it with `files`.

    Args:
        digest: of the run's inputs or outputs, which becomes a part of the record's name.
        store: the SQLite file of MLflow; None where the mission does not mirror.
        say: shows a line to people.
    """
    folder = runs_folder(mission_file)
    try:
        path = write_run(folder, run, digest=digest)
    except OSError as error:
        say(f"this run is not recorded in {folder}: {error.strerror or error}")
    else:
        say(f"recorded as {path.stem} in {folder}")
    _mirror(store, run, files, say)


def mirror_record(path: Path, *, store: Path | None, say: Say) -> None:
    """Mirrors a run that is recorded at `path`, unless `store` is None."""
    _mirror(store, read_run(path).run, [path], say)


def _mirror(store: Path | None, run: Run, files: Sequence[Path], say: Say) -> None:
    if store is None:
        return
    say(f"mirroring to MLflow in {store}")
    if trouble := mirror(store, run, files):
        say(f"this run is not in MLflow ({store}): {trouble}")
    else:
        say(f"mirrored: mlflow ui --backend-store-uri sqlite:///{store}")


def mirror(store: Path, run: Run, files: Sequence[Path]) -> str | None:
    """Writes a run into the MLflow store in a SQLite file. Returns what went wrong, or None.

    MLflow runs in a process of its own: it starts threads, changes settings, needs much memory and
    may fail in undocumented ways.
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
