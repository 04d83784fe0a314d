"""The simulated CUDA driver: contexts, memory, streams, events, graphs, modules, by driver rules.

Both driver rows (pycuda, cuda-bindings) and the TensorRT half call it; a CUDA error is a CudaError.
What CUDA lets pass but is wrong (a source changed under a copy, leaks, pageable memory in an
asynchronous copy) is a finding. One Machine is one process's view of the device.
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
from simulated_device.hardware.kernels import HostLaunch
from simulated_device.hardware.memory import AddressSpace, Block, Bytes, host_view, poison
from simulated_device.hardware.ptx import Kernel, KernelModule, load_ptx
from simulated_device.hardware.streams import (
    Capture,
    Event,
    Graph,
    GraphExec,
    Operation,
    Stream,
    Work,
    nothing,
    require_recorded,
)

Held = TypeVar("Held")

CAPABILITY_MAJOR, CAPABILITY_MINOR, INTEGRATED, CAN_MAP_HOST, UNIFIED = 75, 76, 18, 19, 41
MULTIPROCESSORS = 16
MAX_THREADS = 1024
"""CUdevice_attribute."""
NON_BLOCKING, DISABLE_TIMING, DEVICE_MAP, RECORD_EXTERNAL = 1, 2, 2, 1
"""CUstream_flags, CUevent_flags, CU_MEMHOSTALLOC_DEVICEMAP, CU_EVENT_RECORD_EXTERNAL."""
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2
"""CUstreamCaptureMode."""
LEGACY_HANDLES = (0, 1)
SOON_S = 0.0005
CONTEXT_BYTES = 64 << 20
"""A context's own need of GPU memory, roughly."""


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


class Machine:
    """The driver's state in this process."""

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
        self._stacks: defaultdict[int, list[Context]] = defaultdict(list)
        self._captures: list[Capture] = []

    # findings and faults

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
        return max(fault.ms for fault in self.simulation.faults if fault.kind == kind)

    def hang(self, work: Work) -> None:
        """A call that would never return."""
        if self.simulation.hang == "block":
            threading.Event().wait()
        self.finding(f"a call waits for ever: {work.operation.name} does not end")
        raise WouldHang(work.operation.name)

    def close(self) -> list[str]:
        """End of the process: findings, with what was left behind."""
        for at_end in self.at_end:
            at_end()
        for context in [held for held in self._handles.values() if isinstance(held, Context)]:
            if not context.destroyed and not context.device.sticky and not self._hung(context):
                self._count_leaks(context)
                self.finding("a context was not released at the end of the process")
        self.closed = True
        self._queued.put(None)
        self.space.close()
        return self.take_findings()

    # calls

    def enter(self, *, unsafe: bool = False) -> Context:
        """The current context at the begin of a call.

        Args:
            unsafe: the call is not permitted while a stream is captured, and ends the capture.
        """
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        stack = self._stacks[threading.get_ident()]
        if not stack:
            raise CudaError("INVALID_CONTEXT")
        context = stack[-1]
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
        if stream.context.device.sticky:
            raise CudaError(stream.context.device.sticky)
        try:
            return stream.poll(work, hang=self.hang)
        except CudaError as error:
            self.poison_context(stream.context, error)

    def settle(self, context: Context, *, blocking_only: bool = False) -> None:
        """Wait for all work of a context."""
        for stream in list(context.streams):
            if stream.blocking or not blocking_only:
                self.advance(stream.last)

    # devices

    def init(self) -> None:
        if not self.devices:
            raise CudaError("NO_DEVICE")
        self._started = True

    def device(self, ordinal: int) -> Device:
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        if not 0 <= ordinal < len(self.devices):
            raise CudaError("INVALID_DEVICE")
        return self.devices[ordinal]

    def device_count(self) -> int:
        if not self._started:
            raise CudaError("NOT_INITIALIZED")
        return len(self.devices)

    def attribute(self, ordinal: int, attribute: int) -> int:
        facts = self.device(ordinal).facts
        known = {
            1: MAX_THREADS,
            CAPABILITY_MAJOR: facts.sm // 10,
            CAPABILITY_MINOR: facts.sm % 10,
            INTEGRATED: int(facts.integrated),
            CAN_MAP_HOST: 1,
            UNIFIED: 1,
            MULTIPROCESSORS: facts.multiprocessors,
        }
        if attribute not in known:
            raise CudaError("INVALID_VALUE")
        return known[attribute]

    # contexts

    def primary_retain(self, ordinal: int) -> Context:
        device = self.device(ordinal)
        if device.primary is None:
            device.primary = self._new_context(device, is_primary=True)
        else:
            device.primary.references += 1
        return device.primary

    def primary_release(self, ordinal: int) -> None:
        context = self.device(ordinal).primary
        if context is None:
            raise CudaError("INVALID_CONTEXT")
        context.references -= 1
        if not context.references:
            self._end_context(context)
            context.device.primary = None

    def context_create(self, ordinal: int) -> Context:
        context = self._new_context(self.device(ordinal), is_primary=False)
        self.push(context)
        return context

    def context_destroy(self, context: Context) -> None:
        if context.is_primary or context.destroyed:
            raise CudaError("INVALID_CONTEXT")
        stack = self._stacks[threading.get_ident()]
        if stack and stack[-1] is context:
            stack.pop()
        self._end_context(context)

    def push(self, context: Context) -> None:
        if context.destroyed:
            raise CudaError("CONTEXT_IS_DESTROYED")
        self._stacks[threading.get_ident()].append(context)

    def pop(self) -> Context:
        stack = self._stacks[threading.get_ident()]
        if not stack:
            raise CudaError("INVALID_CONTEXT")
        return stack.pop()

    def set_current(self, context: Context | None) -> None:
        stack = self._stacks[threading.get_ident()]
        if stack:
            stack.pop()
        if context is not None:
            self.push(context)

    def current(self) -> Context | None:
        stack = self._stacks[threading.get_ident()]
        return stack[-1] if stack else None

    def synchronize(self) -> None:
        self.settle(self.enter(unsafe=True))

    def _new_context(self, device: Device, *, is_primary: bool) -> Context:
        self._charge(device, CONTEXT_BYTES)
        context = Context(device, 0, is_primary)
        context.handle = self.hold(None, context)
        context.streams.append(Stream(context, blocking=True))
        return context

    def _end_context(self, context: Context) -> None:
        if not context.device.sticky:
            self.settle(context)
            self._count_leaks(context)
        for block in self.space.blocks():
            if block.context is context and not block.freed:
                block.drop()
                context.device.used_bytes -= block.size
        for handle in context.held:
            self._handles.pop(handle, None)
        context.device.used_bytes -= CONTEXT_BYTES
        context.destroyed = True
        del self._handles[context.handle]

    def _count_leaks(self, context: Context) -> None:
        left = [
            f"{'page-locked' if block.is_host else 'device'} memory of {block.size} bytes"
            for block in self.space.blocks()
            if block.context is context and not block.freed
        ]
        left += [type(self._handles[handle]).__name__.lower() for handle in sorted(context.held)]
        if left:
            self.finding(f"left at the end of the context: {', '.join(left)}")

    def _hung(self, context: Context) -> bool:
        return any(stream.never_ends() for stream in context.streams)

    def never_ends(self) -> bool:
        """Whether a call that waits for the device would hang."""
        contexts = [held for held in self._handles.values() if isinstance(held, Context)]
        return any(self._hung(context) for context in contexts)

    # memory

    def _charge(self, device: Device, size: int) -> None:
        if device.used_bytes + size > device.facts.memory_bytes:
            raise CudaError("OUT_OF_MEMORY")
        device.used_bytes += size

    def charge(self, context: Context, size: int) -> Callable[[], None]:
        """Memory that TensorRT takes for itself; the result gives it back."""
        self._charge(context.device, size)
        done: list[bool] = []

        def give_back() -> None:
            if not done and not context.destroyed:
                done.append(True)
                context.device.used_bytes -= size

        return give_back

    def memory_info(self) -> tuple[int, int]:
        """Free and all bytes."""
        device = self.enter().device
        return device.facts.memory_bytes - device.used_bytes, device.facts.memory_bytes

    def mem_alloc(self, size: int, *, again: bool = False) -> Block:
        """Device memory; `again` where pycuda tries the same allocation once more."""
        context = self.enter(unsafe=True)
        if size <= 0:
            raise CudaError("INVALID_VALUE")
        if again:
            self.events["out of memory"] -= 1
        if self.fault("out of memory"):
            raise CudaError("OUT_OF_MEMORY")
        self._charge(context.device, size)
        return self.space.allocate(context, size)

    def mem_free(self, address: int) -> None:
        context = self.enter(unsafe=True)
        if not address:
            return
        block = self.space.at(address)
        if block is None or block.is_host or block.device_address != address:
            raise CudaError("INVALID_VALUE")
        if block.freed:
            self.finding("device memory is freed twice")
            raise CudaError("INVALID_VALUE")
        self.settle(context)
        block.drop()
        context.device.used_bytes -= block.size

    def host_alloc(self, size: int, *, mapped: bool) -> Block:
        context = self.enter(unsafe=True)
        if size <= 0:
            raise CudaError("INVALID_VALUE")
        if self.fault("out of memory"):
            raise CudaError("OUT_OF_MEMORY")
        self._charge(context.device, size)
        return self.space.lock_pages(context, size, mapped=mapped)

    def host_register(self, view: Bytes, *, mapped: bool) -> Block:
        context = self.enter(unsafe=True)
        if self.space.host_range(view.ctypes.data, 1) is not None:
            raise CudaError("HOST_MEMORY_ALREADY_REGISTERED")
        self._charge(context.device, len(view))
        return self.space.register(context, view, mapped=mapped)

    def host_free(self, address: int, *, registered: bool = False) -> None:
        context = self.enter(unsafe=True)
        block = self.space.host_range(address, 1)
        if block is None or block.address != address:
            raise CudaError("HOST_MEMORY_NOT_REGISTERED" if registered else "INVALID_VALUE")
        self.settle(context)
        block.freed = True
        if not registered:
            block.drop()
        context.device.used_bytes -= block.size

    def host_device_pointer(self, address: int) -> int:
        """The device address of mapped host memory: another number, so that it must be asked."""
        self.enter()
        block = self.space.host_range(address, 1)
        if block is None or not block.device_address:
            raise CudaError("INVALID_VALUE")
        return block.device_address + address - block.address

    # copies

    def copy_to_device(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        self._copy("copy to device", stream, target=target, source=source, size=size, to_host=False)

    def copy_to_host(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        self._copy("copy to host", stream, target=target, source=source, size=size, to_host=True)

    def copy_on_device(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        context = self.enter()
        into, out_of = self._known(target, size), self._known(source, size)

        def run(work: Work) -> None:
            into[:] = out_of

        self._enqueue_or_wait(context, stream, Operation("copy on device", run))

    def fill(self, target: int, pattern: Bytes, count: int, stream: Stream | None) -> None:
        context = self.enter()
        into = self._known(target, count * len(pattern))

        def run(work: Work) -> None:
            into.reshape(-1, len(pattern))[:] = pattern

        self._enqueue_or_wait(context, stream, Operation("memset", run))

    def _known(self, address: int, size: int) -> Bytes:
        """Device memory that a copy names; the driver knows it is none and says so at once."""
        try:
            return self.space.device_range(address, size)[1]
        except CudaError as error:
            raise CudaError("INVALID_VALUE") from error

    def _copy(
        self,
        name: str,
        stream: Stream | None,
        *,
        target: int,
        source: int,
        size: int,
        to_host: bool,
    ) -> None:
        context = self.enter()
        on_device = self._known(source if to_host else target, size)
        host_address = target if to_host else source
        on_host = host_view(host_address, size)
        locked = self.space.host_range(host_address, size)
        if stream is not None and locked is None:
            self._forbid_pageable_in_capture(stream)
            self.finding(f"asynchronous {name} with pageable host memory: CUDA waits for it")

        def begin(work: Work) -> None:
            if to_host:
                poison(on_host)
            else:
                work.token = on_host.copy()

        def run(work: Work) -> None:
            if to_host:
                on_host[:] = on_device
                return
            if locked is not None and not (work.token == on_host).all():
                self.finding("the source of an asynchronous copy was changed before it was awaited")
            on_device[:] = on_host if locked is not None else work.token

        operation = Operation(name, run, begin)
        self._enqueue_or_wait(context, stream, operation)
        if stream is not None and locked is None and to_host:
            self.advance(stream.last)

    def _forbid_pageable_in_capture(self, stream: Stream) -> None:
        if stream.capture is not None:
            stream.capture.invalid = True
            raise CudaError("STREAM_CAPTURE_UNSUPPORTED")

    def _enqueue_or_wait(self, context: Context, stream: Stream | None, does: Operation) -> None:
        """On a stream; or at once, after all blocking streams, as the legacy stream does."""
        if stream is not None:
            self.enqueue(stream, does)
            return
        for other in context.streams:
            if other.capture is not None and other.blocking:
                other.capture.invalid = True
                raise CudaError("STREAM_CAPTURE_IMPLICIT")
        self.settle(context, blocking_only=True)
        self.advance(context.legacy.submit(does, polls=0))

    def enqueue(self, stream: Stream, does: Operation, *, waits: Work | None = None) -> Work | None:
        """Queue an operation, or note it in the capture under way (then None)."""
        capture = stream.capture
        if capture is None:
            if stream.context.legacy is stream:
                self.settle(stream.context, blocking_only=True)
            work = stream.submit(does, polls=self.simulation.polls, waits=waits)
            self._queued.put(work)
            return work
        if capture.invalid:
            raise CudaError("STREAM_CAPTURE_INVALIDATED")
        capture.operations.append(does)
        return None

    # streams and events

    def stream(self, handle: int) -> Stream:
        """A stream of the current context."""
        context = self.enter()
        if handle in LEGACY_HANDLES:
            return context.legacy
        stream = self.object(handle, Stream)
        if stream.context is not context:
            raise CudaError("INVALID_HANDLE")
        return stream

    def stream_create(self, flags: int) -> Stream:
        context = self.enter(unsafe=True)
        if flags not in (0, NON_BLOCKING):
            raise CudaError("INVALID_VALUE")
        stream = Stream(context, blocking=not flags)
        stream.handle = self.hold(context, stream)
        context.streams.append(stream)
        return stream

    def stream_destroy(self, handle: int) -> None:
        """Work that is queued still runs: the stream stays with its context."""
        self.enter()
        stream = self.release(handle, Stream)
        if stream.capture is not None:
            self._captures.remove(stream.capture)
            stream.capture = None

    def stream_synchronize(self, handle: int) -> None:
        stream = self.stream(handle)
        self._forbid_on_capturing(stream)
        self.advance(stream.last)

    def stream_query(self, handle: int) -> None:
        stream = self.stream(handle)
        self._forbid_on_capturing(stream)
        if not self.poll(stream, stream.last):
            raise CudaError("NOT_READY")

    def stream_wait_event(self, handle: int, event_handle: int) -> None:
        stream, event = self.stream(handle), self.object(event_handle, Event)
        if event.captured is not None and event.captured is not stream.capture:
            event.captured.invalid = True
            raise CudaError("STREAM_CAPTURE_ISOLATION")
        if stream.capture is not None and event.marker is not None:
            stream.capture.invalid = True
            raise CudaError("STREAM_CAPTURE_ISOLATION")
        self.enqueue(stream, Operation("wait for an event", nothing), waits=event.marker)

    def _forbid_on_capturing(self, stream: Stream) -> None:
        if stream.capture is not None:
            stream.capture.invalid = True
            raise CudaError("STREAM_CAPTURE_UNSUPPORTED")

    def event_create(self, flags: int) -> int:
        context = self.enter()
        return self.hold(context, Event(context, timed=not flags & DISABLE_TIMING))

    def event_destroy(self, handle: int) -> None:
        self.enter()
        self.release(handle, Event)

    def event(self, handle: int) -> Event:
        context = self.enter()
        event = self.object(handle, Event)
        if event.context is not context:
            raise CudaError("INVALID_HANDLE")
        return event

    def event_record(self, handle: int, stream_handle: int, *, external: bool = False) -> None:
        event, stream = self.event(handle), self.stream(stream_handle)
        if stream.capture is not None and not external:
            event.captured, event.marker = stream.capture, None
            if stream.capture.invalid:
                raise CudaError("STREAM_CAPTURE_INVALIDATED")
            return

        def begin(work: Work) -> None:
            event.captured, event.marker = None, work

        self.enqueue(stream, Operation("event", nothing, begin))

    def event_query(self, handle: int) -> None:
        event = self.event(handle)
        if event.captured is not None:
            event.captured.invalid = True
            raise CudaError("CAPTURED_EVENT")
        self._forbid_in_capture()
        if event.marker is not None and not self.poll(event.marker.stream, event.marker):
            raise CudaError("NOT_READY")

    def event_synchronize(self, handle: int) -> None:
        event = self.event(handle)
        if event.captured is not None:
            event.captured.invalid = True
            raise CudaError("CAPTURED_EVENT")
        self.advance(event.marker)

    def elapsed_ms(self, first_handle: int, last_handle: int) -> float:
        first, last = (require_recorded(self.event(one)) for one in (first_handle, last_handle))
        if not (first.done and last.done):
            raise CudaError("NOT_READY")
        return (last.done_at_s - first.done_at_s) * 1000

    # graphs

    def begin_capture(self, handle: int, mode: int) -> None:
        stream = self.stream(handle)
        if stream is stream.context.legacy:
            raise CudaError("STREAM_CAPTURE_UNSUPPORTED")
        if stream.capture is not None:
            raise CudaError("ILLEGAL_STATE")
        stream.capture = Capture(mode, threading.get_ident())
        self._captures.append(stream.capture)

    def end_capture(self, handle: int) -> int:
        """The handle of the graph."""
        stream = self.stream(handle)
        capture = stream.capture
        if capture is None:
            raise CudaError("ILLEGAL_STATE")
        if capture.mode != RELAXED and capture.thread != threading.get_ident():
            raise CudaError("STREAM_CAPTURE_WRONG_THREAD")
        stream.capture = None
        self._captures.remove(capture)
        if capture.invalid:
            raise CudaError("STREAM_CAPTURE_INVALIDATED")
        return self.hold(stream.context, Graph(stream.context, tuple(capture.operations)))

    def capture_status(self, handle: int) -> int:
        """CUstreamCaptureStatus: 0 none, 1 active, 2 invalidated."""
        capture = self.stream(handle).capture
        return 0 if capture is None else 2 if capture.invalid else 1

    def graph_instantiate(self, handle: int) -> int:
        context = self.enter(unsafe=True)
        graph = self.object(handle, Graph)
        return self.hold(context, GraphExec(context, graph.operations))

    def graph_launch(self, handle: int, stream_handle: int) -> None:
        graph, stream = self.object(handle, GraphExec), self.stream(stream_handle)
        if stream.capture is not None:
            raise CudaError("NOT_SUPPORTED")
        for operation in graph.operations:
            self.enqueue(stream, operation)

    # kernels

    def module_load(self, image: bytes) -> int:
        context = self.enter(unsafe=True)
        module = load_ptx(
            image, context, sm=context.device.facts.sm, driver=self.simulation.driver_version
        )
        return self.hold(context, module)

    def module_function(self, handle: int, name: str) -> int:
        self.enter()
        module = self.object(handle, KernelModule)
        if name not in module.kernels:
            raise CudaError("NOT_FOUND")
        return self.hold(None, module.kernels[name])

    def launch(
        self,
        handle: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        *,
        stream: Stream,
        arguments: list[bytes],
    ) -> None:
        context = self.enter()
        kernel = self.object(handle, Kernel)
        if kernel.context is not context:
            raise CudaError("INVALID_HANDLE")
        if 0 in (*grid, *block) or block[0] * block[1] * block[2] > MAX_THREADS:
            raise CudaError("INVALID_VALUE")
        does = HostLaunch(self, kernel, grid, block, arguments)
        self.enqueue(stream, Operation(kernel.name, does.run, does.begin))
