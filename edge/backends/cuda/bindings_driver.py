"""The CUDA driver by NVIDIA's cuda-bindings: wheels of 12.x for JetPack 6, of 13.x for JetPack 7.

The functions are those of the CUDA driver itself, which return (status, value ...). Nothing is
freed before close(), and what close() freed must not be touched.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import cuda.bindings.driver as cuda
import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.backends.cuda.driver import DeviceFacts, Event, Graph, HostArray, Kernel
from edge.backends.cuda.error_codes import CudaError, by_number

DEVICE_MAP = 0x02
"""CU_MEMHOSTALLOC_DEVICEMAP."""

SUCCESS = cuda.CUresult.CUDA_SUCCESS
NOT_READY = cuda.CUresult.CUDA_ERROR_NOT_READY
ATTRIBUTE = cuda.CUdevice_attribute


def made_for() -> tuple[int, int]:
    """The CUDA that these bindings were made for."""
    major, minor, *_ = version("cuda-bindings").split(".")
    return int(major), int(minor)


def driver_cuda() -> tuple[int, int]:
    """The newest CUDA that the installed driver supports."""
    number = int(_call(cuda.cuDriverGetVersion))
    return number // 1000, number % 1000 // 10


def device_count() -> int:
    """How many GPUs CUDA shows to this process; initialises CUDA."""
    _call(cuda.cuInit, 0)
    return int(_call(cuda.cuDeviceGetCount))


class BindingsDriver:
    """One GPU by cuda-bindings. `device_count` was called before."""

    def __init__(self, ordinal: int) -> None:
        self._device = _call(cuda.cuDeviceGet, ordinal)
        self.facts = DeviceFacts(
            ordinal=ordinal,
            count=int(_call(cuda.cuDeviceGetCount)),
            name=_call(cuda.cuDeviceGetName, 256, self._device).split(b"\0")[0].decode(),
            sm=10 * self._attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
            + self._attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
            integrated=bool(self._attribute(ATTRIBUTE.CU_DEVICE_ATTRIBUTE_INTEGRATED)),
            memory_bytes=int(_call(cuda.cuDeviceTotalMem, self._device)),
            cuda=driver_cuda(),
            python=f"cuda-bindings {version('cuda-bindings')}",
        )
        self._frees: list[tuple[Callable[..., Any], Any]] = []
        context = _call(cuda.cuDevicePrimaryCtxRetain, self._device)
        self._frees.append((cuda.cuDevicePrimaryCtxRelease, self._device))
        try:
            _call(cuda.cuCtxPushCurrent, context)
            self._frees.append((_pop, context))
            self._stream = _call(cuda.cuStreamCreate, cuda.CUstream_flags.CU_STREAM_NON_BLOCKING)
            self._frees.append((cuda.cuStreamDestroy, self._stream))
        except CudaError:
            self.close()
            raise

    def _attribute(self, attribute: Any) -> int:
        return int(_call(cuda.cuDeviceGetAttribute, attribute, self._device))

    @property
    def stream(self) -> int:
        """The handle of its stream."""
        return int(self._stream)

    def free_bytes(self) -> int:
        """Free memory of the GPU."""
        return int(_call(cuda.cuMemGetInfo)[0])

    def host_array(
        self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, *, mapped: bool
    ) -> HostArray:
        """Page-locked memory."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = int(_call(cuda.cuMemHostAlloc, size, DEVICE_MAP if mapped else 0))
        self._frees.append((cuda.cuMemFreeHost, memory))
        raw = (ctypes.c_ubyte * size).from_address(memory)
        array = np.ctypeslib.as_array(raw).view(dtype).reshape(shape)
        address = int(_call(cuda.cuMemHostGetDevicePointer, memory, 0)) if mapped else None
        return HostArray(array, address)

    def device_memory(self, size_bytes: int) -> int:
        """The address of new memory of the GPU."""
        memory = _call(cuda.cuMemAlloc, size_bytes)
        self._frees.append((cuda.cuMemFree, memory))
        return int(memory)

    def to_device(self, address: int, source: NDArray[Any]) -> None:
        """Enqueues a copy."""
        _call(cuda.cuMemcpyHtoDAsync, address, source.ctypes.data, source.nbytes, self._stream)

    def to_host(self, target: NDArray[Any], address: int) -> None:
        """Enqueues a copy."""
        _call(cuda.cuMemcpyDtoHAsync, target.ctypes.data, address, target.nbytes, self._stream)

    def event(self) -> Event:
        """A new event."""
        event = _call(cuda.cuEventCreate, cuda.CUevent_flags.CU_EVENT_DEFAULT)
        self._frees.append((cuda.cuEventDestroy, event))
        return event

    def record(self, event: Event) -> None:
        """Enqueues it."""
        _call(cuda.cuEventRecord, event, self._stream)

    def reached(self, event: Event) -> bool:
        """Whether the stream has passed it."""
        (status,) = cuda.cuEventQuery(event)
        if status == NOT_READY:
            return False
        _require("cuEventQuery", status)
        return True

    def elapsed_ms(self, first: Event, last: Event) -> float:
        """Time between two events."""
        return float(_call(cuda.cuEventElapsedTime, first, last))

    def kernels(self, ptx: bytes, entries: Sequence[str]) -> dict[str, Kernel]:
        """Functions of PTX, which CUDA reads up to a zero byte."""
        module = _call(cuda.cuModuleLoadData, ptx + b"\0")
        self._frees.append((cuda.cuModuleUnload, module))
        return {entry: _call(cuda.cuModuleGetFunction, module, entry.encode()) for entry in entries}

    def launch(
        self,
        kernel: Kernel,
        *,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[int | bytes],
    ) -> None:
        """Enqueues a kernel. CUDA copies the arguments before it returns."""
        held = [
            ctypes.c_uint64(one) if isinstance(one, int) else ctypes.create_string_buffer(one)
            for one in arguments
        ]
        addresses = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
        at = ctypes.addressof(addresses)
        _call(cuda.cuLaunchKernel, kernel, *grid, *block, 0, self._stream, at, 0)

    def begin_capture(self) -> None:
        """Records the stream's work; other threads' calls are not concerned."""
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _call(cuda.cuStreamBeginCapture, self._stream, mode)

    def end_capture(self) -> Graph:
        """The recorded work, ready to be launched."""
        recorded = _call(cuda.cuStreamEndCapture, self._stream)
        try:
            graph = _call(cuda.cuGraphInstantiate, recorded, 0)
        finally:
            _call(cuda.cuGraphDestroy, recorded)
        self._frees.append((cuda.cuGraphExecDestroy, graph))
        return graph

    def launch_graph(self, graph: Graph) -> None:
        """Enqueues a graph."""
        _call(cuda.cuGraphLaunch, graph, self._stream)

    def close(self) -> None:
        """Frees all that it handed out, last first; the context at the end. Tries every one, and
        then raises the first failure."""
        failure: CudaError | None = None
        while self._frees:
            free, what = self._frees.pop()
            try:
                _call(free, what)
            except CudaError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def abandon(self) -> None:
        """Nothing was freed; the context is this thread's no more."""
        _call(cuda.cuCtxPopCurrent)


def _pop(_context: Any) -> Any:
    """Takes the context off this thread."""
    return cuda.cuCtxPopCurrent()


def _call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the driver; returns its value, or its values where it has several."""
    status, *values = function(*args)
    _require(getattr(function, "__name__", "cuda"), status)
    return values[0] if len(values) == 1 else tuple(values)


def _require(call: str, status: Any) -> None:
    if status != SUCCESS:
        raise CudaError(call, by_number(int(status), name=str(getattr(status, "name", "?"))))
