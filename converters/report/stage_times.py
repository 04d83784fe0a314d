"""Times and peak memory of the stages of a conversion."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One stage: seconds on the wall, and the process's peak memory up to its end in 10^6 bytes;
    where a former run made its result, what it took then."""

    name: str
    seconds: float
    peak_memory_mb: float


def times_to_json(stages: Sequence[Stage]) -> dict[str, Any]:
    """The sections `stages`, `seconds` and `peak_memory_mb` of report.json."""
    return {
        "stages": [asdict(stage) for stage in stages],
        "seconds": sum(stage.seconds for stage in stages),
        "peak_memory_mb": max((stage.peak_memory_mb for stage in stages), default=0.0),
    }


class Stopwatch:
    """Collects stages in the order they ran."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        started = time.perf_counter()
        yield
        self.stages.append(Stage(name, time.perf_counter() - started, peak_memory_mb()))


def peak_memory_mb() -> float:
    """The most memory this process ever held resident, 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
