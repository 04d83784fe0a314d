"""onnxruntime sessions for the workshop, with models in memory and without log output.

In: a model and a device. Out: a `ModelSession`. Never falls back to another device: a model that
onnxruntime cannot run raises CannotRun, which the caller turns into a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnxruntime
from onnx import GraphProto, ModelProto, TensorProto, numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as states

from calibration.inference.devices import CPU, Device, require_device
from edge.backends import integer_products
from edge.perception.values import Floats

Kernels = Literal["as_written", "fused"]
"""How Q/DQ runs: "as_written", step by step in float32, is the numeric reference; "fused" uses
integer kernels, as the device's backend does. The reference must not be fused, since integer
kernels sum and round in an order of their own."""


BESIDE_BYTES = 1 << 10
"""Weights from this size on are passed to onnxruntime beside the graph."""


class SplitModel(NamedTuple):
    """A graph without its large weights, cheap to change and to serialize, and the weights.

    Attributes:
        model: names the weights as external data.
        weights: by name of the initializer.
    """

    model: ModelProto
    weights: dict[str, onnxruntime.OrtValue]


def split_weights(model: ModelProto) -> SplitModel:
    """Separates the graph of `model` from its large float32 weights."""
    graph = model.graph
    light = ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=GraphProto(
            name=graph.name,
            node=graph.node,
            input=graph.input,
            output=graph.output,
            value_info=graph.value_info,
            sparse_initializer=graph.sparse_initializer,
        ),
    )
    weights = {}
    for value in graph.initializer:
        if value.data_type != TensorProto.FLOAT or len(value.raw_data) < BESIDE_BYTES:
            light.graph.initializer.append(value)
            continue
        tensor = light.graph.initializer.add(
            name=value.name,
            dims=value.dims,
            data_type=value.data_type,
            data_location=TensorProto.EXTERNAL,
        )
        tensor.external_data.add(key="location", value="beside")
        weights[value.name] = onnxruntime.OrtValue.ortvalue_from_numpy(numpy_helper.to_array(value))
    return SplitModel(light, weights)


class Value(NamedTuple):
    """An input or output: its type as onnxruntime writes it ("tensor(float)"), and its sizes; an
    open size is a name or None."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class CannotRun(Exception):
    """onnxruntime refused the model or failed while it ran; the text is the first line."""


# onnxruntime's errors have no common base below Exception.
_FAILURES = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NotImplemented,
    states.RuntimeException,
    RuntimeError,
    ValueError,
)


def session_options(
    *, threads: int, kernels: Kernels, device: Device = CPU
) -> onnxruntime.SessionOptions:
    """The options of every session of the workshop."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # The memory pattern makes the second run as slow as the first, since it touches new memory;
    # most sessions here live for a few dozen runs.
    options.enable_mem_pattern = False
    written = "1" if kernels == "as_written" else "0"
    options.add_session_config_entry("session.disable_quant_qdq", written)
    for key, value in {**integer_products.session_options(), **device.config}.items():
        options.add_session_config_entry(key, value)
    return options


PICTURE_TYPES: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types that an input picture may have, as onnxruntime writes them, and numpy's."""


class ModelSession:
    """A model in memory, ready to run. Holds no frames."""

    def __init__(
        self,
        model: bytes | SplitModel | Path,
        *,
        threads: int,
        kernels: Kernels = "as_written",
        device: Device = CPU,
    ) -> None:
        require_device(device, onnxruntime.get_available_providers())
        options = session_options(threads=threads, kernels=kernels, device=device)
        if isinstance(model, SplitModel):
            self._weights = model.weights  # onnxruntime does not copy them
            options.add_external_initializers(list(self._weights), list(self._weights.values()))
            model = model.model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(
                str(model) if isinstance(model, Path) else model,
                options,
                providers=[(device.provider, dict(device.options))],
                enable_fallback=0,
            )
        except _FAILURES as error:
            raise CannotRun(_first_line(error)) from error
        # Without the driver or a library, onnxruntime drops the provider and continues.
        require_device(device, self._session.get_providers())

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [value.name for value in self._session.get_inputs()]

    @property
    def input_values(self) -> list[Value]:
        """The inputs."""
        return [Value(one.name, one.type, tuple(one.shape)) for one in self._session.get_inputs()]

    @property
    def output_values(self) -> list[Value]:
        """The outputs."""
        return [Value(one.name, one.type, tuple(one.shape)) for one in self._session.get_outputs()]

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [value.name for value in self._session.get_outputs()]

    def run(self, feeds: dict[str, Any], outputs: Sequence[str] | None = None) -> list[Any]:
        """The named outputs (all by default), in that order. Raises CannotRun."""
        try:
            found: list[Any] = self._session.run(outputs, feeds)
        except _FAILURES as error:
            raise CannotRun(_first_line(error)) from error
        return found

    def bind(self, outputs: Mapping[str, Floats]) -> Bound:
        """Binds contiguous arrays of the outputs' shapes, to be filled by every run."""
        binding = self._session.io_binding()
        for name, into in outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, into.shape, into.ctypes.data)
        return Bound(self._session, binding, outputs)


class Bound:
    """A session bound to arrays that it fills, without allocating or copying outputs."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        binding: onnxruntime.IOBinding,
        outputs: Mapping[str, Floats],
    ) -> None:
        self._session, self._binding = session, binding
        self.outputs = outputs

    def run(self, feeds: Mapping[str, Floats]) -> None:
        """Fills the arrays. Raises CannotRun, after which their content is undefined."""
        for name, value in feeds.items():
            self._binding.bind_cpu_input(name, np.ascontiguousarray(value))
        try:
            self._session.run_with_iobinding(self._binding)
        except _FAILURES as error:
            raise CannotRun(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
