"""Runs stages one behind another on a driver's stream, and times each by the GPU's own events.

In: named functions that enqueue work. Out: the GPU's time of each, once all of it is done. Waits by
asking the last event again and again with a short sleep, never by a synchronise: one that waits for
an execution that does not end would never return.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge.backends.cuda.driver import CudaDriver

Stages = Sequence[tuple[str, Callable[[], None]]]
"""Name and function of each."""

POLL_S = 50e-6
"""Between two looks at an event: short beside an execution, long beside a look (1 us)."""


class Overdue(Exception):
    """The GPU did not end its work within the deadline."""


class TimedStream:
    """The stream of one driver with the events that part its stages."""

    def __init__(self, driver: CudaDriver, *, deadline_s: float) -> None:
        self._driver = driver
        self._deadline_s = deadline_s
        self._marks = [driver.event()]

    def run(self, stages: Stages) -> dict[str, float]:
        """Enqueues the stages and waits for them; returns the GPU's ms of each.

        Raises:
            CudaError: enqueueing one failed, or the GPU failed in one.
            Overdue: they did not end in time; what they use is still in use.
        """
        driver, marks = self._driver, self._marks
        while len(marks) <= len(stages):
            marks.append(driver.event())
        driver.record(marks[0])
        for row, (_, enqueue) in enumerate(stages, start=1):
            enqueue()
            driver.record(marks[row])
        self._wait(marks[len(stages)])
        return {
            name: driver.elapsed_ms(marks[row], marks[row + 1])
            for row, (name, _) in enumerate(stages)
        }

    def settle(self) -> None:
        """Waits until the stream is idle. Raises as `run`: also what earlier work did wrong."""
        self._driver.record(self._marks[0])
        self._wait(self._marks[0])

    def _wait(self, mark: object) -> None:
        until_s, overdue = time.monotonic() + self._deadline_s, False
        while not self._driver.reached(mark):
            if overdue:
                raise Overdue(f"an execution did not end within {self._deadline_s * 1e3:.0f} ms")
            # Looks once more behind the deadline: this thread, not the GPU, may have stood still.
            overdue = time.monotonic() > until_s
            time.sleep(POLL_S)
