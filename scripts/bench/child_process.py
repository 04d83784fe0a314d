"""Runs a benchmark's work in a process of its own: a job file in, its cost out. Both ends.

Children import this in peers' environments too, so it needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Job = dict[str, Any]
"""Plain values; `kind`: which tool works, `method`: by which of its methods."""

Cost = dict[str, float]
"""Such as seconds, and peak_mb (10^6 bytes) of the child."""


def cost_of(child: str, job: Job, path: Path, *, python: Path) -> Cost:
    """Runs a script of this folder as a process; returns its cost. `path` is for the job's file."""
    path.write_text(json.dumps(job))
    done = subprocess.run(
        [str(python), str(ROOT / "scripts" / "bench" / child), str(path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode != 0:
        raise SystemExit(f"{job['kind']} {job.get('method', '')} failed:\n{done.stderr[-2000:]}")
    cost: Cost = json.loads(done.stdout.strip().splitlines()[-1])
    return cost


def read_job() -> Job:
    """In the child: its job."""
    job: Job = json.loads(Path(sys.argv[1]).read_text())
    return job


def print_cost(**cost: float) -> None:
    """In the child: prints the cost for the parent."""
    print(json.dumps({**cost, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """Peak resident memory, 10^6 bytes. Not by getrusage, which counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6
