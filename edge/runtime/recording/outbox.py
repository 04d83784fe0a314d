"""Passes values to a slow consumer (a terminal, a video encoder) on a thread of its own.

The loop never waits: the queue is bounded, and a value that does not fit is left out and counted.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """Calls `consume` with each value, in order. An exception in `consume` ends the calls and is
    raised by `close`."""

    def __init__(self, consume: Callable[[T], None], *, capacity: int, name: str) -> None:
        self._consume = consume
        self._queue: queue.Queue[T | None] = queue.Queue(capacity)
        self._failure: Exception | None = None
        self.left_out = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, value: T) -> None:
        """Queues `value`; leaves it out and counts it where the queue is full."""
        try:
            self._queue.put_nowait(value)
        except queue.Full:
            self.left_out += 1

    def close(self, *, timeout_s: float) -> None:
        """Waits until all queued values are consumed, then raises what `consume` raised."""
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            pass  # the consumer hangs: its thread is abandoned after timeout_s
        else:
            self._thread.join(timeout_s)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (value := self._queue.get()) is not None:
            if self._failure is not None:
                continue
            try:
                self._consume(value)
            except Exception as error:  # noqa: BLE001 - kept, and raised by close() in its caller
                self._failure = error
