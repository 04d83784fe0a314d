"""`cuda.bindings.driver` over the simulated driver: the real package's classes, enums, signatures.

Needs the package cuda-bindings, which imports without a GPU. Each function that the simulation has
returns what the real one does, a tuple that begins with a CUresult; every other function of the
package raises NotSimulated when it is called.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from simulated_device.cuda_errors import CODES, CudaError, NotSimulated
from simulated_device.driver.allocation_calls import DEVICE_MAP
from simulated_device.driver.memory import host_view
from simulated_device.driver.ptx import Kernel, KernelModule
from simulated_device.driver.state import Context
from simulated_device.driver.stream_calls import RECORD_EXTERNAL
from simulated_device.driver.streams import Graph, GraphExec, Stream
from simulated_device.machine import Machine

OUTPUTS = {
    "cuMemGetInfo": 2,
    "cuCtxGetStreamPriorityRange": 2,
}
"""Functions that return more than one value beside the CUresult."""


def make_module(machine: Machine, real: types.ModuleType) -> types.ModuleType:
    """The module `cuda.bindings.driver` over a device, with the names of the real one."""
    module = types.ModuleType("cuda.bindings.driver")
    known = _functions(machine, real)
    for name, value in vars(real).items():
        if name.startswith("__") and name != "__pyx_capi__":
            continue
        if not callable(value) or isinstance(value, type) or not name.startswith("cu"):
            setattr(module, name, value)
        elif name in known:
            setattr(module, name, _strict(name, value, known[name], real))
        else:
            setattr(module, name, _absent(name))
    return module


signature_of = functools.cache(inspect.signature)
"""Read once: a suite makes hundreds of modules."""


def _strict(
    name: str, original: Any, does: Callable[..., Any], real: types.ModuleType
) -> Callable[..., Any]:
    signature = signature_of(original)
    outputs = OUTPUTS.get(name, 0 if does.__name__.startswith("do_") else 1)

    def call(*args: Any, **named: Any) -> tuple[Any, ...]:
        try:
            bound = signature.bind(*args, **named)
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        try:
            found = does(*bound.args)
        except CudaError as error:
            return (real.CUresult(error.code), *[None] * outputs)
        success = real.CUresult.CUDA_SUCCESS
        return (success, *(found if outputs > 1 else (found,) * outputs))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = original.__doc__
    return call


def _absent(name: str) -> Callable[..., Any]:
    def call(*args: Any, **named: Any) -> Any:
        raise NotSimulated(f"cuda.bindings.driver.{name}")

    call.__name__ = name
    return call


def number(thing: Any) -> int:
    """The number of a handle or pointer as the package takes it: its class, an int or None."""
    return 0 if thing is None else int(thing)


def address(thing: Any) -> int:
    """The address of host memory: an int, None or an object with the buffer interface."""
    if thing is None or isinstance(thing, int) or not _has_buffer(thing):
        return number(thing)
    array = np.asarray(memoryview(thing))
    return int(array.ctypes.data)


def _has_buffer(thing: Any) -> bool:
    try:
        memoryview(thing)
    except TypeError:
        return False
    return True


def _functions(machine: Machine, real: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """Name -> what it does. Those named `do_*` return nothing beside the CUresult."""
    made: dict[str, Callable[..., Any]] = {}

    def gives(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def note(does: Callable[..., Any]) -> Callable[..., Any]:
            made[name] = does
            return does

        return note

    def does(name: str, call: Callable[..., Any]) -> None:
        def do_it(*args: Any) -> None:
            call(*args)

        made[name] = do_it

    def context_of(handle: Any) -> Context:
        return machine.object(number(handle), Context)

    def stream_of(handle: Any) -> Stream:
        return machine.stream(number(handle))

    _devices(machine, real, gives, does)

    gives("cuDevicePrimaryCtxRetain")(
        lambda dev: real.CUcontext(machine.primary_retain(number(dev)).handle)
    )
    does("cuDevicePrimaryCtxRelease", lambda dev: machine.primary_release(number(dev)))
    does("cuCtxPushCurrent", lambda ctx: machine.push(context_of(ctx)))
    gives("cuCtxPopCurrent")(lambda: real.CUcontext(machine.pop().handle))
    does(
        "cuCtxSetCurrent",
        lambda ctx: machine.set_current(context_of(ctx) if number(ctx) else None),
    )
    does("cuCtxDestroy", lambda ctx: machine.context_destroy(context_of(ctx)))
    does("cuCtxSynchronize", machine.synchronize)
    gives("cuCtxGetDevice")(lambda: real.CUdevice(machine.enter().device.ordinal))

    @gives("cuCtxCreate")
    def create(params: Any, flags: int, dev: Any) -> Any:
        return real.CUcontext(machine.context_create(number(dev)).handle)

    @gives("cuCtxGetCurrent")
    def current() -> Any:
        found = machine.current()
        return real.CUcontext(found.handle if found else 0)

    _memory(machine, real, gives, does, stream_of)

    gives("cuStreamCreate")(lambda flags: real.CUstream(machine.stream_create(int(flags)).handle))
    does("cuStreamDestroy", lambda stream: machine.stream_destroy(number(stream)))
    does("cuStreamSynchronize", lambda stream: machine.stream_synchronize(number(stream)))
    does("cuStreamQuery", lambda stream: machine.stream_query(number(stream)))
    does(
        "cuStreamWaitEvent",
        lambda stream, event, flags: machine.stream_wait_event(number(stream), number(event)),
    )
    gives("cuEventCreate")(lambda flags: real.CUevent(machine.event_create(int(flags))))
    does("cuEventDestroy", lambda event: machine.event_destroy(number(event)))
    does("cuEventQuery", lambda event: machine.event_query(number(event)))
    does("cuEventSynchronize", lambda event: machine.event_synchronize(number(event)))
    does("cuEventRecord", lambda event, stream: machine.event_record(number(event), number(stream)))
    does(
        "cuEventRecordWithFlags",
        lambda event, stream, flags: machine.event_record(
            number(event), number(stream), external=bool(flags & RECORD_EXTERNAL)
        ),
    )
    gives("cuEventElapsedTime")(lambda first, last: machine.elapsed_ms(number(first), number(last)))

    does(
        "cuStreamBeginCapture",
        lambda stream, mode: machine.begin_capture(number(stream), int(mode)),
    )
    gives("cuStreamEndCapture")(lambda stream: real.CUgraph(machine.end_capture(number(stream))))
    gives("cuStreamIsCapturing")(
        lambda stream: real.CUstreamCaptureStatus(machine.capture_status(number(stream)))
    )
    gives("cuGraphInstantiate")(
        lambda graph, flags: real.CUgraphExec(machine.graph_instantiate(number(graph)))
    )
    does("cuGraphLaunch", lambda graph, stream: machine.graph_launch(number(graph), number(stream)))
    does("cuGraphUpload", lambda graph, stream: machine.object(number(graph), GraphExec))
    does("cuGraphDestroy", lambda graph: machine.release(number(graph), Graph))
    does("cuGraphExecDestroy", lambda graph: machine.release(number(graph), GraphExec))

    _modules(machine, real, gives, does, stream_of)
    return made


def _devices(machine: Machine, real: types.ModuleType, gives: Any, does: Any) -> None:
    does("cuInit", lambda flags: machine.init())
    gives("cuDriverGetVersion")(lambda: machine.simulation.driver_version)
    gives("cuDeviceGetCount")(machine.device_count)
    gives("cuDeviceTotalMem")(lambda dev: machine.device(number(dev)).facts.memory_bytes)
    gives("cuGetErrorName")(lambda error: b"CUDA_" + _error_name(int(error)))
    gives("cuGetErrorString")(lambda error: CODES[int(error)][1].encode())

    @gives("cuDeviceGet")
    def get(ordinal: int) -> Any:
        machine.device(ordinal)
        return real.CUdevice(ordinal)

    @gives("cuDeviceGetName")
    def name(length: int, dev: Any) -> bytes:
        named = machine.device(number(dev)).facts.name.encode()[: length - 1] + b"\0"
        return named.ljust(length)

    @gives("cuDeviceGetAttribute")
    def attribute(which: Any, dev: Any) -> int:
        if not isinstance(which, real.CUdevice_attribute):
            raise TypeError(f"Argument 'attrib' has incorrect type: {type(which).__name__}")
        return machine.attribute(number(dev), int(which))


def _error_name(code: int) -> bytes:
    name = CODES[code][0]
    return (name if name == "SUCCESS" else f"ERROR_{name}").encode()


def _memory(
    machine: Machine, real: types.ModuleType, gives: Any, does: Any, stream_of: Any
) -> None:
    gives("cuMemAlloc")(lambda size: real.CUdeviceptr(machine.mem_alloc(size).device_address))
    does("cuMemFree", lambda pointer: machine.mem_free(number(pointer)))
    gives("cuMemGetInfo")(machine.memory_info)
    gives("cuMemHostAlloc")(
        lambda size, flags: machine.host_alloc(size, mapped=bool(flags & DEVICE_MAP)).address
    )
    gives("cuMemAllocHost")(lambda size: machine.host_alloc(size, mapped=False).address)
    does("cuMemFreeHost", lambda pointer: machine.host_free(address(pointer)))
    gives("cuMemHostGetDevicePointer")(
        lambda pointer, flags: real.CUdeviceptr(machine.host_device_pointer(address(pointer)))
    )
    does(
        "cuMemHostRegister",
        lambda pointer, size, flags: machine.host_register(
            host_view(address(pointer), size), mapped=bool(flags & DEVICE_MAP)
        ),
    )
    does(
        "cuMemHostUnregister",
        lambda pointer: machine.host_free(address(pointer), registered=True),
    )
    does(
        "cuMemcpyHtoD",
        lambda to, source, size: machine.copy_to_device(number(to), address(source), size, None),
    )
    does(
        "cuMemcpyHtoDAsync",
        lambda to, source, size, stream: machine.copy_to_device(
            number(to), address(source), size, stream_of(stream)
        ),
    )
    does(
        "cuMemcpyDtoH",
        lambda to, source, size: machine.copy_to_host(address(to), number(source), size, None),
    )
    does(
        "cuMemcpyDtoHAsync",
        lambda to, source, size, stream: machine.copy_to_host(
            address(to), number(source), size, stream_of(stream)
        ),
    )
    does(
        "cuMemcpyDtoDAsync",
        lambda to, source, size, stream: machine.copy_on_device(
            number(to), number(source), size, stream_of(stream)
        ),
    )
    does(
        "cuMemsetD8",
        lambda to, value, count: machine.fill(number(to), value, count, None),
    )
    does(
        "cuMemsetD8Async",
        lambda to, value, count, stream: machine.fill(number(to), value, count, stream_of(stream)),
    )


def _modules(
    machine: Machine, real: types.ModuleType, gives: Any, does: Any, stream_of: Any
) -> None:
    def image_of(thing: Any) -> bytes:
        """PTX text up to its NUL, which a bytes object has and an array must."""
        if isinstance(thing, bytes):
            return thing
        if not isinstance(thing, int):
            data = bytes(memoryview(thing))
            if b"\0" not in data:
                machine.finding("PTX without a NUL at its end: the driver reads on behind it")
            return data
        return ctypes.string_at(thing)

    gives("cuModuleLoadData")(lambda image: real.CUmodule(machine.module_load(image_of(image))))
    gives("cuModuleLoadDataEx")(
        lambda image, count, options, values: real.CUmodule(machine.module_load(image_of(image)))
    )
    does("cuModuleUnload", lambda module: machine.release(number(module), KernelModule))

    @gives("cuModuleGetFunction")
    def get_function(module: Any, name: bytes) -> Any:
        if not isinstance(name, bytes):
            raise TypeError(f"expected bytes, {type(name).__name__} found")
        return real.CUfunction(machine.module_function(number(module), name.decode()))

    def launch(function: Any, *given: Any) -> None:
        gx, gy, gz, bx, by, bz, _, stream, params, extra = given
        if extra:
            raise NotSimulated("cuLaunchKernel: extra")
        kernel = machine.object(number(function), Kernel)
        machine.launch(
            number(function),
            (gx, gy, gz),
            (bx, by, bz),
            stream=stream_of(stream),
            arguments=_arguments(params, kernel),
        )

    does("cuLaunchKernel", launch)


SCALARS = (
    ctypes.c_bool,
    ctypes.c_char,
    ctypes.c_wchar,
    ctypes.c_byte,
    ctypes.c_ubyte,
    ctypes.c_short,
    ctypes.c_ushort,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_long,
    ctypes.c_ulong,
    ctypes.c_longlong,
    ctypes.c_ulonglong,
    ctypes.c_size_t,
    ctypes.c_float,
    ctypes.c_double,
)


def _arguments(params: Any, kernel: Kernel) -> list[bytes]:
    """What a driver would read: each parameter's bytes at the pointer that stands for it."""
    wanted = kernel.parameters
    if isinstance(params, tuple):
        if not (len(params) == 2 and all(isinstance(part, tuple) for part in params)):
            raise TypeError("Argument 'kernelParams' is not a valid type")
        values, kinds = params
        if len(values) != len(kinds):
            raise TypeError("Argument 'kernelParams' has tuples with different length")
        if len(values) < len(wanted):
            raise CudaError("INVALID_VALUE")
        packed = [_value_bytes(value, kind) for value, kind in zip(values, kinds, strict=True)]
        return [
            data[: one.size].ljust(one.size, b"\xcd")
            for data, one in zip(packed, wanted, strict=False)
        ]
    if params is None:
        if wanted:
            raise CudaError("INVALID_VALUE")
        return []
    pointers = (ctypes.c_uint64 * len(wanted)).from_address(address(params))
    return [ctypes.string_at(at, one.size) for at, one in zip(pointers, wanted, strict=True)]


def _value_bytes(value: Any, kind: Any) -> bytes:
    if kind is None:
        if callable(getattr(value, "getPtr", None)):
            return ctypes.string_at(value.getPtr(), 8)
        if isinstance(value, ctypes.Structure):
            return ctypes.string_at(ctypes.addressof(value), ctypes.sizeof(value))
        raise TypeError(f"Provided argument is of type {type(value)}")
    if kind is ctypes.c_void_p:
        if isinstance(value, ctypes.c_void_p):
            return bytes(value)
        if isinstance(value, int):
            return value.to_bytes(8, "little")
        # The package stores the address of the handle object here, not the handle's value.
        return int(value.getPtr()).to_bytes(8, "little")
    if kind in SCALARS:
        return bytes(value if isinstance(value, kind) else kind(value))
    raise TypeError(f"Unsupported type: {kind!r}")
