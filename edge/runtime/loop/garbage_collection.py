"""Keeps garbage collection out of a loop with deadlines.

A context that freezes the objects that exist and turns automatic collection off; the loop collects
young objects when it is idle, counted and timed. Leaving the context restores everything.
"""

from __future__ import annotations

import gc
from types import TracebackType

from edge.runtime.clock import Clock

_EVERY_NS = 1_000_000_000


class QuietCollector:
    """A context in which only `when_idle` collects."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_ns = 0
        self._was_enabled = True
        self.collections = 0
        self.longest_ms = 0.0

    def __enter__(self) -> QuietCollector:
        self._was_enabled = gc.isenabled()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._last_ns = self._clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def when_idle(self) -> None:
        """Collects the young objects, once a second at most."""
        began_ns = self._clock()
        if began_ns - self._last_ns < _EVERY_NS:
            return
        gc.collect(1)
        self._last_ns = self._clock()
        self.collections += 1
        self.longest_ms = max(self.longest_ms, (self._last_ns - began_ns) / 1e6)
