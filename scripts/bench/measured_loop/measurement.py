"""One measured figure with its limit, and how times are taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        what: it is.
        value, unit: measured.
        limit: which it must not exceed, or not fall below where `least`.
        beside: what it was measured with, in words.
    """

    what: str
    value: float
    unit: str
    limit: float
    beside: str
    least: bool = False

    @property
    def short(self) -> list[str]:
        """Why it falls short."""
        good = self.value >= self.limit if self.least else self.value <= self.limit
        sign = ">=" if self.least else "<="
        return [] if good else [f"{self.value:.3f} {self.unit}, required {sign} {self.limit:g}"]


def p(values: Sequence[float], percent: float) -> float:
    """A percentile, one of the values."""
    return float(np.percentile(values, percent, method="higher"))


def timed_ms(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3
