"""A benchmark's work in a process of its own, both ends: a job file goes in, its cost comes out.

Children import this in peers' environments too, so it needs nothing but Python. Never compares.
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
"""Plain values; `kind` says whose work it is, `method` how."""

Cost = dict[str, float]
"""Such as seconds, and peak_mb of the child."""


def cost_of(child: str, job: Job, path: Path, *, python: Path) -> Cost:
    """What a script of this folder cost as a process; the job lies in `path` meanwhile."""
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


def given_job() -> Job:
    """In the child: what it is to do."""
    job: Job = json.loads(Path(sys.argv[1]).read_text())
    return job


def tell(**cost: float) -> None:
    """In the child: what that cost."""
    print(json.dumps({**cost, "peak_mb": _peak_mb()}))


def _peak_mb() -> float:
    """The most memory that was resident, 10^6 bytes. Not getrusage: it counts the parent's too."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6
