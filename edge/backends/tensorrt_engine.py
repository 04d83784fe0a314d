"""Loads a plan into TensorRT or TensorRT-RTX, checks its tensors and sets their shapes.

In: the bytes of an approved plan and the tensors that the mission expects. Out: an execution
context whose every shape is known. Uses only calls that 8.6 to 11 and TensorRT-RTX have.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.backends.cuda.driver import CudaDriver
from edge.backends.cuda.table import gpu_memory_full
from edge.backends.options import SessionOptions
from edge.install import pip_install
from firmware_bridge.errors import DeviceFault, Missing, UsageError

REBUILD = "build it again on this device: brakepoint engine build DIR --out FILE"

REMEDIES = {
    "tensorrt": "it comes with JetPack; a virtual environment sees it with --system-site-packages",
    "tensorrt_rtx": pip_install("rtx"),
}
"""Module -> what to do where it cannot be imported."""

Shape = tuple[int, ...]

_SEVERE = ("INTERNAL_ERROR", "ERROR")
_NO_ROOM = ("out of memory", "OutOfMemory")


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine with its shape for this mission; float32, linear."""

    name: str
    shape: Shape


class EngineLog:
    """TensorRT's errors since the last `take`; never more than the newest few."""

    def __init__(self, trt: Any) -> None:
        self._errors: deque[str] = deque(maxlen=4)
        errors = self._errors

        class Log(trt.ILogger):  # type: ignore[misc] # the base is known when TensorRT is imported
            """Keeps errors."""

            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, text: str) -> None:
                if severity.name in _SEVERE:
                    errors.append(" ".join(text.split()))

        self.logger = Log()

    def take(self) -> str:
        """What TensorRT said, in its own words, and forgets it."""
        said = "; ".join(self._errors)
        self._errors.clear()
        return said


def import_tensorrt(module: str) -> Any:
    """The Python module of TensorRT.

    Raises:
        Missing: it is not installed, or its libraries are not.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # a wheel loads its libraries by ctypes
        absent = isinstance(error, ModuleNotFoundError)
        raise Missing(
            f"{module} is not installed" if absent else f"{module} cannot be imported",
            expected="the Python module of TensorRT, with its libraries",
            found=str(error),
            remedy=REMEDIES[module],
        ) from error


class Engine:
    """A loaded engine and its execution context. `close` drops them in TensorRT's order.

    Attributes, after `load`:
        input: the one input.
        outputs: in the mission's order.
    """

    input: Tensor
    outputs: tuple[Tensor, ...]

    def __init__(self, trt: Any, driver: CudaDriver, *, name: str) -> None:
        self._trt, self._driver, self._name = trt, driver, name
        self._log = EngineLog(trt)
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None

    def load(self, plan: bytes, options: SessionOptions) -> None:
        """Loads a plan and sets the mission's shapes.

        Raises:
            UsageError: its tensors are not the mission's, or not float32 and linear.
            DeviceFault: TensorRT does not take it, or the GPU has no room for it.
        """
        # TensorRT's own plugins: the parser of 8.6 makes one of an InstanceNormalization.
        self._trt.init_libnvinfer_plugins(self._log.logger, "")
        try:
            self._runtime = self._trt.Runtime(self._log.logger)
        except TypeError as error:  # how pybind11 says that TensorRT made none
            raise self._refused("no runtime of TensorRT", found=str(error)) from error
        self._engine = self._required(self._runtime.deserialize_cuda_engine(plan), "engine")
        inputs, outputs = self._names()
        _require_names("inputs", inputs, options.inputs, self._name)
        _require_names("outputs", outputs, options.outputs, self._name)
        for name in (*inputs, *outputs):
            self._require_plain(name)
        context = self._engine.create_execution_context()
        self._context = self._required(context, "execution context")
        self.input = self._set_shape(inputs, options.inputs)
        self.outputs = tuple(self._output(name) for name in options.outputs or outputs)

    @property
    def release(self) -> str:
        """Module and version."""
        return f"{self._trt.__name__} {self._trt.__version__}"

    def close(self) -> None:
        """Drops context, engine and runtime. TensorRT frees their memory on the GPU."""
        self._context = self._engine = self._runtime = None

    def _required(self, made: Any, what: str) -> Any:
        """What TensorRT made; a refusal in its own words where it made nothing."""
        if made is not None:
            return made
        said = self._log.take() or "TensorRT does not say why"
        if any(words in said for words in _NO_ROOM):
            free = self._driver.free_bytes()
            raise gpu_memory_full(f"{what} of {self._name}", said, free_bytes=free)
        raise self._refused(f"TensorRT makes no {what} of it", found=said)

    def _refused(self, why: str, *, found: str) -> DeviceFault:
        return DeviceFault(
            f"{self._name} cannot be loaded: {why}",
            expected=f"a whole plan of {self.release} for this GPU",
            found=found,
            remedy=REBUILD,
        )

    def _names(self) -> tuple[list[str], list[str]]:
        engine, mode = self._engine, self._trt.TensorIOMode
        names = [engine.get_tensor_name(row) for row in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == mode.INPUT]
        return inputs, [name for name in names if name not in inputs]

    def _require_plain(self, name: str) -> None:
        """Refuses a tensor that is not float32, linear and on the GPU."""
        engine, trt = self._engine, self._trt
        kind, form = engine.get_tensor_dtype(name), engine.get_tensor_format(name)
        place = engine.get_tensor_location(name)
        if (kind, form, place) == (
            trt.DataType.FLOAT,
            trt.TensorFormat.LINEAR,
            trt.TensorLocation.DEVICE,
        ):
            return
        raise UsageError(
            f"{self._name} does not take and give plain numbers: tensor {name}",
            expected="FLOAT LINEAR on DEVICE",
            found=f"{kind.name} {form.name} on {place.name}",
            remedy="build it with float32 linear inputs and outputs: brakepoint engine build DIR "
            "(trtexec without --inputIOFormats and --outputIOFormats)",
        )

    def _set_shape(self, inputs: list[str], expected: Mapping[str, Shape]) -> Tensor:
        """Sets the shape of the one input, by the profile that holds it."""
        if len(inputs) != 1:
            raise UsageError(
                f"{self._name} does not take one picture",
                expected="one input (1, 3, height, width)",
                found=", ".join(inputs) or "no input",
                remedy="export the network with one image input",
            )
        (name,) = inputs
        ranges = self._ranges(name)
        for profile, (least, usual, most) in enumerate(ranges):
            shape = expected.get(name, usual)
            if len(shape) == len(least) and all(
                low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
            ):
                return self._use(profile, name, shape)
        raise UsageError(
            f"{self._name} does not take the mission's pictures",
            expected=f"{name} {expected.get(name)}",
            found=", ".join(
                f"{name} {least}" if least == most else f"{name} {least} to {most}"
                for least, _, most in ranges
            )
            or f"{name} of no size",
            remedy="build it for this size: brakepoint engine build DIR --profile "
            f"{name}=MIN,USUAL,MAX; or correct [model.input]",
        )

    def _ranges(self, name: str) -> list[tuple[Shape, Shape, Shape]]:
        """The least, usual and largest shape of an input for each optimization profile."""
        engine = self._engine
        own = tuple(engine.get_tensor_shape(name))
        if -1 not in own:
            return [(own, own, own)]
        found = []
        for profile in range(engine.num_optimization_profiles):
            least, usual, most = (tuple(s) for s in engine.get_tensor_profile_shape(name, profile))
            found.append((least, usual, most))
        return found

    def _use(self, profile: int, name: str, shape: Shape) -> Tensor:
        context = self._context
        chosen = profile == 0 or context.set_optimization_profile_async(
            profile, self._driver.stream
        )
        if not chosen or not context.set_input_shape(name, shape):
            raise DeviceFault(
                f"{self._name} refuses the mission's pictures",
                expected=f"{name} {shape}",
                found=self._log.take() or "TensorRT does not say why",
                remedy=REBUILD,
            )
        return Tensor(name, shape)

    def _output(self, name: str) -> Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise UsageError(
                f"{self._name} gives output {name} in a size that depends on the picture",
                expected="outputs of a known size",
                found=f"{name} {shape}",
                remedy="export the network without non-maximum suppression; docs/sources.md",
            )
        return Tensor(name, shape)

    def set_address(self, tensor: Tensor, address: int) -> None:
        """Where TensorRT reads or writes a tensor. Raises DeviceFault where it refuses."""
        if not self._context.set_tensor_address(tensor.name, address):
            raise DeviceFault(
                f"{self._name} refuses the memory for {tensor.name}",
                expected="an address that TensorRT takes",
                found=self._log.take() or f"TensorRT does not say why ({address:#x})",
                remedy="report this as a defect",
            )

    def enqueue(self) -> str | None:
        """Enqueues one execution; TensorRT's words where it refuses, else None."""
        if self._context.execute_async_v3(self._driver.stream):
            return None
        return self._log.take() or "execute_async_v3 returned False"


def _require_names(what: str, found: list[str], expected: Mapping[str, Shape], plan: str) -> None:
    if not expected or set(found) == set(expected):
        return
    raise UsageError(
        f"the {what} of {plan} are not the mission's",
        expected=", ".join(expected),
        found=", ".join(found) or "none",
        remedy="build it from this mission's conversion: brakepoint engine build DIR --out FILE",
    )
