"""A stand-in for TensorRT's Python module, made from the exports of a release (`tensorrt_api/`).

Reading or writing a name that the release does not export raises AttributeError, on the module and
on every object. Objects record calls and assignments in `calls`. It parses real ONNX into layers
and "builds" a plan with the release's header that holds the ONNX; it tests calls, not kernels. Its
runtime half is `simulated_device.tensorrt_runtime`, which runs plans on a simulated device.
"""

from __future__ import annotations

import enum
import functools
import json
import os
import signal
import sys
import types
from typing import Any

import onnx
from simulated_device.cuda_errors import NotSimulated
from simulated_device.exports import API, RELEASES, RTX, SEVERITIES, Strict
from simulated_device.machine import Machine
from simulated_device.plan import BUILD, Plan, Profile, header, tensors_of, write_plan
from simulated_device.tensorrt_runtime import (
    Dims,
    EngineInspector,
    ICudaEngine,
    IExecutionContext,
    Runtime,
)

__all__ = ["RELEASES", "RTX", "StandIn", "plan_bytes"]

LAYERS = {
    "Conv": "CONVOLUTION",
    "ConvTranspose": "DECONVOLUTION",
    "Gemm": "MATRIX_MULTIPLY",
    "MatMul": "MATRIX_MULTIPLY",
    "QuantizeLinear": "QUANTIZE",
    "DequantizeLinear": "DEQUANTIZE",
    "Cast": "CAST",
    "Concat": "CONCATENATION",
    "Resize": "RESIZE",
    "Reshape": "SHUFFLE",
    "Transpose": "SHUFFLE",
    "Flatten": "SHUFFLE",
    "Slice": "SLICE",
    "MaxPool": "POOLING",
    "GridSample": "GRID_SAMPLE",
    "Relu": "ACTIVATION",
    "Sigmoid": "ACTIVATION",
    "Clip": "ACTIVATION",
    "Softmax": "SOFTMAX",
}
NOT_ON_DLA = ("SHUFFLE", "RESIZE")


OUT_OF_MEMORY = "[virtualMemoryBuffer.cpp] Error Code 2: OutOfMemory (layer conv_7)"


class ILogger(Strict):
    Severity = enum.IntEnum("Severity", SEVERITIES, start=0)  # type: ignore[misc]
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = Severity

    def __init__(self) -> None:
        self._initialized = True

    def log(self, severity: Any, message: str) -> None:
        raise NotImplementedError("ILogger.log is abstract")


class Logger(ILogger):
    def __init__(self, min_severity: Any = ILogger.WARNING) -> None:
        super().__init__()
        object.__setattr__(self, "min_severity", min_severity)

    def log(self, severity: Any, message: str) -> None:
        if severity <= self.min_severity:
            sys.stderr.write(f"[TRT] [{severity.name[0]}] {message}\n")


class IProgressMonitor(Strict):
    def __init__(self) -> None:
        pass


class ITensor(Strict):
    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        for key, value in (("name", name), ("shape", shape), ("dtype", dtype)):
            object.__setattr__(self, key, value)
        object.__setattr__(self, "dynamic_range", None)
        object.__setattr__(self, "allowed_formats", -1)


class ILayer(Strict):
    def __init__(self, name: str, kind: Any, inputs: list[ITensor], outputs: list[ITensor]) -> None:
        values = {
            "name": name,
            "type": kind,
            "num_inputs": len(inputs),
            "num_outputs": len(outputs),
            "precision": None,
            "_inputs": inputs,
            "_outputs": outputs,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def get_input(self, slot: int) -> ITensor:
        return self._inputs[slot]

    def get_output(self, slot: int) -> ITensor:
        return self._outputs[slot]


class INetworkDefinition(Strict):
    def __init__(self) -> None:
        self._layers: list[ILayer] = []
        self._inputs: list[ITensor] = []
        self._outputs: list[ITensor] = []
        self._model = b""

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    @property
    def num_outputs(self) -> int:
        return len(self._outputs)

    def get_layer(self, row: int) -> ILayer:
        return self._layers[row]

    def get_input(self, row: int) -> ITensor:
        return self._inputs[row]

    def get_output(self, row: int) -> ITensor:
        return self._outputs[row]


class ParserError(Strict):
    def desc(self) -> str:
        return "no ONNX model"


class OnnxParser(Strict):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = network
        self._failed = False

    @property
    def num_errors(self) -> int:
        return int(self._failed)

    def get_error(self, row: int) -> ParserError:
        return self._trt.ParserError()

    def parse(self, data: bytes) -> bool:
        try:
            model = onnx.load_from_string(data)
        except Exception:  # noqa: BLE001 # whatever protobuf raises on garbage
            self._failed = True
            return False
        self._network._model = bytes(data)
        trt, kinds = self._trt, self._trt.LayerType
        known = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        floats = {
            value.name: value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            for value in known
        }
        shapes = {
            value.name: tuple(
                size.dim_value if size.HasField("dim_value") else -1
                for size in value.type.tensor_type.shape.dim
            )
            for value in known
        }

        def tensor(name: str) -> ITensor:
            kind = trt.DataType.FLOAT if floats.get(name) else trt.DataType.HALF
            made: ITensor = trt.ITensor(name, shapes.get(name, ()), kind)
            return made

        tensors: dict[str, ITensor] = {}
        for value in model.graph.input:
            tensors[value.name] = tensor(value.name)
            self._network._inputs.append(tensors[value.name])
        held = {constant.name for constant in model.graph.initializer}
        for node in model.graph.node:
            reads = []
            for name in node.input:
                if name in held and node.op_type == "QuantizeLinear" and name == node.input[0]:
                    weights = tensors.setdefault(name, tensor(name))
                    kind = kinds.CONSTANT
                    self._network._layers.append(trt.ILayer(name, kind, [], [weights]))
                    reads.append(weights)
                elif name in tensors:
                    reads.append(tensors[name])
            made = []
            for name in node.output:
                tensors[name] = tensor(name)
                made.append(tensors[name])
            kind = kinds[LAYERS.get(node.op_type, "ELEMENTWISE")]
            self._network._layers.append(trt.ILayer(node.name, kind, reads, made))
        self._network._outputs += [tensors[value.name] for value in model.graph.output]
        return True


class IOptimizationProfile(Strict):
    def __init__(self) -> None:
        self._shapes: Profile = {}

    def set_shape(self, *values: Any) -> None:
        self._told("set_shape", *values)
        name, low, best, high = values
        self._shapes[name] = (tuple(low), tuple(best), tuple(high))


class ITimingCache(Strict):
    def serialize(self) -> bytes:
        return b"timings of " + self._trt.release.encode()


class IHostMemory(Strict):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


class IBuilderConfig(Strict):
    num_compute_capabilities = 0
    progress_monitor = None

    def __init__(self) -> None:
        self._profiles: list[Profile] = []
        self._targets: list[int] = []

    def set_flag(self, flag: Any) -> None:
        self._told("set_flag", flag.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._told("set_memory_pool_limit", pool.name, size)

    def set_compute_capability(self, capability: Any, row: int) -> bool:
        self._told("set_compute_capability", capability.name)
        self._targets.append(int(capability.name.removeprefix("SM")))
        return row < self.num_compute_capabilities

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self._told("add_optimization_profile")
        self._profiles.append(dict(profile._shapes))
        return len(self._profiles) - 1

    def create_timing_cache(self, data: bytes) -> ITimingCache | None:
        fits = not data or data == self._trt.ITimingCache().serialize()
        return self._trt.ITimingCache() if fits else None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self._told("set_timing_cache", ignore_mismatch)
        return True

    def get_timing_cache(self) -> ITimingCache:
        return self._trt.ITimingCache()

    def can_run_on_DLA(self, layer: ILayer) -> bool:  # noqa: N802 # TensorRT's own name
        return layer.type.name not in NOT_ON_DLA


class Builder(Strict):
    platform_has_fast_int8 = True

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        machine = self._trt.machine
        if self._trt.fails == "no GPU" or (machine is not None and not machine.devices):
            raise TypeError("pybind11::init(): factory function returned nullptr")

    @property
    def num_DLA_cores(self) -> int:  # noqa: N802 # TensorRT's own name
        return self._trt.dla_cores

    def create_network(self, flags: int) -> INetworkDefinition:
        self._told("create_network", flags)
        made: INetworkDefinition = self._trt.INetworkDefinition()
        return made

    def create_builder_config(self) -> IBuilderConfig:
        made: IBuilderConfig = self._trt.IBuilderConfig()
        return made

    def create_optimization_profile(self) -> IOptimizationProfile:
        made: IOptimizationProfile = self._trt.IOptimizationProfile()
        return made

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        self._told("build_serialized_network")
        if self._trt.fails in ("SIGSEGV", "SIGKILL"):
            os.kill(os.getpid(), signal.Signals[self._trt.fails])
        if self._trt.fails == "refuses":
            return None
        if self._trt.fails == "out of memory":
            self._logger.log(types.SimpleNamespace(name="ERROR"), OUT_OF_MEMORY)
            return None
        if "progress_monitor" in type(config)._exports and config.progress_monitor:
            config.progress_monitor.phase_start("Building", None, 2)
            assert config.progress_monitor.step_complete("Building", 0)
            config.progress_monitor.phase_finish("Building")
        made = Plan(
            sm=tuple(config._targets) or self._trt.sm,
            tensors=tensors_of(network._model),
            profiles=tuple(config._profiles),
            model=network._model,
        )
        plan: IHostMemory = self._trt.IHostMemory(write_plan(self._trt, made))
        return plan


BEHAVIOUR: tuple[type[Strict], ...] = (
    Builder,
    EngineInspector,
    IBuilderConfig,
    ICudaEngine,
    IExecutionContext,
    IHostMemory,
    ILayer,
    ILogger,
    INetworkDefinition,
    IOptimizationProfile,
    IProgressMonitor,
    ITensor,
    ITimingCache,
    Logger,
    OnnxParser,
    ParserError,
    Runtime,
)


@functools.cache
def exports_of(name: str) -> dict[str, Any]:
    """What a release exports. Shared by its modules, as the enums are: reading takes milliseconds,
    and a suite makes hundreds."""
    api: dict[str, Any] = json.loads((API / f"{name}.json").read_text())
    return api


@functools.cache
def enums_of(name: str) -> dict[str, type[enum.IntEnum]]:
    """The enums of a release."""
    api = exports_of(name)
    return {key: enum.IntEnum(key, one["enum"]) for key, one in api.items() if "enum" in one}


class StandIn(types.ModuleType):
    """The module of one release, such as "tensorrt-10.3.0".

    Args:
        version: another version text over the same exports, for releases that nobody recorded.
        fails: "no GPU", "refuses", "out of memory", "SIGSEGV" or "SIGKILL": when it comes to
            building.
        machine: the simulated device on which its runtime runs; None for tests of calls alone.
        inspector_text: what its engine inspector tells.
    """

    inspector_text = "{}"
    Dims = Dims

    def __init__(
        self,
        name: str,
        *,
        version: str | None = None,
        dla_cores: int = 0,
        fails: str = "",
        machine: Machine | None = None,
    ) -> None:
        module, recorded = name.split("-")
        super().__init__(module)
        self.release = version or recorded
        self.__version__ = f"{self.release}.{BUILD}" if name == RTX else self.release
        self.machine = machine
        self.sm = (machine.devices[0].facts.sm,) if machine and machine.devices else (87,)
        self.calls: list[tuple[object, ...]] = []
        self.dla_cores, self.fails = dla_cores, fails
        api = exports_of(name)
        self._names = frozenset(api)
        for key, kind in enums_of(name).items():
            setattr(self, key, kind)
        for behaviour in BEHAVIOUR:
            exported = api.get(behaviour.__name__)
            if exported is not None:
                attributes = {"_exports": frozenset(exported["class"]), "_trt": self}
                bases = (behaviour, self.ILogger) if behaviour is Logger else (behaviour,)
                setattr(self, behaviour.__name__, type(behaviour.__name__, bases, attributes))

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("_names", ()):
            raise NotSimulated(f"{self.__name__}.{name}")
        raise AttributeError(f"{self.__name__} {self.__dict__.get('release')} has no {name}")

    def init_libnvinfer_plugins(self, logger: ILogger, namespace: str) -> bool:
        """Every release exports it. No plan of the simulation holds a plugin."""
        assert "init_libnvinfer_plugins" in self._names
        self.calls.append(("module", "init_libnvinfer_plugins", namespace))
        return True

    def told(self, what: str) -> list[tuple[object, ...]]:
        """The values of every call or assignment of this name, in order."""
        return [call[2:] for call in self.calls if call[1] == what]


def plan_bytes(trt: StandIn) -> bytes:
    """A plan's header and nothing behind it."""
    return header(trt)
