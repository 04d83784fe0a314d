"""The rules of the simulated CUDA driver, each broken by a test, on both driver rows."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from simulated_device.cuda_errors import CODES, CudaError, NotSimulated
from simulated_device.description import Fault, Gpu, Simulation
from simulated_device.driver.memory import POISON
from simulated_device.driver.ptx import load_ptx
from simulated_device.driver.streams import Operation, Work
from simulated_device.driver_rows import BindingsRow, Failed, in_thread
from simulated_device.machine import Machine
from simulated_device.site import installed

from edge.backends.cuda.preprocess_kernel import PreprocessParams, kernel_launch, packed_layout
from edge.perception.preprocess import PreprocessSpec, preprocess

SPEC = PreprocessSpec(
    width_px=16,
    height_px=12,
    fit="letterbox",
    anchor="center",
    pad_value=114,
    color="rgb",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)
LAUNCH = kernel_launch(SPEC, packed_layout("bgr", 20, 15))


def ptx(*, version: str = "8.5", target: str = "sm_87", entry: str = "preprocess_bgr") -> bytes:
    """PTX as NVRTC writes it, as far as a driver checks it here."""
    return (
        f".version {version}\n.target {target}\n.address_size 64\n.visible .entry {entry}(\n"
        f"\t.param .u64 {entry}_param_0,\n\t.param .u64 {entry}_param_1,\n"
        f"\t.param .align 8 .b8 {entry}_param_2[{len(LAUNCH.params)}]\n)\n{{\n\tret;\n}}\n\0"
    ).encode()


@pytest.fixture
def simulation() -> Simulation:
    return Simulation(gpus=(Gpu(memory_bytes=256 << 20), Gpu(memory_bytes=256 << 20)))


@pytest.fixture
def machine(simulation: Simulation) -> Iterator[Machine]:
    """A Jetson; findings that a test does not take fail it."""
    with installed(simulation) as made:
        yield made


@pytest.fixture
def cuda(machine: Machine, row: Callable[[], Any]) -> Iterator[Any]:
    """A row with its context, on this thread; what a test leaves is freed with the context."""
    made = row()
    made.start()
    yield made
    made.end()
    forget_leaks(machine)


def forget_leaks(machine: Machine) -> None:
    """What a test leaves goes with its context; only the test of leaks looks at it."""
    left = [found for found in machine.findings if not found.startswith("left at the end")]
    machine.findings[:] = left


def refused(code: str, does: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(Failed) as failed:
        does(*arguments)
    assert str(failed.value) == code


class TestTheDriver:
    """One class for both rows."""

    def test_a_round_trip_through_device_memory(self, cuda: Any) -> None:
        there, back, memory = cuda.host(1000), cuda.host(1000), cuda.alloc(1000)
        stream, done = cuda.stream(), cuda.event()
        there[:] = np.arange(1000) % 200
        cuda.to_device(memory, there, stream)
        cuda.to_host(back, memory, stream)
        cuda.record(done, stream)
        assert np.isnan(back.view(np.float32)).all(), "poison until it was awaited"
        assert not cuda.event_done(done)
        assert np.isnan(back.view(np.float32)).all()
        assert cuda.event_done(done)
        assert (back == there).all()

    def test_fresh_and_freed_memory_is_poison(self, cuda: Any) -> None:
        back, memory = cuda.host(8), cuda.alloc(8)
        back[:] = 1
        cuda.to_host(back, memory)
        assert back.tolist() == [*POISON, *POISON]
        back[:] = 1
        view = back.view()
        cuda.host_free(back)
        assert view.tolist() == [*POISON, *POISON]

    def test_a_source_changed_under_its_copy_is_found(self, cuda: Any, machine: Machine) -> None:
        there, memory, stream = cuda.host(8), cuda.alloc(8), cuda.stream()
        cuda.to_device(memory, there, stream)
        there[3] = 1
        cuda.stream_synchronize(stream)
        assert machine.take_findings() == [
            "the source of an asynchronous copy was changed before it was awaited"
        ]

    def test_an_asynchronous_copy_wants_page_locked_memory(
        self, cuda: Any, machine: Machine
    ) -> None:
        there, memory, stream = np.arange(8, dtype=np.uint8), cuda.alloc(8), cuda.stream()
        cuda.to_device(memory, there, stream)
        back = np.zeros(8, np.uint8)
        cuda.to_host(back, memory, stream)
        assert (back == there).all(), "CUDA waits"
        found = machine.take_findings()
        assert len(found) == 2
        assert all("pageable" in sentence for sentence in found)

    def test_streams_run_in_order_and_wait_for_others_by_events_only(self, cuda: Any) -> None:
        there, back, memory = cuda.host(4), cuda.host(4), cuda.alloc(4)
        one, other, event = cuda.stream(), cuda.stream(), cuda.event()
        there[:] = 7
        cuda.to_device(memory, there, one)
        cuda.to_host(back, memory, other)
        cuda.stream_synchronize(other)
        assert back.tolist() == POISON.tolist(), "the other stream did not wait"
        cuda.record(event, one)
        cuda.stream_wait(other, event)
        cuda.to_host(back, memory, other)
        cuda.stream_synchronize(other)
        assert (back == 7).all()

    def test_a_synchronous_copy_waits_for_blocking_streams(self, cuda: Any) -> None:
        there, memory, stream = cuda.host(4), cuda.alloc(4), cuda.stream()
        there[:] = 7
        cuda.to_device(memory, there, stream)
        back = np.zeros(4, np.uint8)
        cuda.to_host(back, memory)
        assert (back == 7).all()

    def test_events(self, cuda: Any) -> None:
        stream, first, last, untimed = cuda.stream(), cuda.event(), cuda.event(), cuda.event(2)
        assert cuda.event_done(first), "an event that was never recorded"
        refused("INVALID_HANDLE", cuda.elapsed_ms, first, last)
        for event in (first, last, untimed):
            cuda.record(event, stream)
        refused("NOT_READY", cuda.elapsed_ms, first, last)
        cuda.event_synchronize(untimed)
        assert cuda.elapsed_ms(first, last) >= 0
        refused("INVALID_HANDLE", cuda.elapsed_ms, first, untimed)
        assert cuda.stream_done(stream)

    def test_a_thread_without_the_context_is_refused(self, cuda: Any) -> None:
        assert str(in_thread(lambda: cuda.alloc(8))) == "INVALID_CONTEXT"
        stream = cuda.stream()
        assert str(in_thread(lambda: cuda.stream_synchronize(stream))) == "INVALID_CONTEXT"

    def test_wrong_addresses(self, cuda: Any, machine: Machine) -> None:
        array, memory, stream = cuda.host(64), cuda.alloc(32), cuda.stream()
        refused("INVALID_VALUE", cuda.to_device, memory, array, stream)
        refused("INVALID_VALUE", cuda.to_device, array.ctypes.data, array, stream)
        refused("INVALID_VALUE", cuda.to_device, int(memory) + 4096, array[:4], stream)
        address = int(memory)
        cuda.free(memory)
        refused("INVALID_VALUE", cuda.to_host, array[:32], address, stream)
        with pytest.raises(Failed):
            cuda.free(memory)
        assert machine.take_findings() == ["device memory is freed twice"]
        refused("INVALID_VALUE", cuda.alloc, 0)

    def test_freeing_waits_for_work_under_way(self, cuda: Any) -> None:
        there, memory, stream = cuda.host(4), cuda.alloc(4), cuda.stream()
        back = cuda.host(4)
        there[:] = 7
        cuda.to_device(memory, there, stream)
        cuda.to_host(back, memory, stream)
        cuda.free(memory)
        assert (back == 7).all()

    def test_memory_has_an_end(self, cuda: Any) -> None:
        held = cuda.alloc(100 << 20)
        refused("OUT_OF_MEMORY", cuda.alloc, 100 << 20)
        cuda.free(held)
        cuda.free(cuda.alloc(100 << 20))
        refused("OUT_OF_MEMORY", cuda.host, 1 << 30)

    def test_mapped_memory(self, cuda: Any) -> None:
        mapped, plain, back = cuda.host(8, mapped=True), cuda.host(8), cuda.host(8)
        address = cuda.device_pointer(mapped)
        assert address != mapped.ctypes.data, "it must be asked"
        mapped[:] = 7
        cuda.to_host(back, address)
        assert (back == 7).all()
        refused("INVALID_VALUE", cuda.device_pointer, plain)

    def test_freeing_page_locked_memory(self, cuda: Any, machine: Machine) -> None:
        free, _ = machine.memory_info()
        there, memory, stream = cuda.host(4), cuda.alloc(4), cuda.stream()
        there[:] = 7
        cuda.to_device(memory, there, stream)
        cuda.host_free(there)
        back = np.zeros(4, np.uint8)
        cuda.to_host(back, memory)
        assert (back == 7).all(), "it waits for the copy"
        cuda.free(memory)
        assert machine.memory_info()[0] == free
        with pytest.raises(Failed):
            cuda.host_free(there)
        refused("INVALID_VALUE", cuda.host, 0)

    def test_a_context_ends_with_what_is_in_it(
        self, machine: Machine, row: Callable[[], Any]
    ) -> None:
        cuda = row()
        cuda.start()
        there, back, memory = cuda.host(4), cuda.host(4), cuda.alloc(150 << 20)
        kept = back.view()
        stream, address = cuda.stream(), int(memory)
        there[:] = 7
        cuda.to_device(memory, there, stream)
        context, ended = machine.current(), []
        operation = Operation("last", ended.append)
        machine.enqueue(machine.stream(cuda.stream_number(stream)), operation)
        cuda.end()
        assert len(ended) == 1, "work under way runs to its end"
        assert np.isnan(kept.view(np.float32)).all()
        assert len(machine.take_findings()) == 1
        with pytest.raises(CudaError, match="CONTEXT_IS_DESTROYED"):
            machine.push(context)
        again = row()
        again.start()
        refused("INVALID_VALUE", again.to_device, address, np.zeros(4, np.uint8))
        again.free(again.alloc(150 << 20))
        again.end()

    def test_what_is_left_in_a_context_is_found(
        self, machine: Machine, row: Callable[[], Any]
    ) -> None:
        cuda = row()
        cuda.start()
        held = cuda.alloc(100), cuda.host(8), cuda.stream(), cuda.event()
        cuda.end()
        (found,) = machine.take_findings()
        assert "device memory of 100 bytes, page-locked memory of 8 bytes" in found
        assert "stream, event" in found
        assert held

    def test_nothing_before_init_and_no_gpu_that_is_not_there(
        self, machine: Machine, row: Callable[[], Any]
    ) -> None:
        cuda = row()
        refused("NOT_INITIALIZED", cuda.alloc, 8)
        refused("INVALID_DEVICE", lambda: cuda.start(ordinal=2))

    def test_a_kernel_computes_what_its_source_says(self, cuda: Any) -> None:
        picture, made = cuda.host(20 * 15 * 3), cuda.host(LAUNCH.input_bytes)
        memory, stream = [cuda.alloc(one.nbytes) for one in (picture, made)], cuda.stream()
        picture[:] = np.random.default_rng(0).integers(0, 256, len(picture))
        function = cuda.function(cuda.load(ptx()), LAUNCH.entry)
        cuda.to_device(memory[0], picture, stream)
        cuda.launch(function, stream, memory, LAUNCH)
        cuda.to_host(made, memory[1], stream)
        cuda.stream_synchronize(stream)
        wanted, _ = preprocess(picture.reshape(15, 20, 3), SPEC)
        assert np.abs(made.view(np.float32) - wanted.ravel()).max() < 0.02

    def test_a_module_is_refused_as_a_driver_does(self, cuda: Any) -> None:
        refused("INVALID_IMAGE", cuda.load, b"\x7fELF no ptx\0")
        refused("INVALID_PTX", cuda.load, ptx().replace(b".u64", b".what"))
        refused("NO_BINARY_FOR_GPU", cuda.load, ptx(target="sm_89"))
        refused("NO_BINARY_FOR_GPU", cuda.load, ptx(target="sm_86a"))
        refused("UNSUPPORTED_PTX_VERSION", cuda.load, ptx(version="9.0"))
        refused("NOT_FOUND", cuda.function, cuda.load(ptx(target="sm_72")), "preprocess_nv12")
        other = cuda.function(cuda.load(ptx(entry="other")), "other")
        with pytest.raises(NotSimulated):
            cuda.launch(other, cuda.stream(), [0, 0], LAUNCH)

    @pytest.mark.parametrize("wrong", ["null", "too small", "misaligned", "freed"])
    def test_a_kernel_on_a_wrong_address_ends_all(
        self, wrong: str, machine: Machine, row: Callable[[], Any]
    ) -> None:
        cuda = row()
        cuda.start()
        picture, large = cuda.alloc(LAUNCH.picture_bytes), cuda.alloc(LAUNCH.input_bytes + 8)
        small, stream = cuda.alloc(LAUNCH.input_bytes - 1), cuda.stream()
        into = {"null": 0, "too small": small, "misaligned": int(large) + 2, "freed": large}[wrong]
        function = cuda.function(cuda.load(ptx()), LAUNCH.entry)
        if wrong == "freed":
            into = int(large)
            cuda.free(large)
        cuda.launch(function, stream, [picture, into], LAUNCH)
        code = "MISALIGNED_ADDRESS" if wrong == "misaligned" else "ILLEGAL_ADDRESS"
        refused(code, cuda.stream_synchronize, stream)
        for call in (lambda: cuda.alloc(8), cuda.synchronize, lambda: cuda.stream_done(stream)):
            refused(code, call)
        cuda.end()

    def test_memory_of_another_gpu_is_foreign(
        self, machine: Machine, row: Callable[[], Any]
    ) -> None:
        one, other = row(), row()
        one.start()
        foreign = one.alloc(LAUNCH.input_bytes)
        other.start(ordinal=1)
        picture, stream = other.alloc(LAUNCH.picture_bytes), other.stream()
        function = other.function(other.load(ptx()), LAUNCH.entry)
        other.launch(function, stream, [picture, foreign], LAUNCH)
        refused("ILLEGAL_ADDRESS", other.stream_synchronize, stream)
        other.end()
        one.free(foreign)
        one.end()
        assert machine.take_findings() == []

    def test_a_kernel_into_mapped_memory(self, cuda: Any) -> None:
        picture, made = cuda.alloc(LAUNCH.picture_bytes), cuda.host(LAUNCH.input_bytes, mapped=True)
        made[:] = 0
        stream, function = cuda.stream(), cuda.function(cuda.load(ptx()), LAUNCH.entry)
        cuda.launch(function, stream, [picture, cuda.device_pointer(made)], LAUNCH)
        assert np.isnan(made.view(np.float32)).all()
        cuda.stream_synchronize(stream)
        assert np.isfinite(made.view(np.float32)).all()

    def test_a_mapped_picture_changed_too_early_is_found(self, cuda: Any, machine: Machine) -> None:
        picture, made = cuda.host(LAUNCH.picture_bytes, mapped=True), cuda.alloc(LAUNCH.input_bytes)
        stream, function = cuda.stream(), cuda.function(cuda.load(ptx()), LAUNCH.entry)
        cuda.launch(function, stream, [cuda.device_pointer(picture), made], LAUNCH)
        picture[0] = 0
        cuda.stream_synchronize(stream)
        assert machine.take_findings() == [
            "a mapped picture was changed before its kernel was awaited"
        ]


def test_scripted_allocations_fail(row: Callable[[], Any]) -> None:
    faults = (Fault("out of memory", at=2), Fault("out of memory", at=4, times=0))
    with installed(Simulation(faults=faults)) as machine:
        cuda = row()
        cuda.start()
        held = [cuda.alloc(8)]
        refused("OUT_OF_MEMORY", cuda.alloc, 8)
        held.append(cuda.alloc(8))
        refused("OUT_OF_MEMORY", cuda.alloc, 8)
        refused("OUT_OF_MEMORY", cuda.host, 8)
        for one in held:
            cuda.free(one)
        cuda.end()
        assert machine.findings == []


def test_a_device_thread_runs_what_nobody_awaits(row: Callable[[], Any]) -> None:
    with installed(Simulation(polls=0, worker_ms=1.0)) as machine:
        cuda = row()
        cuda.start()
        there, back, memory = cuda.host(8), cuda.host(8), cuda.alloc(8)
        stream = cuda.stream()
        there[:] = 7
        cuda.to_device(memory, there, stream)
        cuda.to_host(back, memory, stream)
        while not (back == 7).all():
            assert not machine.findings
        assert cuda.stream_done(stream)
        for one in (there, back):
            cuda.host_free(one)
        cuda.free(memory)
        cuda.destroy(stream)
        cuda.end()


def test_a_process_without_a_gpu(row: Callable[[], Any]) -> None:
    with installed(Simulation(gpus=())):
        refused("NO_DEVICE", row().start)


def test_pycuda_names_its_errors_and_aborts_on_a_context_left() -> None:
    simulation = Simulation(gpus=(Gpu(memory_bytes=128 << 20),))
    with installed(simulation) as machine:
        cuda = importlib.import_module("pycuda.driver")
        cuda.init()
        context = cuda.Device(0).make_context()
        with pytest.raises(cuda.MemoryError, match=r"^cuMemAlloc failed: out of memory$"):
            cuda.mem_alloc(1 << 30)
        with pytest.raises(MemoryError):
            cuda.mem_alloc(1 << 30)
        with pytest.raises(cuda.LogicError, match="invalid argument"):
            cuda.memcpy_htod(5, np.zeros(3))
        with pytest.raises(AttributeError):
            _ = cuda.Graph
        with pytest.raises(NotSimulated):
            cuda.mem_alloc_pitch(1, 2, 3)
        kept = machine.close()
        assert any("the context stack was not empty" in sentence for sentence in kept)
        machine.closed = False
        context.pop()
        context.detach()
        with pytest.raises(cuda.LogicError):
            context.detach()
        primary = cuda.Device(0).retain_primary_context()
        primary.push()
        primary.pop()
        primary.detach()
        with pytest.raises(cuda.LogicError, match="context is destroyed"):
            cuda.mem_alloc(8)


def test_pycuda_frees_in_its_own_thread_only() -> None:
    with installed(Simulation()) as machine:
        cuda = importlib.import_module("pycuda.driver")
        cuda.init()
        context = cuda.Device(0).make_context()
        memory = cuda.mem_alloc(100)
        in_thread(memory.free)
        context.pop()
        context.detach()
        (found,) = machine.take_findings()
        assert found == "left at the end of the context: device memory of 100 bytes"


class TestPycuda:
    """What pycuda has and cuda-bindings has not."""

    @pytest.fixture
    def cuda(self, machine: Machine) -> Iterator[Any]:
        module = importlib.import_module("pycuda.driver")
        module.init()
        context = module.Device(0).make_context()
        yield module
        context.pop()
        context.detach()
        forget_leaks(machine)

    def test_buffers_and_addresses(self, cuda: Any) -> None:
        memory, array = cuda.mem_alloc(64), np.zeros(16, np.float32)
        cuda.memcpy_htod(memory, array)
        with pytest.raises(ValueError, match="not contiguous"):
            cuda.memcpy_htod(memory, array[::2])
        with pytest.raises(BufferError):
            cuda.memcpy_dtoh(bytes(64), memory)
        for address in (5.0, array, "5"):
            with pytest.raises(TypeError, match="CUdeviceptr"):
                cuda.memcpy_htod(address, array)
        held = cuda.pagelocked_empty(4, np.uint8).base
        held.free()
        with pytest.raises(cuda.LogicError, match="pagelocked_host_allocation::free"):
            held.free()

    def test_attributes(self, cuda: Any) -> None:
        device, names = cuda.Device(0), cuda.device_attribute
        assert device.get_attribute(names.COMPUTE_CAPABILITY_MAJOR) == 8
        assert device.compute_capability() == (8, 7)
        with pytest.raises(NotSimulated):
            device.get_attribute(names.MAX_PITCH)

    def test_no_context(self, cuda: Any) -> None:
        def nothing() -> None:
            with pytest.raises(cuda.LogicError, match="context::pop failed"):
                cuda.Context.pop()
            with pytest.raises(cuda.LogicError, match="explicit_context_dependent"):
                cuda.Event()

        assert in_thread(nothing) is None

    def test_a_call_of_a_kernel(self, cuda: Any) -> None:
        picture, made = cuda.mem_alloc(LAUNCH.picture_bytes), cuda.mem_alloc(LAUNCH.input_bytes)
        cuda.memset_d8(picture, 7, LAUNCH.picture_bytes)
        kernel = cuda.module_from_buffer(ptx()).get_function(LAUNCH.entry)
        params = np.frombuffer(LAUNCH.params, np.uint8)
        with pytest.raises(ValueError, match="block size"):
            kernel(picture, made, params, grid=LAUNCH.grid)
        with pytest.raises(TypeError, match="parameter #1"):
            kernel(picture, int(made), params, grid=LAUNCH.grid, block=LAUNCH.block)
        with pytest.raises(cuda.LogicError, match="cuLaunchKernel"):
            kernel(picture, made, params[1:], grid=LAUNCH.grid, block=LAUNCH.block)
        kernel(picture, made, params, grid=LAUNCH.grid, block=LAUNCH.block)
        out = np.zeros(LAUNCH.input_bytes // 4, np.float32)
        cuda.memcpy_dtoh(out, made)
        assert set(out.tolist()) <= {7.0, 114.0}

    def test_what_the_collector_cannot_free_is_found(self, cuda: Any, machine: Machine) -> None:
        memory, stream = cuda.mem_alloc(8), cuda.Stream()
        machine.mem_free(int(memory))
        del memory
        assert machine.take_findings() == [
            "device memory is freed twice",
            "PyCUDA WARNING: cuMemFree failed: invalid argument",
        ]
        memory = cuda.mem_alloc(8)

        def begin(work: Work) -> None:
            work.never = True

        endless = Operation("endless", lambda work: None, begin)
        machine.enqueue(machine.stream(stream.handle), endless)
        del memory
        (found,) = machine.take_findings()
        assert found == "cuMemFree by the collector while an execution never ends"
        machine.stream(stream.handle).queue.popleft().done = True

    def test_a_query_after_a_fault(self) -> None:
        with installed(Simulation()) as machine:
            module = importlib.import_module("pycuda.driver")
            module.init()
            context = module.Device(0).make_context()
            event = module.Event()
            machine.devices[0].sticky = "LAUNCH_FAILED"
            with pytest.raises(module.LaunchError, match="unspecified launch failure"):
                event.query()
            context.pop()
            context.detach()


def test_the_codes_are_cudas() -> None:
    real = importlib.import_module("cuda.bindings.driver")
    for number, (name, _) in CODES.items():
        wanted = "CUDA_SUCCESS" if name == "SUCCESS" else f"CUDA_ERROR_{name}"
        assert real.CUresult(number).name == wanted


def test_cuda_bindings_keeps_names_signatures_and_traps() -> None:
    real = importlib.import_module("cuda.bindings.driver")
    with installed(Simulation()) as machine:
        cuda = importlib.import_module("cuda.bindings.driver")
        assert cuda is not real
        missing = [name for name in dir(real) if not hasattr(cuda, name) and name[:2] != "__"]
        assert missing == []
        with pytest.raises(AttributeError):
            cuda.cuMemAlloc_v9(8)
        with pytest.raises(TypeError, match="cuMemAlloc"):
            cuda.cuMemAlloc()
        with pytest.raises(NotSimulated):
            cuda.cuArrayCreate(None)
        row = BindingsRow()
        row.start()
        code, nothing = cuda.cuMemAlloc(1 << 60)
        assert (code, nothing) == (cuda.CUresult.CUDA_ERROR_OUT_OF_MEMORY, None)
        with pytest.raises(TypeError):
            cuda.cuDeviceGetAttribute(75, row.device)
        _, module = cuda.cuModuleLoadData(np.frombuffer(ptx().rstrip(b"\0"), np.uint8))
        assert "without a NUL" in machine.take_findings()[0]
        row.call(cuda.cuModuleUnload, module)
        row.end()


class TestBindings:
    """What cuda-bindings has and pycuda has not."""

    @pytest.fixture
    def cuda(self, machine: Machine) -> Iterator[Any]:
        made = BindingsRow()
        made.start()
        yield made
        made.end()
        forget_leaks(machine)

    def launch(self, cuda: Any, function: Any, stream: Any, params: Any, extra: int = 0) -> None:
        geometry = (*LAUNCH.grid, *LAUNCH.block)
        cuda.call(cuda.cuda.cuLaunchKernel, function, *geometry, 0, stream, params, extra)

    def test_values_and_types_of_a_launch(self, cuda: Any) -> None:
        picture, made = cuda.alloc(LAUNCH.picture_bytes), cuda.alloc(LAUNCH.input_bytes)
        stream, function = cuda.stream(), cuda.function(cuda.load(ptx()), LAUNCH.entry)
        struct, long = PreprocessParams.from_buffer_copy(LAUNCH.params), ctypes.c_uint64
        for values, kinds in (
            ((picture, made, struct), (None, None, None)),
            ((int(picture), long(int(made)), struct), (ctypes.c_void_p, long, None)),
        ):
            self.launch(cuda, function, stream, (values, kinds))
            cuda.stream_synchronize(stream)
        for params, kind in (
            (((picture,), (None, None)), TypeError),
            ((picture, made), TypeError),
            (((object(), made, struct), (None, None, None)), TypeError),
            (((picture, made, struct), (None, bytes, None)), TypeError),
            (((picture, made), (None, None)), Failed),
            (None, Failed),
        ):
            with pytest.raises(kind):
                self.launch(cuda, function, stream, params)
        with pytest.raises(NotSimulated):
            self.launch(cuda, function, stream, None, extra=1)
        with pytest.raises(TypeError):
            cuda.cuda.cuModuleGetFunction(cuda.load(ptx()), "preprocess_bgr")
        # The package's trap: for c_void_p it passes the address of the handle object.
        kinds = (ctypes.c_void_p, ctypes.c_void_p, None)
        self.launch(cuda, function, stream, ((picture, made, struct), kinds))
        refused("ILLEGAL_ADDRESS", cuda.stream_synchronize, stream)

    def test_registered_memory(self, cuda: Any, machine: Machine) -> None:
        array, memory, stream = np.arange(4, dtype=np.uint8), cuda.alloc(4), cuda.stream()
        free, _ = machine.memory_info()
        cuda.call(cuda.cuda.cuMemHostRegister, array, 4, 0)
        cuda.to_device(memory, array, stream)
        register = cuda.cuda.cuMemHostRegister, array, 4, 0
        refused("HOST_MEMORY_ALREADY_REGISTERED", cuda.call, *register)
        cuda.call(cuda.cuda.cuMemHostUnregister, array)
        assert array.tolist() == [0, 1, 2, 3], "it is the host's"
        assert machine.memory_info()[0] == free
        unregister = cuda.cuda.cuMemHostUnregister, array
        refused("HOST_MEMORY_NOT_REGISTERED", cuda.call, *unregister)
        refused("INVALID_VALUE", cuda.host_free, cuda.host(8)[4:])

    def test_contexts(self, cuda: Any, machine: Machine) -> None:
        own = cuda.call(cuda.cuda.cuCtxCreate, None, 0, 0)
        foreign, event = cuda.stream(), cuda.event()
        function = cuda.function(cuda.load(ptx()), LAUNCH.entry)
        cuda.call(cuda.cuda.cuCtxSetCurrent, cuda.context)
        refused("INVALID_HANDLE", cuda.stream_synchronize, foreign)
        refused("INVALID_HANDLE", cuda.event_done, event)
        stream, (gx, gy, gz) = cuda.stream(), LAUNCH.grid
        launch = cuda.cuda.cuLaunchKernel
        given = 0, stream, ((0, 0, 0), (ctypes.c_uint64,) * 3), 0
        block = LAUNCH.block
        refused("INVALID_HANDLE", cuda.call, launch, function, gx, gy, gz, *block, *given)
        function = cuda.function(cuda.load(ptx()), LAUNCH.entry)
        refused("INVALID_VALUE", cuda.call, launch, function, 0, gy, gz, *block, *given)
        refused("INVALID_VALUE", cuda.call, launch, function, gx, gy, gz, 64, 32, 1, *given)
        refused("INVALID_VALUE", cuda.call, cuda.cuda.cuStreamCreate, 4)
        refused("INVALID_CONTEXT", cuda.call, cuda.cuda.cuCtxDestroy, cuda.context)
        cuda.call(cuda.cuda.cuCtxDestroy, own)
        refused("INVALID_HANDLE", cuda.call, cuda.cuda.cuCtxDestroy, own)
        refused("INVALID_CONTEXT", cuda.call, cuda.cuda.cuDevicePrimaryCtxRelease, 1)
        assert int(cuda.call(cuda.cuda.cuCtxGetCurrent)) == int(cuda.context)
        assert int(cuda.call(cuda.cuda.cuCtxGetDevice)) == 0
        attributes = cuda.cuda.CUdevice_attribute
        unknown = cuda.cuda.cuDeviceGetAttribute, attributes.CU_DEVICE_ATTRIBUTE_MAX_PITCH, 0
        refused("INVALID_VALUE", cuda.call, *unknown)
        for _ in range(2):
            cuda.call(cuda.cuda.cuCtxPopCurrent)
        refused("INVALID_CONTEXT", cuda.call, cuda.cuda.cuCtxPopCurrent)
        cuda.call(cuda.cuda.cuCtxPushCurrent, cuda.context)
        (found,) = machine.take_findings()
        assert found == "left at the end of the context: stream, event, kernelmodule"


def test_nothing_is_asked_before_init() -> None:
    with installed(Simulation()):
        cuda = importlib.import_module("cuda.bindings.driver")
        for call in (cuda.cuDeviceGetCount, lambda: cuda.cuDeviceGet(0)):
            assert call()[0] == cuda.CUresult.CUDA_ERROR_NOT_INITIALIZED


def test_the_parameters_of_an_entry_are_read_from_ptx() -> None:
    module = load_ptx(ptx(), None, sm=87, driver=12060)
    sizes = [one.size for one in module.kernels["preprocess_bgr"].parameters]
    assert sizes == [8, 8, len(LAUNCH.params)]
    with pytest.raises(Exception, match="INVALID_VALUE"):
        module.kernels["preprocess_bgr"].unpacked(bytes(sum(sizes) + 4))


class TestGraphs:
    """Capture rules; pycuda wraps no graphs, so on cuda-bindings only."""

    MODES = ("GLOBAL", "THREAD_LOCAL", "RELAXED")

    @pytest.fixture
    def cuda(self, machine: Machine) -> Iterator[Any]:
        made = BindingsRow()
        made.start()
        yield made
        made.end()
        forget_leaks(machine)

    def begin(self, cuda: Any, stream: Any, mode: str = "GLOBAL") -> None:
        modes = cuda.cuda.CUstreamCaptureMode
        wanted = getattr(modes, f"CU_STREAM_CAPTURE_MODE_{mode}")
        cuda.call(cuda.cuda.cuStreamBeginCapture, stream, wanted)

    def end(self, cuda: Any, stream: Any) -> Any:
        graph = cuda.call(cuda.cuda.cuStreamEndCapture, stream)
        return cuda.call(cuda.cuda.cuGraphInstantiate, graph, 0)

    def test_a_graph_runs_at_launch_with_what_is_there_then(self, cuda: Any) -> None:
        there, back, memory = cuda.host(4), cuda.host(4), cuda.alloc(4)
        stream = cuda.stream()
        there[:], back[:] = 1, 9
        self.begin(cuda, stream)
        cuda.to_device(memory, there, stream)
        cuda.to_host(back, memory, stream)
        graph = self.end(cuda, stream)
        cuda.stream_synchronize(stream)
        assert (back == 9).all(), "nothing runs in a capture"
        for value in (3, 4):
            there[:] = value
            cuda.call(cuda.cuda.cuGraphLaunch, graph, stream)
            assert np.isnan(back.view(np.float32)).all()
            cuda.stream_synchronize(stream)
            assert (back == value).all()

    @pytest.mark.parametrize("freed", ["device", "host"])
    def test_a_graph_over_freed_memory_ends_all(self, freed: str, cuda: Any) -> None:
        there, memory, stream = cuda.host(4), cuda.alloc(4), cuda.stream()
        self.begin(cuda, stream)
        cuda.to_device(memory, there, stream)
        graph = self.end(cuda, stream)
        if freed == "device":
            cuda.free(memory)
        else:
            cuda.host_free(there)
        cuda.call(cuda.cuda.cuGraphLaunch, graph, stream)
        refused("ILLEGAL_ADDRESS", cuda.stream_synchronize, stream)

    def test_the_legacy_stream_and_blocking_streams_wait_for_each_other(self, cuda: Any) -> None:
        there, back = [cuda.host(4) for _ in range(3)], cuda.host(4)
        memory, stream = cuda.alloc(4), cuda.stream()
        apart = cuda.call(cuda.cuda.cuStreamCreate, cuda.NON_BLOCKING)
        for value, array in enumerate(there):
            array[:] = value
        cuda.to_device(memory, there[0], stream)
        cuda.to_device(memory, there[1], 0)
        cuda.to_host(back, memory, stream)
        cuda.stream_synchronize(stream)
        assert (back == 1).all()
        cuda.to_device(memory, there[2], 0)
        cuda.to_host(back, memory, apart)
        cuda.stream_synchronize(apart)
        assert (back == 1).all(), "it waits for nobody"
        self.begin(cuda, stream)
        refused("STREAM_CAPTURE_IMPLICIT", cuda.to_device, memory, there[0], 0)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)

    @pytest.mark.parametrize("mode", MODES)
    def test_allocations_end_a_capture_by_its_mode(self, mode: str, cuda: Any) -> None:
        stream = cuda.stream()
        self.begin(cuda, stream, mode)
        if mode == "RELAXED":
            cuda.alloc(8)
            self.end(cuda, stream)
            return
        refused("STREAM_CAPTURE_UNSUPPORTED", cuda.alloc, 8)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)
        self.begin(cuda, stream, mode)
        self.end(cuda, stream)

    def test_another_thread_ends_a_global_capture_only(self, cuda: Any) -> None:
        def other() -> None:
            cuda.call(cuda.cuda.cuCtxPushCurrent, cuda.context)
            cuda.alloc(8)

        stream = cuda.stream()
        self.begin(cuda, stream, "THREAD_LOCAL")
        assert in_thread(other) is None
        self.end(cuda, stream)
        self.begin(cuda, stream, "GLOBAL")
        assert str(in_thread(other)) == "STREAM_CAPTURE_UNSUPPORTED"
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)

    def test_what_waits_ends_a_capture(self, cuda: Any) -> None:
        array, memory, stream, event = cuda.host(4), cuda.alloc(4), cuda.stream(), cuda.event()
        pageable = np.zeros(4, np.uint8)
        unsupported, implicit = "STREAM_CAPTURE_UNSUPPORTED", "STREAM_CAPTURE_IMPLICIT"
        for code, call in (
            (unsupported, lambda: cuda.stream_synchronize(stream)),
            (unsupported, lambda: cuda.stream_done(stream)),
            (unsupported, lambda: cuda.event_done(event)),
            (unsupported, cuda.synchronize),
            (unsupported, lambda: cuda.to_device(memory, pageable, stream)),
            (implicit, lambda: cuda.to_device(memory, array)),
        ):
            self.begin(cuda, stream)
            refused(code, call)
            refused("STREAM_CAPTURE_INVALIDATED", cuda.to_device, memory, array, stream)
            refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)

    def test_events_in_a_capture(self, cuda: Any) -> None:
        stream, first, last, before = cuda.stream(), *[cuda.event() for _ in range(3)]
        cuda.record(before, stream)
        self.begin(cuda, stream, "RELAXED")
        cuda.record(first, stream)
        refused("CAPTURED_EVENT", cuda.event_synchronize, first)
        refused("STREAM_CAPTURE_INVALIDATED", cuda.record, first, stream)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)
        self.begin(cuda, stream, "RELAXED")
        cuda.record(first, stream)
        refused("CAPTURED_EVENT", cuda.event_done, first)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)
        self.begin(cuda, stream)
        refused("STREAM_CAPTURE_ISOLATION", cuda.stream_wait, stream, before)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)
        other = cuda.stream()
        self.begin(cuda, stream)
        cuda.record(first, stream)
        refused("STREAM_CAPTURE_ISOLATION", cuda.stream_wait, other, first)
        refused("STREAM_CAPTURE_INVALIDATED", self.end, cuda, stream)
        self.begin(cuda, stream)
        for event in (first, last):
            cuda.call(cuda.cuda.cuEventRecordWithFlags, event, stream, 1)
        graph = self.end(cuda, stream)
        self.begin(cuda, stream)
        with pytest.raises(NotSimulated):
            cuda.cuda.cuGraphLaunch(graph, stream)
        self.end(cuda, stream)
        cuda.call(cuda.cuda.cuGraphLaunch, graph, stream)
        cuda.event_synchronize(last)
        assert cuda.elapsed_ms(first, last) >= 0

    def test_who_may_begin_and_end(self, cuda: Any) -> None:
        def end_there() -> None:
            cuda.call(cuda.cuda.cuCtxPushCurrent, cuda.context)
            self.end(cuda, stream)

        stream = cuda.stream()
        refused("STREAM_CAPTURE_UNSUPPORTED", self.begin, cuda, 0)
        refused("ILLEGAL_STATE", self.end, cuda, stream)
        self.begin(cuda, stream)
        refused("ILLEGAL_STATE", self.begin, cuda, stream)
        assert str(in_thread(end_there)) == "STREAM_CAPTURE_WRONG_THREAD"
        self.end(cuda, stream)
