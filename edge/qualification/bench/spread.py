"""Percentiles of durations by nearest rank: every figure is a duration that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Durations of one thing in ms. `count` is at least 1."""

    count: int
    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, durations_ms: Sequence[float]) -> Spread | None:
        """None without durations."""
        ordered = sorted(durations_ms)
        if not ordered:
            return None
        p50, p95, p99 = (
            ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.50, 0.95, 0.99)
        )
        return cls(len(ordered), p50, p95, p99, ordered[-1])

    def to_json(self) -> dict[str, Any]:
        """Microseconds are the last digit."""
        return {name: round(value, 3) for name, value in asdict(self).items()}
