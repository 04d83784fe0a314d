"""The runtime half of the simulated TensorRT: deserialize, engines, execution contexts.

An execution reads its inputs from simulated device memory, computes the plan's ONNX by onnxruntime
and writes the outputs there. Messages are TensorRT's own words as its users quote them. Kernels,
precision and timing of TensorRT are not simulated.
"""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime

from edge.backends import integer_products
from edge.engine.plan.header import MAGIC, VERSION_AT
from simulated_device.cuda_errors import CODES, NUMBERS, CudaError
from simulated_device.driver.memory import ALIGNMENT, Bytes, poison
from simulated_device.driver.state import Context
from simulated_device.driver.streams import Operation, Work
from simulated_device.exports import Strict
from simulated_device.machine import Machine
from simulated_device.plan import Plan, PlanTensor, header, read_plan

NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}
TENSOR_ALIGNMENT = 256
"""That TensorRT asks of every tensor address in device memory."""
SCRATCH = 3
"""Bytes of a context's own memory for each byte of its inputs and outputs, roughly."""
assert ALIGNMENT % TENSOR_ALIGNMENT == 0


class Dims(Sequence[int]):
    """A shape: equals a tuple and is none."""

    MAX_DIMS = 8

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = tuple(map(int, sizes))

    def __getitem__(self, row: Any) -> Any:
        return self._sizes[row]

    def __len__(self) -> int:
        return len(self._sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (tuple, list, Dims)) and self._sizes == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self._sizes)


def say(logger: Any, severity: str, message: str) -> None:
    """Give a message to the logger of the code under test."""
    kind = getattr(type(logger), "Severity", None)
    told = kind[severity] if kind is not None else types.SimpleNamespace(name=severity)
    logger.log(told, message)


class Runtime(Strict):
    def __init__(self, logger: Any) -> None:
        if not isinstance(logger, self._trt.ILogger):
            raise TypeError("__init__(): incompatible constructor arguments")
        if not getattr(logger, "_initialized", False):
            raise TypeError("ILogger.__init__() must be called when overriding __init__")
        object.__setattr__(self, "logger", logger)

    def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
        data = bytes(memoryview(serialized_engine))
        say(self.logger, "INFO", f"Loaded engine size: {len(data) >> 20} MiB")
        machine: Machine | None = self._trt.machine
        if machine is None:
            return self._without_device(data)
        context = current_context(machine, "deserialize_cuda_engine")
        refusal = "scripted" if machine.fault("deserialize returns none") else ""
        plan = read_plan(data)
        refusal = refusal or self._refusal(data, plan, context)
        if refusal or context is None or plan is None:
            for message in REFUSALS.get(refusal, (refusal,)):
                say(self.logger, "ERROR", message)
            return None
        engine: ICudaEngine = self._trt.ICudaEngine()
        try:
            if machine.fault("out of memory at load"):
                raise CudaError("OUT_OF_MEMORY")
            give_back = machine.charge(context, len(data))
        except CudaError:
            for message in REFUSALS["memory"]:
                say(self.logger, "ERROR", message)
            return None
        engine._load(plan, machine, context, self.logger, give_back)
        return engine

    def _without_device(self, data: bytes) -> ICudaEngine | None:
        """For tests of calls alone: a module that was made without a device."""
        engine: ICudaEngine = self._trt.ICudaEngine()
        return engine if data[: VERSION_AT + 4] == header(self._trt)[: VERSION_AT + 4] else None

    def _refusal(self, data: bytes, plan: Plan | None, context: Context | None) -> str:
        """TensorRT's words for a plan that it does not take, or ""."""
        if context is None:
            return "no device"
        if context.device.sticky:
            return (
                "IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime ("
                f"{CODES[NUMBERS[context.device.sticky]][1]})"
            )
        mine = header(self._trt)
        if data[:4] != mine[:4]:
            return "other magic" if data[:4] in MAGIC else "no plan"
        if plan is None:
            return "cut short"
        made, runs = (
            ".".join(map(str, head[VERSION_AT : VERSION_AT + 4])) for head in (data, mine)
        )
        if made != runs:
            return (
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan "
                f"file is not compatible with this version of TensorRT, expecting library version "
                f"{runs} got {made}, please rebuild.)"
            )
        here = context.device.facts.sm
        if here not in plan.sm:
            wanted = plan.sm[0]
            return (
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan "
                f"file is generated on an incompatible device, expecting compute {here // 10}."
                f"{here % 10} got compute {wanted // 10}.{wanted % 10}, please rebuild.)"
            )
        return ""


REFUSALS = {
    "no device": (
        "IRuntime::deserializeCudaEngine: Error Code 1: Cuda Runtime (In ScopedCudaStream at "
        "/_src/common/dispatch/cudaResources.cpp:25 (cudaError 100: no CUDA-capable device is "
        "detected))",
    ),
    "other magic": (
        "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
        "header.magicTag == kEXPECTED_MAGIC_TAG failed.Trying to load an engine created with "
        "incompatible serialization version. Check that the engine was not created using safety "
        "runtime, same OS was used and version compatibility parameters were set accordingly and "
        "that it is a TRT engine file.)",
    ),
    "no plan": (
        "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
        "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)",
    ),
    "cut short": (
        "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
        "plan.header.size == blobSize failed. In parsePlan at /_src/runtime/dispatch/"
        "runtime.cpp:780)",
    ),
    "scripted": (
        "IRuntime::deserializeCudaEngine: Error Code 4: Internal Error (Engine deserialization "
        "failed.)",
    ),
    "memory": (
        "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)",
        "IRuntime::deserializeCudaEngine: Error Code 2: OutOfMemory (Requested size was more than "
        "there is.)",
    ),
}
"""Reason -> TensorRT's messages."""


def current_context(machine: Machine, call: str) -> Context | None:
    """The context that a TensorRT call works in; None where there is no device.

    TensorRT calls the CUDA runtime, which takes the first GPU's primary context where none is
    current: works, in a context that nobody meant, so it is a finding.
    """
    if not machine.devices:
        return None
    if machine.current() is None:
        machine.finding(f"{call} without a current context on this thread")
        machine.init()
        machine.push(machine.primary_retain(0))
    return machine.current()


class ICudaEngine(Strict):
    def __init__(self) -> None:
        self._plan: Plan | None = None
        self._give_back: Any = None

    def _load(
        self, plan: Plan, machine: Machine, context: Context, logger: Any, give_back: Any
    ) -> None:
        self._plan, self._machine, self._context = plan, machine, context
        self._logger, self._give_back = logger, give_back
        self._tensors = {tensor.name: tensor for tensor in plan.tensors}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        for key, value in integer_products.session_options().items():
            options.add_session_config_entry(key, value)
        self._session = onnxruntime.InferenceSession(
            plan.model, options, providers=["CPUExecutionProvider"]
        )

    def __del__(self) -> None:
        if self._give_back is not None:
            self._give_back()

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return max(len(self._plan.profiles), 1)

    @property
    def num_layers(self) -> int:
        return len(onnx.load_from_string(self._plan.model).graph.node)

    @property
    def name(self) -> str:
        return "Unnamed Network 0"

    @property
    def device_memory_size(self) -> int:
        return self._scratch_bytes()

    @property
    def device_memory_size_v2(self) -> int:
        return self._scratch_bytes()

    def _scratch_bytes(self) -> int:
        shapes = [
            self._plan.profiles[0][tensor.name][2]
            if self._plan.profiles and tensor.name in self._plan.profiles[0]
            else [max(size, 1) for size in tensor.shape]
            for tensor in self._plan.tensors
        ]
        return SCRATCH * 4 * sum(math.prod(shape) for shape in shapes)

    def _known(self, name: str, call: str) -> PlanTensor | None:
        found = self._tensors.get(name)
        if found is None:
            say(
                self._logger,
                "ERROR",
                f"ICudaEngine::{call}: Error Code 3: Internal Error (Given invalid tensor name: "
                f"{name}. Get valid tensor names with getIOTensorName())",
            )
        return found

    def get_tensor_name(self, index: int) -> str:
        return list(self._tensors)[index]

    def get_tensor_mode(self, name: str) -> Any:
        found = self._known(name, "getTensorIOMode")
        modes = self._trt.TensorIOMode
        return modes.NONE if found is None else modes.INPUT if found.is_input else modes.OUTPUT

    def get_tensor_shape(self, name: str) -> Dims:
        found = self._known(name, "getTensorShape")
        return Dims(found.shape if found else ())

    def get_tensor_dtype(self, name: str) -> Any:
        found = self._known(name, "getTensorDataType")
        return self._trt.DataType[found.data_type if found else "FLOAT"]

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        found = self._known(name, "getTensorFormat")
        return self._trt.TensorFormat[found.format if found else "LINEAR"]

    def get_tensor_format_desc(self, name: str, profile_index: int = 0) -> str:
        found = self._known(name, "getTensorFormatDesc")
        return f"{found.format} of {found.data_type}" if found else "Unknown format"

    def get_tensor_location(self, name: str) -> Any:
        self._known(name, "getTensorLocation")
        return self._trt.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Dims]:
        found = self._known(name, "getProfileShape")
        if found is None or not found.is_input or profile_index >= self.num_optimization_profiles:
            return []
        if not self._plan.profiles:
            return [Dims(found.shape)] * 3
        sizes = self._plan.profiles[profile_index].get(name, (found.shape,) * 3)
        return [Dims(shape) for shape in sizes]

    def is_shape_inference_io(self, name: str) -> bool:
        self._known(name, "isShapeInferenceIO")
        return False

    def create_engine_inspector(self) -> EngineInspector:
        made: EngineInspector = self._trt.EngineInspector()
        return made

    def create_execution_context(self, strategy: Any = None) -> IExecutionContext | None:
        context = current_context(self._machine, "create_execution_context")
        try:
            if self._machine.fault("out of memory at context"):
                raise CudaError("OUT_OF_MEMORY")
            assert context is not None, "an engine without a device"
            if context.device.sticky:
                raise CudaError(context.device.sticky)
            give_back = self._machine.charge(context, self._scratch_bytes())
        except CudaError as error:
            words = (
                f"OutOfMemory (Requested size was {self._scratch_bytes()} bytes.)"
                if error.code == 2
                else f"Cuda Runtime ({CODES[error.code][1]})"
            )
            say(
                self._logger,
                "ERROR",
                f"[executionContext.cpp::initializeExecutionContext::601] Error Code 2: {words}",
            )
            return None
        made: IExecutionContext = self._trt.IExecutionContext(self)
        made._give_back = give_back
        return made


class EngineInspector(Strict):
    def get_engine_information(self, form: Any) -> str:
        assert form.name == "JSON"
        text: str = self._trt.inspector_text
        return text


@dataclass
class _Running:
    """The last execution of a context; what is queued knows this, and not the context."""

    last: Work | None = None

    @property
    def work(self) -> Work | None:
        """It, while it is under way: not after it ended or the device failed."""
        work = self.last
        ended = work is None or work.done or work.stream.context.device.sticky
        return None if ended else work


class IExecutionContext(Strict):
    def __init__(self, engine: ICudaEngine) -> None:
        self._give_back: Any = None
        self._engine, self._machine = engine, engine._machine
        self._logger = engine._logger
        self._profile = 0
        self._addresses: dict[str, int] = {}
        self._shapes = {
            tensor.name: tensor.shape
            for tensor in engine._plan.tensors
            if tensor.is_input and -1 not in tensor.shape
        }
        self._settled = False
        self._running = _Running()
        self._outputs: dict[tuple[object, ...], dict[str, tuple[int, ...]]] = {}

    def __del__(self) -> None:
        if self._give_back is not None:
            if self._running.work is not None and not self._machine.closed:
                self._machine.finding("an execution context is freed while it executes")
            self._give_back()

    def _refuse(self, call: str, words: str, *, code: str = "3: API Usage Error") -> bool:
        say(self._logger, "ERROR", f"IExecutionContext::{call}: Error Code {code} ({words})")
        return False

    @property
    def engine(self) -> ICudaEngine:
        return self._engine

    @property
    def active_optimization_profile(self) -> int:
        return self._profile

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse(
                "setOptimizationProfileAsync",
                f"Parameter check failed, condition: profileIndex < nbProfiles. {profile_index}",
            )
        self._profile, self._settled = profile_index, False
        open_inputs = [one.name for one in self._engine._plan.tensors if -1 in one.shape]
        for name in open_inputs:
            self._shapes.pop(name, None)
        return True

    def set_input_shape(self, name: str, shape: Any) -> bool:
        wanted = tuple(int(size) for size in shape)
        tensor = self._engine._tensors.get(name)
        if tensor is None or not tensor.is_input:
            return self._refuse("setInputShape", f"Given invalid tensor name: {name}.")
        if len(wanted) != len(tensor.shape):
            return self._refuse(
                "setInputShape",
                "Parameter check failed, condition: engineDims.nbDims == dims.nbDims. Dimensions "
                f"mismatch while setting input shape for {name}.",
            )
        for fixed, size in zip(tensor.shape, wanted, strict=True):
            if fixed not in (-1, size):
                return self._refuse(
                    "setInputShape",
                    "Parameter check failed, condition: engineDims.d[i] == dims.d[i] Static "
                    f"dimension mismatch while setting input shape for {name}. Expected dimensions "
                    f"are {list(tensor.shape)}. Set dimensions are {list(wanted)}.",
                )
        low, _, high = self._engine.get_tensor_profile_shape(name, self._profile)
        if not all(a <= size <= b for a, size, b in zip(low, wanted, high, strict=True)):
            return self._refuse(
                "setInputShape",
                f"Parameter check failed, condition: satisfyProfile. Set dimension {list(wanted)} "
                f"for tensor {name} does not satisfy any optimization profiles. Valid range for "
                f"profile {self._profile}: {list(low)}..{list(high)}.",
            )
        if self._shapes.get(name) != wanted:
            self._settled = False
        self._shapes[name] = wanted
        return True

    @property
    def all_binding_shapes_specified(self) -> bool:
        return not self.infer_shapes()

    def infer_shapes(self) -> list[str]:
        inputs = [tensor.name for tensor in self._engine._plan.tensors if tensor.is_input]
        return [name for name in inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> Dims:
        tensor = self._engine._known(name, "getTensorShape")
        if tensor is None:
            return Dims(())
        if tensor.is_input:
            return Dims(self._shapes.get(name, tensor.shape))
        if -1 not in tensor.shape or self.infer_shapes():
            return Dims(tensor.shape)
        return Dims(self._output_shapes()[name])

    def _output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all outputs for the inputs' shapes, by ONNX's shape inference."""
        key = tuple(sorted(self._shapes.items()))
        if key not in self._outputs:
            outputs = [one for one in self._engine._plan.tensors if not one.is_input]
            if any(-1 in one.shape for one in outputs):
                zeros = {
                    name: np.zeros(shape, NUMPY[self._engine._tensors[name].data_type])
                    for name, shape in self._shapes.items()
                }
                found = self._engine._session.run(None, zeros)
                self._outputs[key] = {
                    one.name: value.shape for one, value in zip(outputs, found, strict=True)
                }
            else:
                self._outputs[key] = {one.name: one.shape for one in outputs}
        return self._outputs[key]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        address = int(memory)
        if name not in self._engine._tensors:
            return self._refuse("setTensorAddress", f"Given invalid tensor name: {name}.")
        if address % TENSOR_ALIGNMENT:
            return self._refuse(
                "setTensorAddress",
                f"Parameter check failed, condition: memory % {TENSOR_ALIGNMENT} == 0. The address "
                f"of {name} must be aligned on {TENSOR_ALIGNMENT} byte boundary.",
            )
        self._addresses[name] = address
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        call = "enqueueV3"
        machine = self._machine
        current_context(machine, "execute_async_v3")
        try:
            stream = machine.stream(int(stream_handle))
            if stream.context is not self._engine._context:
                raise CudaError("INVALID_HANDLE")
        except CudaError as error:
            return self._refuse(call, CODES[error.code][1], code="1: Cuda Runtime")
        missing = self.infer_shapes()
        if missing:
            return self._refuse(
                call,
                "Parameter check failed, condition: allInputDimensionsSpecified(routine). Input "
                f"shape of {missing[0]} is not specified.",
            )
        for tensor in self._engine._plan.tensors:
            if not self._addresses.get(tensor.name):
                return self._refuse(call, _missing_address(tensor))
        if machine.fault("execute returns false"):
            return self._refuse(call, "scripted", code="2: Internal Error")
        before = self._running.work
        if before is not None and before.stream is not stream:
            machine.finding("one execution context executes on two streams at once")
        if stream.capture is not None and not (self._may_capture() and self._settled):
            stream.capture.invalid = True
            return self._refuse(
                call,
                "operation not permitted when stream is capturing",
                code="1: Cuda Runtime",
            )
        self._settled = True
        try:
            machine.enqueue(stream, self._operation())
        except CudaError as error:
            return self._refuse(call, CODES[error.code][1], code="1: Cuda Runtime")
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self._may_capture()

    def _may_capture(self) -> bool:
        return self._machine.simulation.capturable and self._engine._plan.capturable

    def _operation(self) -> Operation:
        """The execution with the addresses and shapes of now; a graph keeps them."""
        machine, space = self._machine, self._machine.space
        engine, running = self._engine, self._running
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        kinds = {one.name: np.dtype(NUMPY[one.data_type]) for one in engine._plan.tensors}
        inputs = [one.name for one in engine._plan.tensors if one.is_input]
        outputs = [one.name for one in engine._plan.tensors if not one.is_input]
        sizes = {name: math.prod(shapes[name]) * kinds[name].itemsize for name in inputs}
        for name, shape in self._output_shapes().items():
            sizes[name] = math.prod(shape) * kinds[name].itemsize

        def mapped(names: list[str]) -> list[tuple[Bytes, int]]:
            """Those in page-locked host memory, which host code can reach, with the number of
            kernels that wrote there."""
            found = []
            for name in names:
                block = space.at(addresses[name])
                if block is not None and block.is_host and not block.freed:
                    view = space.device_range(addresses[name], sizes[name])[1]
                    found.append((view, block.kernel_writes))
            return found

        def begin(work: Work) -> None:
            running.last = work
            for view, _ in mapped(outputs):
                poison(view)
            kind = machine.fault(*EXECUTION_FAULTS)
            work.never = kind == "never ends"
            work.ms = machine.fault_ms("slow") if kind == "slow" else 0.0
            work.token = (kind, [(view.copy(), writes) for view, writes in mapped(inputs)])

        def run(work: Work) -> None:
            kind, before = work.token
            if kind in EXECUTION_ERRORS:
                raise CudaError(EXECUTION_ERRORS[kind])
            device = engine._context.device
            views = {
                name: space.device_range(addresses[name], sizes[name], device=device)[1]
                for name in addresses
            }
            for (view, writes), (kept, former) in zip(mapped(inputs), before, strict=True):
                if writes == former and not (view == kept).all():
                    machine.finding("a mapped input was changed before its execution was awaited")
            fed = {name: views[name].view(kinds[name]).reshape(shapes[name]) for name in inputs}
            found = engine._session.run(outputs, fed)
            for name, value in zip(outputs, found, strict=True):
                values = np.ascontiguousarray(value).astype(kinds[name]).reshape(-1)
                if kind in ("wrong output", "NaN output"):
                    values = values[::-1] + 1 if kind == "wrong output" else values * np.nan
                views[name][:] = np.ascontiguousarray(values.astype(kinds[name])).view(np.uint8)

        return Operation("execution", run, begin)


EXECUTION_ERRORS = {
    "illegal address": "ILLEGAL_ADDRESS",
    "launch failure": "LAUNCH_FAILED",
    "device lost": "UNKNOWN",
}
EXECUTION_FAULTS = (*EXECUTION_ERRORS, "never ends", "slow", "wrong output", "NaN output")


def _missing_address(tensor: PlanTensor) -> str:
    if tensor.is_input:
        return (
            "Parameter check failed, condition: mContext.profileObliviousBindings.at("
            "profileObliviousIndex) != nullptr. Address is not set for input tensor "
            f"{tensor.name}. Call setInputTensorAddress or setTensorAddress before enqueue/execute."
        )
    return (
        "Parameter check failed, condition: mContext.profileObliviousBindings.at("
        "profileObliviousIndex) || getPtrOrNull(mOutputAllocators, profileObliviousIndex). Neither "
        f"address or allocator is set for output tensor {tensor.name}. Call "
        "setOutputTensorAddress, setTensorAddress or setOutputAllocator before enqueue/execute."
    )
