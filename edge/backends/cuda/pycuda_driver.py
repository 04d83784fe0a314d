"""The CUDA driver by pycuda, which is built on a device against its CUDA toolkit.

pycuda destroys events, modules and streams when they are dropped, wherever that happens. So they
are handed out in a `Held`, which close() empties while the context is current. It wraps no CUDA
graphs. Its exceptions have no number: it is looked up by text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pycuda.driver as cuda
from numpy.typing import DTypeLike, NDArray

from edge.backends.cuda.driver import DeviceFacts, Event, HostArray, Kernel
from edge.backends.cuda.error_codes import CudaError, by_text

STREAM_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: does not wait for the legacy stream."""


@dataclass
class Held:
    """An object of pycuda's that no one outside this module refers to; None after close()."""

    value: Any


def made_for() -> tuple[int, int]:
    """The CUDA that this pycuda was built for."""
    major, minor, *_ = cuda.get_version()
    return major, minor


def driver_cuda() -> tuple[int, int]:
    """The newest CUDA that the installed driver supports."""
    number = _call(cuda.get_driver_version)
    return number // 1000, number % 1000 // 10


def device_count() -> int:
    """How many GPUs CUDA shows to this process; initialises CUDA."""
    _call(cuda.init)
    count: int = _call(cuda.Device.count)
    return count


class PycudaDriver:
    """One GPU by pycuda. `device_count` was called before."""

    def __init__(self, ordinal: int) -> None:
        device = _call(cuda.Device, ordinal)
        major, minor = _call(device.compute_capability)
        self.facts = DeviceFacts(
            ordinal=ordinal,
            count=_call(cuda.Device.count),
            name=_call(device.name),
            sm=major * 10 + minor,
            integrated=bool(_call(device.get_attribute, cuda.device_attribute.INTEGRATED)),
            memory_bytes=_call(device.total_memory),
            cuda=driver_cuda(),
            python=f"pycuda for CUDA {'.'.join(map(str, made_for()))}",
        )
        self._frees: list[Callable[[], None]] = []
        self._held: list[Held] = []
        self._context = _call(device.retain_primary_context)
        try:
            _call(self._context.push)
        except CudaError:
            self._context.detach()
            raise
        try:
            self._stream = _call(cuda.Stream, STREAM_NON_BLOCKING)
        except CudaError:
            self._leave()
            raise

    @property
    def stream(self) -> int:
        """The handle of its stream."""
        return int(self._stream.handle)

    def free_bytes(self) -> int:
        """Free memory of the GPU."""
        return int(_call(cuda.mem_get_info)[0])

    def host_array(
        self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, *, mapped: bool
    ) -> HostArray:
        """Page-locked memory."""
        flags = cuda.host_alloc_flags.DEVICEMAP if mapped else 0
        array = _call(cuda.pagelocked_empty, shape, dtype, mem_flags=flags)
        self._frees.append(array.base.free)
        address = int(_call(array.base.get_device_pointer)) if mapped else None
        return HostArray(array, address)

    def device_memory(self, size_bytes: int) -> int:
        """The address of new memory of the GPU."""
        memory = _call(cuda.mem_alloc, size_bytes)
        self._frees.append(memory.free)
        return int(memory)

    def to_device(self, address: int, source: NDArray[Any]) -> None:
        """Enqueues a copy."""
        _call(cuda.memcpy_htod_async, address, source, self._stream)

    def to_host(self, target: NDArray[Any], address: int) -> None:
        """Enqueues a copy."""
        _call(cuda.memcpy_dtoh_async, target, address, self._stream)

    def event(self) -> Event:
        """A new event."""
        return self._hold(_call(cuda.Event))

    def record(self, event: Event) -> None:
        """Enqueues it."""
        _call(event.value.record, self._stream)

    def reached(self, event: Event) -> bool:
        """Whether the stream has passed it."""
        return bool(_call(event.value.query))

    def elapsed_ms(self, first: Event, last: Event) -> float:
        """Time between two events."""
        return float(_call(last.value.time_since, first.value))

    def kernels(self, ptx: bytes, entries: Sequence[str]) -> dict[str, Kernel]:
        """Functions of PTX, which CUDA reads up to a zero byte."""
        module = _call(cuda.module_from_buffer, ptx + b"\0")  # each function keeps it alive
        return {entry: self._hold(_call(module.get_function, entry)) for entry in entries}

    def launch(
        self,
        kernel: Kernel,
        *,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[int | bytes],
    ) -> None:
        """Enqueues a kernel. pycuda packs arguments one behind another without padding, so that
        addresses come before structs."""
        packed = [np.uintp(a) if isinstance(a, int) else np.void(a) for a in arguments]
        _call(kernel.value, *packed, grid=grid, block=block, stream=self._stream)

    def close(self) -> None:
        """Frees all that it handed out, and leaves the context."""
        while self._frees:
            _call(self._frees.pop())
        for held in self._held:
            held.value = None
        self._stream = None
        self._leave()

    def abandon(self) -> None:
        """A thread that ends with a context on pycuda's stack aborts the process."""
        _call(cuda.Context.pop)

    def _hold(self, value: Any) -> Held:
        self._held.append(Held(value))
        return self._held[-1]

    def _leave(self) -> None:
        # While it is current, which takes it off pycuda's stack too. Popped before, detaching would
        # push it again.
        _call(self._context.detach)


def _call(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Calls pycuda and raises its exceptions, "CALL failed: TEXT - DETAIL", as CudaError."""
    try:
        return function(*args, **named)
    except cuda.Error as error:
        call, _, said = str(error).partition(" failed: ")
        text, _, detail = said.partition(" - ")
        raise CudaError(call, by_text(text), detail=detail) from error
