"""What every call of the simulated driver needs: devices, the current context, handles, findings,
faults, and how work is awaited. A failure on the device is sticky.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from simulated_device.cuda_errors import NUMBERS, CudaError, WouldHang
from simulated_device.description import Gpu, Simulation
from simulated_device.driver.memory import AddressSpace
from simulated_device.driver.streams import Capture, Stream, Work

Held = TypeVar("Held")

GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
"""CUstreamCaptureMode."""
SOON_S = 0.0005
"""How often the device's own thread looks again."""


@dataclass(eq=False)
class Device:
    """One GPU: its memory, and the code that every call returns after a sticky error."""

    ordinal: int
    facts: Gpu
    used_bytes: int = 0
    sticky: str = ""
    primary: Context | None = None


@dataclass(eq=False)
class Context:
    """A CUDA context with all that lives in it."""

    device: Device
    handle: int
    is_primary: bool
    references: int = 1
    destroyed: bool = False
    streams: list[Stream] = field(default_factory=list)
    held: set[int] = field(default_factory=set)

    @property
    def legacy(self) -> Stream:
        return self.streams[0]


class DriverState:
    """One process's view of the devices."""

    def __init__(self, simulation: Simulation, *, findings_file: Path | None = None) -> None:
        self.simulation = simulation
        self.devices = [Device(row, facts) for row, facts in enumerate(simulation.gpus)]
        self.space = AddressSpace()
        self.findings: list[str] = []
        self.events: defaultdict[str, int] = defaultdict(int)
        self.closed = False
        self.at_end: list[Callable[[], None]] = []
        self._queued: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        if simulation.worker_ms is not None:
            threading.Thread(target=self._work, daemon=True).start()
        self._findings_file = findings_file
        self._started = False
        self._handles: dict[int, Any] = {}
        self._numbers = itertools.count(0x5500_0000_0000, 0x10)
        self._local = threading.local()
        self._captures: list[Capture] = []

    def finding(self, sentence: str) -> None:
        """Note what CUDA would let pass and is wrong."""
        self.findings.append(sentence)
        if self._findings_file is not None:
            with self._findings_file.open("a") as stream:
                stream.write(sentence + "\n")

    def take_findings(self) -> list[str]:
        """What was found since the last call."""
        taken, self.findings = self.findings, []
        return taken

    def fault(self, *kinds: str) -> str:
        """Count one event that these kinds of fault may strike; the kind that does, or ""."""
        found = ""
        for kind in kinds:
            self.events[kind] += 1
            for fault in self.simulation.faults:
                if fault.kind == kind and fault.strikes(self.events[kind]):
                    found = found or kind
        return found

    def fault_ms(self, kind: str) -> float:
        """How long a scripted fault of this kind takes."""
        return max(fault.ms for fault in self.simulation.faults if fault.kind == kind)

    def hang(self, work: Work) -> None:
        """A call that would never return."""
        if self.simulation.hang == "block":
            threading.Event().wait()
        self.finding(f"a call waits for ever: {work.operation.name} does not end")
        raise WouldHang(work.operation.name)

    @property
    def stack(self) -> list[Context]:
        """This thread's stack of contexts."""
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        held: list[Context] = self._local.stack
        return held

    def charge_device(self, device: Device, size: int) -> None:
        """Take memory of a GPU. Raises CudaError OUT_OF_MEMORY."""
        if device.used_bytes + size > device.facts.memory_bytes:
            raise CudaError("OUT_OF_MEMORY")
        device.used_bytes += size

    def enter(self, *, unsafe: bool = False) -> Context:
        """The current context at the begin of a call.

        Args:
            unsafe: the call is not permitted while a stream is captured, and ends the capture.
        """
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        if not self.stack:
            raise CudaError("INVALID_CONTEXT")
        context = self.stack[-1]
        if context.destroyed:
            raise CudaError("CONTEXT_IS_DESTROYED")
        if context.device.sticky:
            raise CudaError(context.device.sticky)
        if unsafe:
            self._forbid_in_capture()
        return context

    def _forbid_in_capture(self) -> None:
        for capture in self._captures:
            here = capture.thread == threading.get_ident()
            if capture.mode == GLOBAL or (capture.mode == THREAD_LOCAL and here):
                capture.invalid = True
                raise CudaError("STREAM_CAPTURE_UNSUPPORTED")

    def hold(self, context: Context | None, thing: Any) -> int:
        """A handle of a new object."""
        handle = next(self._numbers)
        self._handles[handle] = thing
        if context is not None:
            context.held.add(handle)
        return handle

    def object(self, handle: int, kind: type[Held]) -> Held:
        """The living object of a handle. Raises CudaError INVALID_HANDLE."""
        found = self._handles.get(handle)
        if not isinstance(found, kind):
            raise CudaError("INVALID_HANDLE")
        return found

    def release(self, handle: int, kind: type[Held]) -> Held:
        """Destroy a handle."""
        found = self.object(handle, kind)
        del self._handles[handle]
        context = getattr(found, "context", None)
        if context is not None:
            context.held.discard(handle)
        return found

    def _work(self) -> None:
        """The device's own thread: runs what is queued, in order, some time later."""
        while (work := self._queued.get()) is not None:
            time.sleep((self.simulation.worker_ms or 0.0) / 1000)
            while not (work.done or self.closed or work.stream.context.device.sticky):
                try:
                    self.advance(work, wait=False)
                except CudaError:
                    break
                time.sleep(SOON_S)

    def poison_context(self, context: Context, error: CudaError) -> NoReturn:
        """An operation failed on the device."""
        context.device.sticky = next(name for name, code in NUMBERS.items() if code == error.code)
        raise error

    def advance(self, work: Work | None, *, wait: bool = True) -> bool:
        """Run a stream up to some work; a failure on the device is sticky."""
        if work is None or work.done:
            return True
        context = work.stream.context
        if context.device.sticky:
            raise CudaError(context.device.sticky)
        try:
            return work.stream.advance(work, wait=wait, hang=self.hang)
        except CudaError as error:
            self.poison_context(context, error)

    def poll(self, stream: Stream, work: Work | None) -> bool:
        """A query: whether the work has ended; a failure on the device is sticky."""
        if stream.context.device.sticky:
            raise CudaError(stream.context.device.sticky)
        try:
            return stream.poll(work, hang=self.hang)
        except CudaError as error:
            self.poison_context(stream.context, error)

    def settle(self, context: Context) -> None:
        """Wait for all work of a context."""
        for stream in list(context.streams):
            self.advance(stream.last)
