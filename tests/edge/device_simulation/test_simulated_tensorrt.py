"""The rules of the simulated TensorRT runtime, each broken by a test, on every release."""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from simulated_device.cuda_errors import NotSimulated, WouldHang
from simulated_device.description import Fault, Gpu, Simulation
from simulated_device.driver_rows import BindingsRow, Failed, PycudaRow
from simulated_device.exports import RELEASES, RTX
from simulated_device.machine import Machine
from simulated_device.plan import Plan, plan_for, tensors_of, write_plan
from simulated_device.site import installed
from stand_in import StandIn
from tiny_road import SIDE, write_network

SHAPE = (1, 3, SIDE, SIDE)
OUTPUT = (1, 16, 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_network(tmp_path_factory.mktemp("tiny") / "tiny.onnx").read_bytes()


@pytest.fixture(scope="module")
def open_model(model: bytes) -> bytes:
    """The same with a batch of open size."""
    made = onnx.load_from_string(model)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    shape = next(one for one in made.graph.initializer if one.name == "shape")
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([-1, 7, 16]), "shape"))
    data: bytes = made.SerializeToString()
    return data


def simulation_of(name: str) -> Simulation:
    """A device on which this release runs."""
    return Simulation(gpus=(Gpu(sm=89 if name == RTX else 87),), releases=(name,))


@dataclass
class Bench:
    """A release on a device with a context, and what its logger heard."""

    machine: Machine
    trt: Any
    cuda: Any
    heard: list[tuple[str, str]]
    kept: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        heard = self.heard

        class Log(self.trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                heard.append((severity.name, message))

        self.cuda.start()
        self.runtime = self.trt.Runtime(Log())

    @property
    def errors(self) -> str:
        said = "; ".join(message for severity, message in self.heard if severity == "ERROR")
        self.heard.clear()
        return said

    def load(self, model: bytes, **options: Any) -> Any:
        sm = self.machine.simulation.gpus[0].sm
        plan = plan_for(self.trt, model, sm=(sm,), **options)
        return self.runtime.deserialize_cuda_engine(plan)

    def buffers(self, context: Any) -> dict[str, Any]:
        """Set every address, in device memory."""
        engine, made = context.engine, {}
        for row in range(engine.num_io_tensors):
            name = engine.get_tensor_name(row)
            size = 4 * int(np.prod(context.get_tensor_shape(name)))
            made[name] = self.cuda.alloc(size)
            assert context.set_tensor_address(name, int(made[name]))
        return made

    def run(self, context: Any, memory: dict[str, Any], x: Any, stream: Any) -> Any:
        """Copy in, execute, copy out; the array is poison until the stream was awaited."""
        pinned = self.cuda.host(x.nbytes)
        self.kept.append(pinned)  # else pycuda frees it, which waits for the stream
        pinned.view(np.float32)[:] = x.ravel()
        size = 4 * int(np.prod(context.get_tensor_shape("output")))
        out = self.cuda.host(size)
        self.kept.append(out)
        self.cuda.to_device(memory["picture"], pinned, stream)
        assert context.execute_async_v3(self.cuda.stream_number(stream)), self.errors
        self.cuda.to_host(out, memory["output"], stream)
        return out.view(np.float32).reshape(context.get_tensor_shape("output"))


def bench(simulation: Simulation) -> Iterator[Bench]:
    """A device; what a test leaves there is freed with its context."""
    with installed(simulation) as machine:
        module = importlib.import_module(simulation.releases[0].split("-")[0])
        row = PycudaRow() if "8.6" in simulation.releases[0] else BindingsRow()
        made = Bench(machine, module, row, [])
        yield made
        made.cuda.end()
        left = [found for found in machine.findings if not found.startswith("left at the end")]
        machine.findings[:] = left


@pytest.fixture(params=[*RELEASES, RTX])
def on(request: pytest.FixtureRequest) -> Iterator[Bench]:
    yield from bench(simulation_of(request.param))


@pytest.fixture
def faulty(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Parameters: the faults of the device."""
    yield from bench(replace(simulation_of("tensorrt-10.3.0"), **request.param))


def x_of(seed: int) -> Any:
    return np.random.default_rng(seed).uniform(0, 255, SHAPE).astype(np.float32)


def wanted(model: bytes, x: Any) -> Any:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"picture": x})
    return found


class TestEveryRelease:
    """What holds on all of them."""

    def test_computes_the_network_when_awaited(self, on: Bench, model: bytes) -> None:
        engine = on.load(model)
        assert [engine.get_tensor_name(row) for row in range(2)] == ["picture", "output"]
        assert engine.get_tensor_mode("output") == on.trt.TensorIOMode.OUTPUT
        assert engine.get_tensor_dtype("picture") == on.trt.DataType.FLOAT
        assert engine.get_tensor_format("picture") == on.trt.TensorFormat.LINEAR
        assert tuple(engine.get_tensor_shape("output")) == OUTPUT
        context = engine.create_execution_context()
        memory, stream = on.buffers(context), on.cuda.stream()
        for seed in (0, 1):
            found = on.run(context, memory, x_of(seed), stream)
            assert np.isnan(found).all(), "poison until it was awaited"
            on.cuda.stream_synchronize(stream)
            assert np.array_equal(found, wanted(model, x_of(seed)))

    def test_plans_that_are_refused(self, on: Bench, model: bytes) -> None:
        sm = on.machine.simulation.gpus[0].sm
        whole = plan_for(on.trt, model, sm=(sm,))
        other_sm = plan_for(on.trt, model, sm=(86,))
        other = bytearray(whole)
        other[26] ^= 0x7F
        foreign = bytearray(whole)
        foreign[0] ^= 0x10
        here = f"expecting compute {sm // 10}.{sm % 10} got compute 8.6, please rebuild."
        for plan, words in (
            (whole[:-1], "plan.header.size == blobSize failed"),
            (whole[: len(whole) // 2], "plan.header.size == blobSize failed"),
            (bytes(other), "is not compatible with this version of TensorRT, expecting library"),
            (other_sm, here),
            (bytes(foreign), "header.magicTag == kEXPECTED_MAGIC_TAG failed"),
            (b"\xff\xd8 a photograph" * 50, "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed"),
        ):
            assert on.runtime.deserialize_cuda_engine(plan) is None
            assert words in on.errors

    def test_names_of_other_releases(self, on: Bench, model: bytes) -> None:
        engine = on.load(model)
        old = on.trt.release.startswith("8.")
        # NotSimulated: the release has it, the simulation does not. Else it does not exist.
        with pytest.raises(NotSimulated if old else AttributeError):
            _ = engine.num_bindings
        with pytest.raises(AttributeError):
            _ = engine.no_such_name
        with pytest.raises(AttributeError):
            engine.no_such_name = 1
        if on.trt.release.startswith("11."):
            with pytest.raises(AttributeError):
                _ = engine.device_memory_size

    def test_an_execution_without_an_address_is_refused(self, on: Bench, model: bytes) -> None:
        context, stream = on.load(model).create_execution_context(), on.cuda.stream()
        number = on.cuda.stream_number(stream)
        assert not context.execute_async_v3(number)
        assert "Address is not set for input tensor picture" in on.errors
        memory = on.cuda.alloc(4 * 3 * SIDE * SIDE)
        assert context.set_tensor_address("picture", int(memory))
        assert not context.execute_async_v3(number)
        assert "Neither address or allocator is set for output tensor output" in on.errors

    def test_wrong_names_and_addresses(self, on: Bench, model: bytes) -> None:
        engine = on.load(model)
        context, memory = engine.create_execution_context(), on.cuda.alloc(1 << 16)
        for call in (
            lambda: context.set_tensor_address("image", int(memory)),
            lambda: context.set_input_shape("output", OUTPUT),
            lambda: context.set_input_shape("image", SHAPE),
        ):
            assert not call()
            assert "invalid tensor name" in on.errors
        assert engine.get_tensor_mode("image") == on.trt.TensorIOMode.NONE
        assert not context.set_tensor_address("picture", int(memory) + 128)
        assert "256 byte boundary" in on.errors
        assert context.set_tensor_address("picture", int(memory) + 256)

    def test_fixed_shapes(self, on: Bench, model: bytes) -> None:
        context = on.load(model).create_execution_context()
        assert context.set_input_shape("picture", SHAPE)
        assert not context.set_input_shape("picture", (1, 3, SIDE, SIDE + 1))
        assert "Static dimension mismatch" in on.errors
        assert not context.set_input_shape("picture", (3, SIDE, SIDE))
        assert "nbDims" in on.errors

    def test_open_shapes_and_profiles(self, on: Bench, open_model: bytes) -> None:
        few, many = [
            {"picture": tuple((size, *SHAPE[1:]) for size in sizes)}
            for sizes in ((1, 2, 2), (4, 4, 8))
        ]
        engine = on.load(open_model, profiles=(few, many))
        assert tuple(engine.get_tensor_shape("picture")) == (-1, *SHAPE[1:])
        assert engine.num_optimization_profiles == 2
        low, _, high = engine.get_tensor_profile_shape("picture", 1)
        assert (low[0], high[0]) == (4, 8)
        context, stream = engine.create_execution_context(), on.cuda.stream()
        number = on.cuda.stream_number(stream)
        assert tuple(context.get_tensor_shape("output")) == (-1, *OUTPUT[1:])
        assert not context.execute_async_v3(number)
        assert "shape of picture is not specified" in on.errors
        assert not context.set_input_shape("picture", (4, *SHAPE[1:]))
        assert "does not satisfy any optimization profiles" in on.errors
        assert not context.set_optimization_profile_async(2, number)
        on.heard.clear()
        assert context.set_optimization_profile_async(1, number)
        assert context.set_input_shape("picture", (4, *SHAPE[1:]))
        assert tuple(context.get_tensor_shape("output")) == (4, *OUTPUT[1:])
        x = np.concatenate([x_of(seed) for seed in range(4)])
        found = on.run(context, on.buffers(context), x, stream)
        on.cuda.stream_synchronize(stream)
        assert np.array_equal(found, wanted(open_model, x))

    def test_a_call_without_a_context_is_found(self, on: Bench, model: bytes) -> None:
        on.machine.pop()
        assert on.load(model) is not None
        assert on.machine.take_findings() == [
            "deserialize_cuda_engine without a current context on this thread"
        ]
        on.machine.primary_release(0)

    def test_a_stream_that_is_none(self, on: Bench, model: bytes) -> None:
        context = on.load(model).create_execution_context()
        on.buffers(context)
        assert not context.execute_async_v3(12345)
        assert "invalid resource handle" in on.errors

    def test_memory_that_is_none_ends_all(self, on: Bench, model: bytes) -> None:
        context, stream = on.load(model).create_execution_context(), on.cuda.stream()
        memory = on.buffers(context)
        number = on.cuda.stream_number(stream)
        on.cuda.free(memory["output"])
        assert context.execute_async_v3(number), "it is known on the device only"
        with pytest.raises(Failed, match="ILLEGAL_ADDRESS"):
            on.cuda.stream_synchronize(stream)
        assert not context.execute_async_v3(number)
        assert "an illegal memory access was encountered" in on.errors
        assert on.load(model) is None
        assert context.engine.create_execution_context() is None

    def test_freed_while_it_executes(self, on: Bench, model: bytes) -> None:
        context, stream = on.load(model).create_execution_context(), on.cuda.stream()
        memory = on.buffers(context)
        assert context.execute_async_v3(on.cuda.stream_number(stream))
        del context
        assert on.machine.take_findings() == ["an execution context is freed while it executes"]
        on.cuda.stream_synchronize(stream)
        assert memory

    def test_two_streams_at_once(self, on: Bench, model: bytes) -> None:
        context = on.load(model).create_execution_context()
        streams = [on.cuda.stream() for _ in range(2)]
        memory = on.buffers(context)
        for stream in streams:
            assert context.execute_async_v3(on.cuda.stream_number(stream))
        assert on.machine.take_findings() == [
            "one execution context executes on two streams at once"
        ]
        for stream in streams:
            on.cuda.stream_synchronize(stream)
        assert memory

    def test_mapped_buffers(self, on: Bench, model: bytes) -> None:
        context, stream = on.load(model).create_execution_context(), on.cuda.stream()
        x = on.cuda.host(4 * 3 * SIDE * SIDE, mapped=True)
        out = on.cuda.host(4 * int(np.prod(OUTPUT)), mapped=True)
        x.view(np.float32)[:] = x_of(0).ravel()
        context.set_tensor_address("picture", on.cuda.device_pointer(x))
        context.set_tensor_address("output", on.cuda.device_pointer(out))
        out[:] = 0
        assert context.execute_async_v3(on.cuda.stream_number(stream))
        assert np.isnan(out.view(np.float32)).all()
        on.cuda.stream_synchronize(stream)
        assert np.array_equal(out.view(np.float32).reshape(OUTPUT), wanted(model, x_of(0)))
        assert context.execute_async_v3(on.cuda.stream_number(stream))
        x[0] ^= 1
        on.cuda.stream_synchronize(stream)
        assert on.machine.take_findings() == [
            "a mapped input was changed before its execution was awaited"
        ]

    def test_gives_back_its_memory(self, on: Bench, model: bytes) -> None:
        free, _ = on.machine.memory_info()
        engine = on.load(model)
        context = engine.create_execution_context()
        assert on.machine.memory_info()[0] < free
        del context, engine
        assert on.machine.memory_info()[0] == free

    def test_a_logger_without_its_base_is_refused(self, on: Bench) -> None:
        class Log(on.trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                pass

        with pytest.raises(TypeError, match="__init__"):
            on.trt.Runtime(Log())
        with pytest.raises(TypeError, match="constructor arguments"):
            on.trt.Runtime(print)


@pytest.mark.parametrize("name", ["tensorrt-10.3.0", "tensorrt-10.13.2", "tensorrt-11.4.0", RTX])
@pytest.mark.parametrize("capturable", [True, False])
def test_an_execution_in_a_capture(name: str, capturable: bool, model: bytes) -> None:
    """After a first execution outside, where the engine allows it."""
    for on in bench(replace(simulation_of(name), capturable=capturable)):
        context, stream = on.load(model).create_execution_context(), on.cuda.stream()
        memory, cuda = on.buffers(context), on.cuda.cuda
        mode = cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        on.cuda.call(cuda.cuStreamBeginCapture, stream, mode)
        assert not context.execute_async_v3(int(stream)), "never executed before"
        assert "not permitted when stream is capturing" in on.errors
        with pytest.raises(Failed, match="INVALIDATED"):
            on.cuda.call(cuda.cuStreamEndCapture, stream)
        assert context.execute_async_v3(int(stream))
        on.cuda.stream_synchronize(stream)
        on.cuda.call(cuda.cuStreamBeginCapture, stream, mode)
        with pytest.raises(Failed, match="STREAM_CAPTURE_UNSUPPORTED"):
            on.cuda.alloc(8)
        assert not context.execute_async_v3(int(stream))
        with pytest.raises(Failed, match="INVALIDATED"):
            on.cuda.call(cuda.cuStreamEndCapture, stream)
        on.cuda.call(cuda.cuStreamBeginCapture, stream, mode)
        assert context.execute_async_v3(int(stream)) == capturable
        if not capturable:
            return
        graph = on.cuda.call(cuda.cuStreamEndCapture, stream)
        launched = on.cuda.call(cuda.cuGraphInstantiate, graph, 0)
        pinned, out = on.cuda.host(4 * 3 * SIDE * SIDE), on.cuda.host(4 * int(np.prod(OUTPUT)))
        pinned.view(np.float32)[:] = x_of(3).ravel()
        on.cuda.to_device(memory["picture"], pinned, stream)
        on.cuda.call(cuda.cuGraphLaunch, launched, stream)
        on.cuda.to_host(out, memory["output"], stream)
        on.cuda.stream_synchronize(stream)
        found = out.view(np.float32).reshape(OUTPUT)
        assert np.array_equal(found, wanted(model, x_of(3)))


STICKY = {
    "illegal address": "ILLEGAL_ADDRESS",
    "launch failure": "LAUNCH_FAILED",
    "device lost": "UNKNOWN",
}


class TestFaults:
    """Every scripted fault."""

    def start(self, on: Bench, model: bytes) -> tuple[Any, dict[str, Any], Any]:
        context = on.load(model).create_execution_context()
        return context, on.buffers(context), on.cuda.stream()

    @pytest.mark.parametrize(
        "faulty", [{"faults": (Fault(kind, at=2),)} for kind in STICKY], indirect=True
    )
    def test_sticky_errors(self, faulty: Bench, model: bytes) -> None:
        code = STICKY[faulty.machine.simulation.faults[0].kind]
        context, memory, stream = self.start(faulty, model)
        faulty.run(context, memory, x_of(0), stream)
        faulty.cuda.stream_synchronize(stream)
        found = faulty.run(context, memory, x_of(1), stream)
        for _ in range(3):
            with pytest.raises(Failed, match=code):
                faulty.cuda.stream_synchronize(stream)
        assert np.isnan(found).all()
        del context
        gc.collect()
        assert faulty.machine.findings == [], "what failed is not under way any more"

    @pytest.mark.parametrize("faulty", [{"faults": (Fault("never ends", at=2),)}], indirect=True)
    def test_an_execution_that_never_ends(self, faulty: Bench, model: bytes) -> None:
        context, memory, stream = self.start(faulty, model)
        faulty.run(context, memory, x_of(0), stream)
        faulty.cuda.stream_synchronize(stream)
        faulty.run(context, memory, x_of(1), stream)
        assert not any(faulty.cuda.stream_done(stream) for _ in range(50))
        for call in (
            lambda: faulty.cuda.stream_synchronize(stream),
            faulty.cuda.synchronize,
            lambda: faulty.cuda.free(memory["picture"]),
        ):
            with pytest.raises(WouldHang):
                call()
        assert len(faulty.machine.take_findings()) == 3
        # What the fixture's end would wait for, as the real one would.
        for one in faulty.machine.devices[0].primary.streams:
            while one.queue:
                one.queue.popleft().done = True

    @pytest.mark.parametrize(
        "faulty", [{"faults": (Fault("slow", at=2, ms=40.0),), "polls": 0}], indirect=True
    )
    def test_a_slow_execution(self, faulty: Bench, model: bytes) -> None:
        context, memory, stream = self.start(faulty, model)
        faulty.run(context, memory, x_of(0), stream)
        assert faulty.cuda.stream_done(stream)
        began_s = time.perf_counter()
        found = faulty.run(context, memory, x_of(1), stream)
        assert not faulty.cuda.stream_done(stream)
        faulty.cuda.stream_synchronize(stream)
        assert time.perf_counter() - began_s > 0.03, "the simulation's own clock"
        assert np.array_equal(found, wanted(model, x_of(1)))

    @pytest.mark.parametrize(
        "faulty", [{"faults": (Fault("wrong output"), Fault("NaN output", at=2))}], indirect=True
    )
    def test_wrong_outputs(self, faulty: Bench, model: bytes) -> None:
        context, memory, stream = self.start(faulty, model)
        wrong, lost, right = [
            np.array(self.awaited(faulty, context, memory, stream)) for _ in range(3)
        ]
        assert np.isfinite(wrong).all()
        assert not np.allclose(wrong, right)
        assert np.isnan(lost).all()
        assert np.array_equal(right, wanted(model, x_of(0)))

    def awaited(self, on: Bench, context: Any, memory: dict[str, Any], stream: Any) -> Any:
        found = on.run(context, memory, x_of(0), stream)
        on.cuda.stream_synchronize(stream)
        return found

    @pytest.mark.parametrize(
        "faulty", [{"faults": (Fault("execute returns false", at=2),)}], indirect=True
    )
    def test_an_execution_that_is_refused(self, faulty: Bench, model: bytes) -> None:
        context, _, stream = self.start(faulty, model)
        number = faulty.cuda.stream_number(stream)
        said = [context.execute_async_v3(number) for _ in range(3)]
        assert said == [True, False, True]
        assert "enqueueV3: Error Code 2" in faulty.errors
        faulty.cuda.stream_synchronize(stream)

    @pytest.mark.parametrize(
        "faulty",
        [
            {
                "faults": (
                    Fault("deserialize returns none"),
                    Fault("out of memory at load"),
                    Fault("out of memory at context"),
                )
            }
        ],
        indirect=True,
    )
    def test_an_engine_that_does_not_load(self, faulty: Bench, model: bytes) -> None:
        assert faulty.load(model) is None
        assert "Engine deserialization failed" in faulty.errors
        assert faulty.load(model) is None
        assert "out of memory" in faulty.errors
        engine = faulty.load(model)
        assert engine.create_execution_context() is None
        assert "OutOfMemory" in faulty.errors
        assert engine.create_execution_context() is not None

    @pytest.mark.parametrize(
        "faulty", [{"gpus": (Gpu(memory_bytes=(64 << 20) + 30_000),)}], indirect=True
    )
    def test_a_gpu_that_is_too_small(self, faulty: Bench, model: bytes) -> None:
        engine = faulty.load(model)
        assert engine.create_execution_context() is None
        assert faulty.load(model) is None

    def test_a_fault_that_does_not_exist(self) -> None:
        with pytest.raises(ValueError, match="no fault"):
            Fault("illegal adress")


def test_no_gpu(model: bytes) -> None:
    with installed(replace(simulation_of(RTX), gpus=())):
        trt = importlib.import_module("tensorrt_rtx")
        plan = plan_for(trt, model, sm=(89,))
        assert (
            trt.Runtime(trt.Logger(trt.Logger.INTERNAL_ERROR)).deserialize_cuda_engine(plan) is None
        )
        with pytest.raises(TypeError, match="factory function returned nullptr"):
            trt.Builder(trt.Logger())


def test_other_types_and_formats_of_tensors_travel_in_a_plan(model: bytes) -> None:
    for on in bench(simulation_of("tensorrt-10.3.0")):
        picture, output = tensors_of(model)
        half = replace(picture, data_type="HALF", format="CHW16")
        plan = write_plan(on.trt, Plan((87,), (half, output), (), model))
        engine = on.runtime.deserialize_cuda_engine(plan)
        assert engine.get_tensor_dtype("picture") == on.trt.DataType.HALF
        assert engine.get_tensor_format("picture") == on.trt.TensorFormat.CHW16
        assert "CHW16" in engine.get_tensor_format_desc("picture")


def test_the_logger_writes_what_is_grave_enough(capfd: pytest.CaptureFixture[str]) -> None:
    trt = StandIn("tensorrt-10.3.0")
    logger = trt.Logger(trt.Logger.ERROR)
    logger.log(trt.Logger.WARNING, "small")
    logger.log(trt.Logger.ERROR, "large")
    assert capfd.readouterr().err == "[TRT] [E] large\n"
    assert isinstance(logger, trt.ILogger)


def test_a_plan_of_the_builder_runs(model: bytes, tmp_path: Path) -> None:
    """The builder half and the runtime half are one module."""
    for on in bench(simulation_of("tensorrt-10.3.0")):
        builder = on.trt.Builder(on.trt.Logger())
        network = builder.create_network(0)
        assert on.trt.OnnxParser(network, on.trt.Logger()).parse(model)
        config = builder.create_builder_config()
        plan = bytes(builder.build_serialized_network(network, config))
        context = on.runtime.deserialize_cuda_engine(plan).create_execution_context()
        stream = on.cuda.stream()
        found = on.run(context, on.buffers(context), x_of(5), stream)
        on.cuda.stream_synchronize(stream)
        assert np.array_equal(found, wanted(model, x_of(5)))
