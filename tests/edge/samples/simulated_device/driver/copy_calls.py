"""Copies and fills of the simulated driver.

A copy's source in host memory is kept when it is queued, to find a change before it was awaited; a
target in host memory is poison until then.
"""

from __future__ import annotations

from simulated_device.cuda_errors import CudaError
from simulated_device.driver.graph_calls import GraphCalls
from simulated_device.driver.memory import Bytes, host_view, poison
from simulated_device.driver.state import Context
from simulated_device.driver.streams import Operation, Stream, Work


class CopyCalls(GraphCalls):
    """Copies."""

    def copy_to_device(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        self._copy("copy to device", stream, target=target, source=source, size=size, to_host=False)

    def copy_to_host(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        self._copy("copy to host", stream, target=target, source=source, size=size, to_host=True)

    def copy_on_device(self, target: int, source: int, size: int, stream: Stream | None) -> None:
        context = self.enter()
        self._check(target, size)
        self._check(source, size)

        def run(work: Work) -> None:
            self._bytes(target, size)[:] = self._bytes(source, size)

        self._enqueue_or_wait(context, stream, Operation("copy on device", run))

    def fill(self, target: int, value: int, count: int, stream: Stream | None) -> None:
        context = self.enter()
        self._check(target, count)

        def run(work: Work) -> None:
            self._bytes(target, count)[:] = value

        self._enqueue_or_wait(context, stream, Operation("memset", run))

    def _bytes(self, address: int, size: int) -> Bytes:
        """Device memory when a copy runs; a graph may run when it was freed."""
        return self.space.device_range(address, size)[1]

    def _check(self, address: int, size: int) -> None:
        """When a copy is queued: the driver knows that there is no such memory, and says so."""
        try:
            self.space.device_range(address, size)
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
        address, host_address = (source, target) if to_host else (target, source)
        self._check(address, size)
        on_host = host_view(host_address, size)
        locked = self.space.host_range(host_address, size)
        if stream is not None and locked is None:
            if stream.capture is not None:
                stream.capture.invalid = True
                raise CudaError("STREAM_CAPTURE_UNSUPPORTED")
            self.finding(f"asynchronous {name} with pageable host memory: CUDA waits for it")

        def begin(work: Work) -> None:
            if to_host:
                poison(on_host)
            else:
                work.token = on_host.copy()

        def run(work: Work) -> None:
            if locked is not None and locked.freed:
                raise CudaError("ILLEGAL_ADDRESS")
            if to_host:
                on_host[:] = self._bytes(address, size)
                return
            if locked is not None and not (work.token == on_host).all():
                self.finding("the source of an asynchronous copy was changed before it was awaited")
            self._bytes(address, size)[:] = on_host if locked is not None else work.token

        self._enqueue_or_wait(context, stream, Operation(name, run, begin))
        if stream is not None and locked is None and to_host:
            self.advance(stream.last)

    def _enqueue_or_wait(self, context: Context, stream: Stream | None, does: Operation) -> None:
        """On a stream; or at once, on the legacy stream."""
        on = context.legacy if stream is None else stream
        work = self.enqueue(on, does)
        if stream is None:
            self.advance(work)
