"""How far a build is and how long it still takes: by the last build of the same model, else by the
steps of the phase that TensorRT is in.

Phases of a build and the time go in; a `BuildProgress` comes out. TensorRT 8.6 tells no phases:
then there is the time so far, and an estimate only from the last build. Never invents one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract.json_text import parse_json
from edge.engine.plan.sidecar import SCHEMA

LAST_BUILD, STEPS = "the last build of this model", "the steps of this phase"

LARGEST_SIDECAR = 4 << 20
SAME = ("backend", "release", "gpu", "sm", "model", "dla_core", "timing_cache")
"""Facts of two builds that must be equal for one to take as long as the other."""


@dataclass(frozen=True)
class BuildProgress:
    """A moment of a build.

    Attributes:
        phase: in TensorRT's words, or "starting" before it tells any.
        done, total: steps of that phase; total is 0 where they are not known.
        elapsed_s: since the build began.
        remaining_s: the estimate; None where there is none.
        basis: LAST_BUILD or STEPS (then of the phase alone); empty without an estimate.
    """

    phase: str
    done: int
    total: int
    elapsed_s: float
    remaining_s: float | None
    basis: str


class Estimate:
    """Follows one build."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_s = clock()
        self._phase = ("starting", 0, 0)
        self._phase_ends_s: float | None = None
        self._ends_s: float | None = None

    def expect(self, build_s: float | None) -> None:
        """The build of TensorRT begins now, and took `build_s` the last time."""
        self._ends_s = None if build_s is None else self._clock() + build_s

    def on_phase(self, phase: str, done: int, total: int, rest_s: float | None) -> None:
        """TensorRT told of a phase; as of `build_log.PhaseProgress`."""
        self._phase = (phase, done, total)
        self._phase_ends_s = None if rest_s is None else self._clock() + rest_s

    def now(self) -> BuildProgress:
        """The progress at this moment."""
        now_s = self._clock()
        phase, done, total = self._phase
        remaining_s, basis = None, ""
        for ends_s, said in ((self._ends_s, LAST_BUILD), (self._phase_ends_s, STEPS)):
            if ends_s is not None and ends_s > now_s:
                remaining_s, basis = ends_s - now_s, said
                break
        return BuildProgress(phase, done, total, now_s - self._began_s, remaining_s, basis)


def last_build_s(folder: Path, facts: Mapping[str, Any]) -> float | None:
    """Seconds of the newest build with the same facts by the sidecars in a folder, or None."""
    found: list[tuple[float, float]] = []
    for path in folder.glob("*.json"):
        try:
            stat = path.stat()
            if stat.st_size > LARGEST_SIDECAR:
                continue
            document = parse_json(path.read_bytes())
            if document["schema"] == SCHEMA and all(document[key] == facts[key] for key in SAME):
                found.append((stat.st_mtime, float(document["build_seconds"])))
        # Any other file may be in the folder.
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return max(found)[1] if found else None
