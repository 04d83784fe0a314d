"""Both driver rows of the simulated device behind the same few calls, so that one class of rules
holds for both.
"""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.backends.cuda.preprocess_kernel import KernelLaunch
from simulated_device.cuda_errors import CODES, NUMBERS

Bytes = NDArray[np.uint8]


class Failed(Exception):
    """A driver call returned this code."""

    def __init__(self, name: str) -> None:
        super().__init__(name)


class PycudaRow:
    """pycuda.driver."""

    NON_BLOCKING = 1

    def __init__(self) -> None:
        self.cuda = importlib.import_module("pycuda.driver")

    def call(self, does: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return does(*arguments)
        except self.cuda.Error as error:
            words = str(error).split(" failed: ", 1)[1]
            raise Failed(next(name for name, text in CODES.values() if text == words)) from error

    def start(self, ordinal: int = 0) -> None:
        self.call(self.cuda.init)
        device = self.call(self.cuda.Device, ordinal)
        self.context = self.call(device.retain_primary_context)
        self.call(self.context.push)

    def end(self) -> None:
        """Detach while it is current: after a pop, pycuda's detach pushes a primary context
        again and leaves it on CUDA's stack, destroyed."""
        self.call(self.context.detach)

    def synchronize(self) -> None:
        self.call(self.cuda.Context.synchronize)

    def alloc(self, size: int) -> Any:
        return self.call(self.cuda.mem_alloc, size)

    def free(self, pointer: Any) -> None:
        self.call(pointer.free)

    def host(self, size: int, *, mapped: bool = False) -> Bytes:
        made: Bytes = self.call(self.cuda.pagelocked_empty, size, np.uint8, "C", 2 * mapped)
        return made

    def host_free(self, array: Any) -> None:
        self.call(array.base.free)

    def device_pointer(self, array: Any) -> int:
        return int(self.call(array.base.get_device_pointer))

    def to_device(self, pointer: Any, array: Any, stream: Any = None) -> None:
        if stream is None:
            self.call(self.cuda.memcpy_htod, pointer, array)
        else:
            self.call(self.cuda.memcpy_htod_async, pointer, array, stream)

    def to_host(self, array: Any, pointer: Any, stream: Any = None) -> None:
        if stream is None:
            self.call(self.cuda.memcpy_dtoh, array, pointer)
        else:
            self.call(self.cuda.memcpy_dtoh_async, array, pointer, stream)

    def stream(self) -> Any:
        return self.call(self.cuda.Stream)

    def stream_number(self, stream: Any) -> int:
        return int(stream.handle)

    def destroy(self, stream: Any) -> None:
        stream.__del__()
        del stream._stream

    def stream_synchronize(self, stream: Any) -> None:
        self.call(stream.synchronize)

    def stream_done(self, stream: Any) -> bool:
        return bool(self.call(stream.is_done))

    def stream_wait(self, stream: Any, event: Any) -> None:
        self.call(stream.wait_for_event, event)

    def event(self, flags: int = 0) -> Any:
        return self.call(self.cuda.Event, flags)

    def record(self, event: Any, stream: Any) -> None:
        self.call(event.record, stream)

    def event_done(self, event: Any) -> bool:
        return bool(self.call(event.query))

    def event_synchronize(self, event: Any) -> None:
        self.call(event.synchronize)

    def elapsed_ms(self, first: Any, last: Any) -> float:
        return float(self.call(last.time_since, first))

    def event_destroy(self, event: Any) -> None:
        event.__del__()
        del event._handle

    def load(self, ptx: bytes) -> Any:
        return self.call(self.cuda.module_from_buffer, ptx)

    def function(self, module: Any, name: str) -> Any:
        return self.call(module.get_function, name)

    def launch(self, function: Any, stream: Any, pointers: list[Any], launch: KernelLaunch) -> None:
        function.prepare(["P"] * len(pointers) + [f"{len(launch.params)}s"])
        given = [*(int(pointer) for pointer in pointers), launch.params]
        self.call(function.prepared_async_call, launch.grid, launch.block, stream, *given)


class BindingsRow:
    """cuda.bindings.driver."""

    NON_BLOCKING = 1

    def __init__(self) -> None:
        self.cuda = importlib.import_module("cuda.bindings.driver")
        self.sizes: dict[int, int] = {}

    def call(self, does: Callable[..., Any], *arguments: Any) -> Any:
        code, *found = does(*arguments)
        if code != self.cuda.CUresult.CUDA_SUCCESS:
            assert all(one is None for one in found)
            raise Failed(CODES[int(code)][0])
        return found[0] if len(found) == 1 else tuple(found)

    def start(self, ordinal: int = 0) -> None:
        self.call(self.cuda.cuInit, 0)
        self.device = self.call(self.cuda.cuDeviceGet, ordinal)
        self.context = self.call(self.cuda.cuDevicePrimaryCtxRetain, self.device)
        self.call(self.cuda.cuCtxPushCurrent, self.context)

    def end(self) -> None:
        self.call(self.cuda.cuCtxPopCurrent)
        self.call(self.cuda.cuDevicePrimaryCtxRelease, self.device)

    def synchronize(self) -> None:
        self.call(self.cuda.cuCtxSynchronize)

    def alloc(self, size: int) -> Any:
        return self.call(self.cuda.cuMemAlloc, size)

    def free(self, pointer: Any) -> None:
        self.call(self.cuda.cuMemFree, pointer)

    def host(self, size: int, *, mapped: bool = False) -> Bytes:
        address = self.call(self.cuda.cuMemHostAlloc, size, 2 * mapped)
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))

    def host_free(self, array: Bytes) -> None:
        self.call(self.cuda.cuMemFreeHost, array.ctypes.data)

    def device_pointer(self, array: Bytes) -> int:
        return int(self.call(self.cuda.cuMemHostGetDevicePointer, array.ctypes.data, 0))

    def to_device(self, pointer: Any, array: Bytes, stream: Any = None) -> None:
        if stream is None:
            self.call(self.cuda.cuMemcpyHtoD, pointer, array, array.nbytes)
        else:
            self.call(self.cuda.cuMemcpyHtoDAsync, pointer, array, array.nbytes, stream)

    def to_host(self, array: Bytes, pointer: Any, stream: Any = None) -> None:
        if stream is None:
            self.call(self.cuda.cuMemcpyDtoH, array, pointer, array.nbytes)
        else:
            self.call(self.cuda.cuMemcpyDtoHAsync, array, pointer, array.nbytes, stream)

    def stream(self) -> Any:
        return self.call(self.cuda.cuStreamCreate, 0)

    def stream_number(self, stream: Any) -> int:
        return int(stream)

    def destroy(self, stream: Any) -> None:
        self.call(self.cuda.cuStreamDestroy, stream)

    def stream_synchronize(self, stream: Any) -> None:
        self.call(self.cuda.cuStreamSynchronize, stream)

    def stream_done(self, stream: Any) -> bool:
        return self._ready(self.cuda.cuStreamQuery, stream)

    def _ready(self, query: Callable[..., Any], thing: Any) -> bool:
        (code,) = query(thing)
        if int(code) == NUMBERS["NOT_READY"]:
            return False
        self.call(lambda: (code,))
        return True

    def stream_wait(self, stream: Any, event: Any) -> None:
        self.call(self.cuda.cuStreamWaitEvent, stream, event, 0)

    def event(self, flags: int = 0) -> Any:
        return self.call(self.cuda.cuEventCreate, flags)

    def record(self, event: Any, stream: Any) -> None:
        self.call(self.cuda.cuEventRecord, event, stream)

    def event_done(self, event: Any) -> bool:
        return self._ready(self.cuda.cuEventQuery, event)

    def event_synchronize(self, event: Any) -> None:
        self.call(self.cuda.cuEventSynchronize, event)

    def elapsed_ms(self, first: Any, last: Any) -> float:
        return float(self.call(self.cuda.cuEventElapsedTime, first, last))

    def event_destroy(self, event: Any) -> None:
        self.call(self.cuda.cuEventDestroy, event)

    def load(self, ptx: bytes) -> Any:
        return self.call(self.cuda.cuModuleLoadData, ptx)

    def function(self, module: Any, name: str) -> Any:
        return self.call(self.cuda.cuModuleGetFunction, module, name.encode())

    def launch(self, function: Any, stream: Any, pointers: list[Any], launch: KernelLaunch) -> None:
        struct = (ctypes.c_uint8 * len(launch.params)).from_buffer_copy(launch.params)
        numbers = [ctypes.c_uint64(int(pointer)) for pointer in pointers]
        where = [ctypes.addressof(one) for one in (*numbers, struct)]
        table = (ctypes.c_uint64 * len(where))(*where)
        geometry = (*launch.grid, *launch.block)
        self.call(
            self.cuda.cuLaunchKernel, function, *geometry, 0, stream, ctypes.addressof(table), 0
        )


ROWS: dict[str, Callable[[], Any]] = {"pycuda": PycudaRow, "cuda-bindings": BindingsRow}


def in_thread(does: Callable[[], None]) -> BaseException | None:
    """Run something in another thread; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            does()
        except BaseException as error:  # noqa: BLE001 # handed to the test
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None
