"""The loop's clock: a callable that returns monotonic nanoseconds, passed in wherever time matters.

Never the wall clock: intervals must not jump when someone sets the date.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns monotonic nanoseconds."""

monotonic_ns: Clock = time.monotonic_ns


def ms(elapsed_ns: float) -> float:
    """Nanoseconds to milliseconds."""
    return elapsed_ns / 1e6
