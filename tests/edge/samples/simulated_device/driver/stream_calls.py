"""Streams and events of the simulated driver."""

from __future__ import annotations

from simulated_device.cuda_errors import CudaError
from simulated_device.driver.allocation_calls import AllocationCalls
from simulated_device.driver.streams import (
    Event,
    Operation,
    Stream,
    Work,
    nothing,
    require_recorded,
)

NON_BLOCKING, DISABLE_TIMING, RECORD_EXTERNAL = 1, 2, 1
"""CUstream_flags, CUevent_flags, CU_EVENT_RECORD_EXTERNAL."""
LEGACY_HANDLES = (0, 1)


class StreamCalls(AllocationCalls):
    """Streams and events."""

    def enqueue(self, stream: Stream, does: Operation, *, after: Work | None = None) -> Work | None:
        """Queue an operation, or note it in the capture under way (then None).

        The legacy stream waits for all blocking streams, and they for it.
        """
        capture = stream.capture
        if capture is None:
            waits = [] if after is None else [after]
            waits += self._legacy_order(stream)
            work = stream.submit(does, polls=self.simulation.polls, waits=tuple(waits))
            self._queued.put(work)
            return work
        if capture.invalid:
            raise CudaError("STREAM_CAPTURE_INVALIDATED")
        capture.operations.append(does)
        return None

    def _legacy_order(self, stream: Stream) -> list[Work]:
        """What must have run before `stream` goes on, by the legacy stream's rule."""
        legacy = stream.context.legacy
        if stream is not legacy:
            others = [legacy] if stream.blocking else []
        else:
            others = [one for one in stream.context.streams[1:] if one.blocking]
            for other in others:
                if other.capture is not None:
                    other.capture.invalid = True
                    raise CudaError("STREAM_CAPTURE_IMPLICIT")
        return [one.last for one in others if one.last is not None and not one.last.done]

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
        self.enqueue(stream, Operation("wait for an event", nothing), after=event.marker)

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
