"""Streams, events and graphs of the simulated device: work that runs only when it is awaited.

A stream runs its work in order, on the thread that waits or queries often enough. A graph is a list
of the same operations, begun anew at each launch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulated_device.cuda_errors import CudaError


@dataclass
class Work:
    """One operation on its way. `begin` of its operation sets `ms`, `never` and `token`."""

    operation: Operation
    stream: Stream
    polls: int
    waits: tuple[Work, ...] = ()
    ms: float = 0.0
    never: bool = False
    token: Any = None
    ready_at_s: float = 0.0
    done: bool = False
    done_at_s: float = 0.0


@dataclass(frozen=True)
class Operation:
    """What a stream can do: `begin` when it is queued, `run` when its turn comes."""

    name: str
    run: Callable[[Work], None]
    begin: Callable[[Work], None] | None = None


def nothing(work: Work) -> None:
    """The run of a marker."""


@dataclass(eq=False)
class Event:
    """The last record of an event: its marker, or the capture in which it was recorded."""

    context: Any
    timed: bool
    marker: Work | None = None
    captured: Capture | None = None


@dataclass(eq=False)
class Capture:
    """A stream's capture under way."""

    mode: int
    thread: int
    operations: list[Operation] = field(default_factory=list)
    invalid: bool = False


@dataclass(eq=False)
class Graph:
    context: Any
    operations: tuple[Operation, ...]


@dataclass(eq=False)
class GraphExec:
    context: Any
    operations: tuple[Operation, ...]


class Stream:
    """A queue of work."""

    def __init__(self, context: Any, *, blocking: bool, handle: int = 0) -> None:
        self.context, self.blocking, self.handle = context, blocking, handle
        self.queue: deque[Work] = deque()
        self.last: Work | None = None
        self.capture: Capture | None = None
        self.lock = threading.RLock()

    def submit(self, operation: Operation, *, polls: int, waits: tuple[Work, ...] = ()) -> Work:
        """Queue an operation, which also waits for work of other streams."""
        work = Work(operation, self, polls, waits)
        if operation.begin:
            operation.begin(work)
        now = time.perf_counter()
        before = self.last.ready_at_s if self.last else now
        work.ready_at_s = max(before, now) + work.ms / 1000
        self.queue.append(work)
        self.last = work
        return work

    def advance(self, until: Work, *, wait: bool, hang: Callable[[Work], None]) -> bool:
        """Run the queue up to `until`. Without `wait`: False where it is not its time yet.

        Raises:
            CudaError: an operation failed on the device; its context is to be poisoned.
        """
        # Who waits holds the lock, perhaps for ever; who only asks must not wait for that.
        if not self.lock.acquire(blocking=wait):
            return False
        try:
            while not until.done:
                head = self.queue[0]
                for first in head.waits:
                    if not (first.done or first.stream.advance(first, wait=wait, hang=hang)):
                        return False
                if head.never:
                    if not wait:
                        return False
                    hang(head)
                left_s = head.ready_at_s - time.perf_counter()
                if left_s > 0:
                    if not wait:
                        return False
                    time.sleep(left_s)
                self.queue.popleft()
                head.operation.run(head)
                head.done_at_s, head.done = time.perf_counter(), True
        finally:
            self.lock.release()
        return True

    def poll(self, until: Work | None, *, hang: Callable[[Work], None]) -> bool:
        """A query: does `until` have an end? The first few answer False."""
        if until is None or until.done:
            return True
        if until.polls > 0:
            until.polls -= 1
            return False
        return self.advance(until, wait=False, hang=hang)

    def never_ends(self) -> bool:
        """Whether work is queued that does not end."""
        return any(work.never for work in self.queue)


def require_recorded(event: Event) -> Work:
    """The marker of a timed event that was recorded. Raises CudaError INVALID_HANDLE."""
    if not event.timed or event.marker is None:
        raise CudaError("INVALID_HANDLE")
    return event.marker
