"""`pycuda.driver` over the simulated driver, with the names that pycuda 2026.1 exports.

Errors are pycuda's: its exception classes by CUresult, its messages. Objects free what they hold
when they are collected, in the thread of their context only, as pycuda does.
"""

from __future__ import annotations

import builtins
import contextlib
import enum
import functools
import gc
import json
import math
import struct
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simulated_device.cuda_errors import CODES, NUMBERS, CudaError, NotSimulated
from simulated_device.driver.allocation_calls import DEVICE_MAP
from simulated_device.driver.memory import Block, Bytes
from simulated_device.driver.ptx import Kernel, KernelModule
from simulated_device.driver.state import Context as DriverContext
from simulated_device.driver.streams import Stream as DriverStream
from simulated_device.exports import API
from simulated_device.machine import Machine

EXPORTS: dict[str, Any] = json.loads((API / "pycuda-2026.1.json").read_text())

ENUM_VALUES: dict[str, dict[str, int]] = {
    "ctx_flags": {
        "SCHED_AUTO": 0,
        "SCHED_SPIN": 1,
        "SCHED_YIELD": 2,
        "BLOCKING_SYNC": 4,
        "SCHED_BLOCKING_SYNC": 4,
        "SCHED_MASK": 7,
        "MAP_HOST": 8,
        "LMEM_RESIZE_TO_MAX": 16,
        "FLAGS_MASK": 31,
    },
    "event_flags": {"DEFAULT": 0, "BLOCKING_SYNC": 1, "DISABLE_TIMING": 2, "INTERPROCESS": 4},
    "device_attribute": {
        "MAX_THREADS_PER_BLOCK": 1,
        "MULTIPROCESSOR_COUNT": 16,
        "INTEGRATED": 18,
        "CAN_MAP_HOST_MEMORY": 19,
        "UNIFIED_ADDRESSING": 41,
        "COMPUTE_CAPABILITY_MAJOR": 75,
        "COMPUTE_CAPABILITY_MINOR": 76,
    },
}
"""CUDA's numbers of the members that the simulation knows; others get numbers below 0."""

LAUNCH_CODES = (719, 701, 702, 703)
RUNTIME_CODES = (100, 209, 301, 600, 214)
"""Codes that pycuda raises as LaunchError and as RuntimeError."""


class Error(Exception):
    """Base of pycuda's errors."""


class MemoryError(Error, builtins.MemoryError):  # noqa: A001 # pycuda's own name
    pass


class LogicError(Error):
    pass


class LaunchError(Error):
    pass


class RuntimeError(Error):  # noqa: A001 # pycuda's own name
    pass


def translated(routine: str, error: CudaError) -> Error:
    """pycuda's exception for a CUDA error."""
    message = f"{routine} failed: {CODES[error.code][1]}"
    if error.code in LAUNCH_CODES:
        return LaunchError(message)
    if error.code == NUMBERS["OUT_OF_MEMORY"]:
        return MemoryError(message)
    if error.code in RUNTIME_CODES:
        return RuntimeError(message)
    return Error(message) if error.code == NUMBERS["UNKNOWN"] else LogicError(message)


@contextlib.contextmanager
def calling(routine: str) -> Iterator[None]:
    """Raise pycuda's error for a CUDA error of this driver call."""
    try:
        yield
    except CudaError as error:
        raise translated(routine, error) from None


@functools.cache
def _enums() -> dict[str, type[enum.IntEnum]]:
    """pycuda's enums, made once: a suite makes hundreds of modules."""
    made = {}
    for name, members in EXPORTS["enums"].items():
        known = ENUM_VALUES.get(name, {})
        values = {one: known.get(one, -1 - row) for row, one in enumerate(members)}
        made[name] = enum.IntEnum(name, values)
    return made


def make_module(machine: Machine) -> types.ModuleType:
    """The module `pycuda.driver` over a device."""
    module = types.ModuleType("pycuda.driver")
    for name, members in _enums().items():
        setattr(module, name, members)
    for kind in (Error, MemoryError, LogicError, LaunchError, RuntimeError):
        setattr(module, kind.__name__, kind)
    module.host_alloc_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=2, WRITECOMBINED=4)
    module.mem_host_register_flags = types.SimpleNamespace(PORTABLE=1, DEVICEMAP=2)
    for name, value in _Driver(machine, module).exports().items():
        setattr(module, name, value)
    everything = {*EXPORTS["classes"], *EXPORTS["functions"], *EXPORTS["python"]["functions"]}

    def missing(name: str) -> Any:
        if name in everything or name in EXPORTS["python"]["classes"]:
            raise NotSimulated(f"pycuda.driver.{name}")
        raise AttributeError(f"module 'pycuda.driver' has no attribute '{name}'")

    module.__getattr__ = missing  # type: ignore[method-assign]
    strangers = [name for name in vars(module) if not name.startswith("__")]
    known = {*everything, *EXPORTS["enums"], *EXPORTS["exceptions"]}
    assert set(strangers) <= known, sorted(set(strangers) - known)
    return module


def buffer_of(thing: Any, *, writable: bool) -> Bytes:
    """The bytes of an object with the buffer interface, as pycuda asks for them."""
    view = memoryview(thing)
    if not view.contiguous:
        raise ValueError("ndarray is not contiguous")
    if writable and view.readonly:
        raise BufferError("Object is not writable.")
    array = np.asarray(view)
    return array.ravel(order="K").view(np.uint8) if array.size else np.empty(0, np.uint8)


class _Driver:
    """Makes the classes and functions, each bound to one machine."""

    def __init__(self, machine: Machine, module: types.ModuleType) -> None:
        self.machine, self.module = machine, module
        self.stacks = threading.local()
        self.all_stacks: list[tuple[threading.Thread, list[Any]]] = []
        machine.at_end.append(self.check_stacks)

    def stack(self) -> list[Any]:
        """pycuda's own stack of contexts, one a thread."""
        if not hasattr(self.stacks, "contexts"):
            self.stacks.contexts = []
            self.all_stacks.append((threading.current_thread(), self.stacks.contexts))
        held: list[Any] = self.stacks.contexts
        return held

    def check_stacks(self) -> None:
        """pycuda aborts the process where a thread, or the process, ends with a context on its
        stack."""
        for thread, held in self.all_stacks:
            ended = thread is threading.main_thread() or not thread.is_alive()
            if ended and any(context._valid for context in held):
                self.machine.finding(
                    "pycuda aborts the process: the context stack was not empty upon module cleanup"
                )

    def exports(self) -> dict[str, Any]:
        return {
            **self._devices(),
            **self._memory(),
            **self._copies(),
            **self._streams(),
            **self._modules(),
        }

    def _devices(self) -> dict[str, Any]:
        machine, stack, driver = self.machine, self.stack, self

        class Device:
            def __init__(self, number: int) -> None:
                with calling("cuDeviceGet"):
                    machine.device(number)
                self._ordinal = number

            @staticmethod
            def count() -> int:
                with calling("cuDeviceGetCount"):
                    return machine.device_count()

            def name(self) -> str:
                return machine.device(self._ordinal).facts.name

            def compute_capability(self) -> tuple[int, int]:
                sm = machine.device(self._ordinal).facts.sm
                return sm // 10, sm % 10

            def total_memory(self) -> int:
                return machine.device(self._ordinal).facts.memory_bytes

            def pci_bus_id(self) -> str:
                return f"0000:{self._ordinal + 1:02X}:00.0"

            def get_attribute(self, attribute: int) -> int:
                if int(attribute) < 0:
                    raise NotSimulated(str(attribute))
                with calling("cuDeviceGetAttribute"):
                    return machine.attribute(self._ordinal, int(attribute))

            def make_context(self, flags: int = 0) -> Context:
                if stack():
                    machine.pop()
                with calling("cuCtxCreate"):
                    made = Context(machine.context_create(self._ordinal), self._ordinal)
                stack().append(made)
                return made

            def retain_primary_context(self) -> Context:
                with calling("cuDevicePrimaryCtxRetain"):
                    return Context(machine.primary_retain(self._ordinal), self._ordinal)

            def __hash__(self) -> int:
                return self._ordinal

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Device) and other._ordinal == self._ordinal

        class Context:
            def __init__(self, held: DriverContext, ordinal: int) -> None:
                self._held, self._ordinal = held, ordinal
                self._valid, self._thread = True, threading.get_ident()

            @property
            def handle(self) -> int:
                return self._held.handle

            def push(self) -> None:
                if stack():
                    machine.pop()
                with calling("cuCtxPushCurrent"):
                    machine.push(self._held)
                stack().append(self)

            @staticmethod
            def pop() -> None:
                if not stack():
                    raise translated("context::pop", CudaError("INVALID_CONTEXT"))
                with calling("cuCtxPopCurrent"):
                    machine.pop()
                stack().pop()
                driver.current_again()

            def detach(self) -> None:
                if not self._valid:
                    raise translated("context::detach", CudaError("INVALID_CONTEXT"))
                active = driver.current() is self
                if not active and threading.get_ident() != self._thread:
                    self._valid = False
                    return
                if not active and not self._held.destroyed:
                    machine.push(self._held)
                self._detach_current()
                self._valid = False
                if active:
                    driver.current_again()

            def _detach_current(self) -> None:
                if self._held.is_primary:
                    machine.primary_release(self._ordinal)
                else:
                    machine.context_destroy(self._held)

            @staticmethod
            def synchronize() -> None:
                with calling("cuCtxSynchronize"):
                    machine.synchronize()

            @staticmethod
            def get_device() -> Device:
                with calling("cuCtxGetDevice"):
                    return Device(machine.enter().device.ordinal)

            @staticmethod
            def get_current() -> Context | None:
                found: Context | None = driver.current()
                return found

            def __del__(self) -> None:
                if self._valid and not machine.closed and not self._held.destroyed:
                    with contextlib.suppress(Error, CudaError):
                        self.detach()

        def init(flags: int = 0) -> None:
            with calling("cuInit"):
                machine.init()

        version = machine.simulation.driver_version
        built = machine.simulation.pycuda_built_for or version
        return {
            "Device": Device,
            "Context": Context,
            "init": init,
            "get_version": lambda: (built // 1000, built % 1000 // 10, built % 10),
            "get_driver_version": lambda: version,
        }

    def current(self) -> Any:
        """pycuda's current context; contexts that were detached are dropped from its stack."""
        while self.stack():
            if self.stack()[-1]._valid:
                return self.stack()[-1]
            self.stack().pop()
        return None

    def current_again(self) -> None:
        again = self.current()
        if again is not None:
            self.machine.push(again._held)

    def ward(self) -> Any:
        """The context of a new object."""
        found = self.current()
        if found is None:
            raise translated("explicit_context_dependent", CudaError("INVALID_CONTEXT"))
        return found

    @contextlib.contextmanager
    def activated(self, ward: Any) -> Iterator[bool]:
        """Make an object's context current to free it: in its thread only, while it lives."""
        if self.machine.closed or not ward._valid or ward._held.destroyed:
            yield False
        elif self.current() is ward:
            yield True
        elif threading.get_ident() != ward._thread:
            yield False
        else:
            ward.push()
            try:
                yield True
            finally:
                ward.pop()

    def clean_up(self, routine: str, ward: Any, free: Any, *arguments: Any) -> None:
        """Free as a destructor does: what fails is a warning."""
        with self.activated(ward) as here:
            if not here:
                return
            if self.machine.never_ends() and routine in ("cuMemFree", "cuMemFreeHost"):
                self.machine.finding(f"{routine} by the collector while an execution never ends")
                return
            try:
                free(*arguments)
            except CudaError as error:
                if not ward._held.device.sticky:
                    self.machine.finding(f"PyCUDA WARNING: {translated(routine, error)}")

    def _memory(self) -> dict[str, Any]:
        machine, driver = self.machine, self

        class DeviceAllocation:
            def __init__(self, block: Block) -> None:
                self._block, self._ward, self._valid = block, driver.ward(), True

            def __int__(self) -> int:
                return self._block.device_address

            __index__ = __int__

            def free(self) -> None:
                if not self._valid:
                    machine.finding("device memory is freed twice")
                    raise translated("device_allocation::free", CudaError("INVALID_HANDLE"))
                self._valid = False
                with driver.activated(self._ward) as here, calling("cuMemFree"):
                    if here:
                        machine.mem_free(self._block.device_address)

            def __del__(self) -> None:
                if self._valid:
                    self._valid = False
                    address = self._block.device_address
                    driver.clean_up("cuMemFree", self._ward, machine.mem_free, address)

        class PagelockedHostAllocation:
            def __init__(
                self, block: Block, shape: tuple[int, ...], dtype: Any, order: str
            ) -> None:
                self._block, self._ward, self._valid = block, driver.ward(), True
                strides = np.empty(shape, dtype, order=order).strides  # type: ignore[call-overload]
                self.__array_interface__ = {
                    "shape": shape,
                    "typestr": np.dtype(dtype).str,
                    "data": (block.address, False),
                    "strides": strides,
                    "version": 3,
                }

            def get_device_pointer(self) -> int:
                with calling("cuMemHostGetDevicePointer"):
                    return machine.host_device_pointer(self._block.address)

            def free(self) -> None:
                if not self._valid:
                    raise translated(
                        "pagelocked_host_allocation::free", CudaError("INVALID_HANDLE")
                    )
                self._valid = False
                with driver.activated(self._ward) as here, calling("cuMemFreeHost"):
                    if here:
                        machine.host_free(self._block.address)

            def __del__(self) -> None:
                if self._valid:
                    self._valid = False
                    address = self._block.address
                    driver.clean_up("cuMemFreeHost", self._ward, machine.host_free, address)

        def mem_alloc(size: int) -> DeviceAllocation:
            try:
                return DeviceAllocation(machine.mem_alloc(size))
            except CudaError as error:
                if error.code != NUMBERS["OUT_OF_MEMORY"]:
                    raise translated("cuMemAlloc", error) from None
            gc.collect()
            with calling("cuMemAlloc"):
                return DeviceAllocation(machine.mem_alloc(size, again=True))

        def pagelocked_empty(
            shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0
        ) -> np.ndarray[Any, Any]:
            sizes = (shape,) if isinstance(shape, int) else tuple(shape)
            size = math.prod(sizes) * np.dtype(dtype).itemsize
            with calling("cuMemHostAlloc"):
                block = machine.host_alloc(size, mapped=bool(mem_flags & DEVICE_MAP))
            return np.asarray(PagelockedHostAllocation(block, sizes, dtype, order))

        def pagelocked_zeros(
            shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0
        ) -> np.ndarray[Any, Any]:
            made = pagelocked_empty(shape, dtype, order, mem_flags)
            made.fill(0)
            return made

        def mem_get_info() -> tuple[int, int]:
            with calling("cuMemGetInfo"):
                return machine.memory_info()

        return {
            "DeviceAllocation": DeviceAllocation,
            "PagelockedHostAllocation": PagelockedHostAllocation,
            "HostPointer": PagelockedHostAllocation,
            "mem_alloc": mem_alloc,
            "mem_alloc_like": lambda array: mem_alloc(array.nbytes),
            "mem_get_info": mem_get_info,
            "pagelocked_empty": pagelocked_empty,
            "pagelocked_zeros": pagelocked_zeros,
        }

    def handle_of(self, stream: Any) -> int:
        return 0 if stream is None else int(stream.handle)

    def _copies(self) -> dict[str, Any]:
        machine = self.machine

        def address(thing: Any) -> int:
            if isinstance(thing, (float, np.ndarray, str)) or not hasattr(thing, "__int__"):
                raise TypeError("Python argument types did not match C++ signature: CUdeviceptr")
            return int(thing)

        def memcpy_htod(dest: Any, src: Any) -> None:
            view = buffer_of(src, writable=False)
            with calling("cuMemcpyHtoD"):
                machine.copy_to_device(address(dest), view.ctypes.data, len(view), None)

        def memcpy_htod_async(dest: Any, src: Any, stream: Any = None) -> None:
            view = buffer_of(src, writable=False)
            with calling("cuMemcpyHtoDAsync"):
                on = machine.stream(self.handle_of(stream))
                machine.copy_to_device(address(dest), view.ctypes.data, len(view), on)

        def memcpy_dtoh(dest: Any, src: Any) -> None:
            view = buffer_of(dest, writable=True)
            with calling("cuMemcpyDtoH"):
                machine.copy_to_host(view.ctypes.data, address(src), len(view), None)

        def memcpy_dtoh_async(dest: Any, src: Any, stream: Any = None) -> None:
            view = buffer_of(dest, writable=True)
            with calling("cuMemcpyDtoHAsync"):
                on = machine.stream(self.handle_of(stream))
                machine.copy_to_host(view.ctypes.data, address(src), len(view), on)

        def memcpy_dtod_async(dest: Any, src: Any, size: int, stream: Any = None) -> None:
            with calling("cuMemcpyDtoDAsync"):
                on = machine.stream(self.handle_of(stream))
                machine.copy_on_device(address(dest), address(src), size, on)

        def memset_d8_async(dest: Any, data: int, count: int, stream: Any = None) -> None:
            with calling("cuMemsetD8Async"):
                on = machine.stream(self.handle_of(stream))
                machine.fill(address(dest), data, count, on)

        def memset_d8(dest: Any, data: int, count: int) -> None:
            with calling("cuMemsetD8"):
                machine.fill(address(dest), data, count, None)

        return {
            "memcpy_htod": memcpy_htod,
            "memcpy_htod_async": memcpy_htod_async,
            "memcpy_dtoh": memcpy_dtoh,
            "memcpy_dtoh_async": memcpy_dtoh_async,
            "memcpy_dtod_async": memcpy_dtod_async,
            "memset_d8": memset_d8,
            "memset_d8_async": memset_d8_async,
        }

    def _streams(self) -> dict[str, Any]:
        machine, driver = self.machine, self

        class Stream:
            def __init__(self, flags: int = 0) -> None:
                self._ward = driver.ward()
                with calling("cuStreamCreate"):
                    self._stream: DriverStream = machine.stream_create(flags)

            @property
            def handle(self) -> int:
                return self._stream.handle

            def synchronize(self) -> None:
                with calling("cuStreamSynchronize"):
                    machine.stream_synchronize(self.handle)

            def is_done(self) -> bool:
                try:
                    machine.stream_query(self.handle)
                except CudaError as error:
                    if error.code == NUMBERS["NOT_READY"]:
                        return False
                    raise translated("cuStreamQuery", error) from None
                return True

            def wait_for_event(self, event: Event) -> None:
                with calling("cuStreamWaitEvent"):
                    machine.stream_wait_event(self.handle, event._handle)

            def __del__(self) -> None:
                if hasattr(self, "_stream"):
                    destroy = machine.stream_destroy
                    driver.clean_up("cuStreamDestroy", self._ward, destroy, self.handle)

        class Event:
            def __init__(self, flags: int = 0) -> None:
                self._ward = driver.ward()
                with calling("cuEventCreate"):
                    self._handle = machine.event_create(int(flags))

            def record(self, stream: Stream | None = None) -> Event:
                with calling("cuEventRecord"):
                    machine.event_record(self._handle, driver.handle_of(stream))
                return self

            def synchronize(self) -> Event:
                with calling("cuEventSynchronize"):
                    machine.event_synchronize(self._handle)
                return self

            def query(self) -> bool:
                try:
                    machine.event_query(self._handle)
                except CudaError as error:
                    if error.code == NUMBERS["NOT_READY"]:
                        return False
                    raise translated("cuEventQuery", error) from None
                return True

            def time_since(self, event: Event) -> float:
                with calling("cuEventElapsedTime"):
                    return machine.elapsed_ms(event._handle, self._handle)

            def time_till(self, event: Event) -> float:
                with calling("cuEventElapsedTime"):
                    return machine.elapsed_ms(self._handle, event._handle)

            def __del__(self) -> None:
                if hasattr(self, "_handle"):
                    destroy = machine.event_destroy
                    driver.clean_up("cuEventDestroy", self._ward, destroy, self._handle)

        return {"Stream": Stream, "Event": Event}

    def _modules(self) -> dict[str, Any]:
        machine, driver = self.machine, self

        class Module:
            def __init__(self, handle: int) -> None:
                self._handle, self._ward = handle, driver.ward()

            def get_function(self, name: str) -> Function:
                with calling("cuModuleGetFunction"):
                    return Function(machine.module_function(self._handle, name), self)

            def __del__(self) -> None:
                driver.clean_up(
                    "cuModuleUnload", self._ward, machine.release, self._handle, KernelModule
                )

        class Function:
            def __init__(self, handle: int, module: Module) -> None:
                self._handle, self._module, self._format = handle, module, ""

            def prepare(self, arg_types: Any, texrefs: Any = None) -> Function:
                self._format = "".join(map(_format_of, arg_types))
                return self

            def prepared_call(
                self, grid: Any, block: Any, *args: Any, shared_size: int = 0
            ) -> None:
                packed = struct.pack(self._format, *map(_plain, args))
                self._launch_kernel(grid, block, packed, shared_size, None)

            def prepared_async_call(
                self, grid: Any, block: Any, stream: Any, *args: Any, shared_size: int = 0
            ) -> None:
                packed = struct.pack(self._format, *map(_plain, args))
                self._launch_kernel(grid, block, packed, shared_size, stream)

            def __call__(
                self,
                *args: Any,
                grid: Any = (1, 1),
                block: Any = None,
                stream: Any = None,
                shared: int = 0,
            ) -> None:
                if block is None:
                    raise ValueError("must specify block size")
                packed = _packed(args, driver.module.DeviceAllocation)
                self._launch_kernel(grid, block, packed, shared, stream)

            def _launch_kernel(
                self, grid: Any, block: Any, arg_buf: bytes, shared: int, stream: Any
            ) -> None:
                with calling("cuLaunchKernel"):
                    kernel = machine.object(self._handle, Kernel)
                    machine.launch(
                        self._handle,
                        _three(grid),
                        _three(block),
                        stream=machine.stream(driver.handle_of(stream)),
                        arguments=kernel.unpacked(bytes(arg_buf)),
                    )

        def module_from_buffer(
            buffer: Any, options: Any = (), message_handler: Any = None
        ) -> Module:
            with calling("cuModuleLoadDataEx"):
                return Module(machine.module_load(bytes(buffer)))

        def module_from_file(filename: str) -> Module:
            with calling("cuModuleLoad"):
                return Module(machine.module_load(Path(filename).read_bytes()))

        return {
            "Module": Module,
            "Function": Function,
            "module_from_buffer": module_from_buffer,
            "module_from_file": module_from_file,
        }


def _three(sizes: Any) -> tuple[int, int, int]:
    given = tuple(int(size) for size in sizes)
    return (*given, 1, 1, 1)[:3]  # type: ignore[return-value]


def _format_of(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    if isinstance(kind, np.dtype):
        return f"{kind.itemsize}s" if kind.char == "V" else kind.char
    if isinstance(kind, type) and issubclass(kind, np.number):
        return np.dtype(kind).char
    return np.dtype(np.uintp).char


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, np.void) else value


def _packed(args: tuple[Any, ...], allocation: type) -> bytes:
    """Arguments of a call as pycuda packs them: numpy scalars, allocations, raw arrays."""
    form, values = "", []
    for row, value in enumerate(args):
        if isinstance(value, np.number):
            form += value.dtype.char
            values.append(value)
        elif isinstance(value, allocation):
            form += "P"
            values.append(int(value))  # type: ignore[call-overload]
        elif isinstance(value, np.ndarray):
            form += f"{value.nbytes}s"
            values.append(value.tobytes())
        elif isinstance(value, np.void):
            form += f"{value.itemsize}s"
            values.append(bytes(value))
        else:
            raise TypeError(f"invalid type on parameter #{row} (0-based)")
    return struct.pack(form, *values)
