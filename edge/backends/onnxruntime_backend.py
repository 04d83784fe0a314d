"""Runs a network by onnxruntime on the CPU: the backend for every machine, the numeric reference.

An ONNX file goes in; a `Session` comes out. onnxruntime's own log is off below fatal, since its
failures are raised as refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from edge.backends import integer_products
from edge.backends.options import SessionOptions
from edge.backends.session import InferenceFailed
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

# onnxruntime's exceptions have no common base class below Exception.
_FAILURES = (
    states.EPFail,
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoModel,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
    RuntimeError,
    ValueError,
)

# Workers wait for the next operator of a run awake, which takes a quarter off a small network, but
# no longer than operators follow each other, and never after the run: then their cores belong to
# capture and decisions.
_WORKERS = {
    "session.intra_op.spin_duration_us": "20",
    "session.force_spinning_stop": "1",
}


class OnnxruntimeSession:
    """One loaded network with one image input and any outputs."""

    def __init__(self, path: Path, *, options: SessionOptions) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 4
        for key, value in (_WORKERS | integer_products.session_options()).items():
            settings.add_session_config_entry(key, value)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), settings, providers=["CPUExecutionProvider"]
            )
        except _FAILURES as error:
            raise UsageError(
                f"{path} is not a model that onnxruntime can run",
                expected="a whole ONNX file with operators that onnxruntime knows",
                found=_first_line(error),
                remedy="copy or convert it again: brakepoint convert MISSION --out DIR",
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
            raise UsageError(
                f"{path} does not take one picture",
                expected="one input (1, 3, height, width) of float32",
                found=", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs) or "no input",
                remedy="export the network with one float32 image input of a fixed size",
            )
        outputs = self._session.get_outputs()
        self._name = inputs[0].name
        self.input_shape = _sizes(inputs[0].shape, batch=1)
        self.output_shapes = tuple(_sizes(output.shape, batch=1) for output in outputs)
        self.input: Floats = np.zeros(self.input_shape, np.float32)
        self.device_ms: Mapping[str, float] = {}
        self.facts: Mapping[str, str] = {}
        self._binding = self._session.io_binding()
        self._outputs = self._bind(outputs)

    def _bind(self, outputs: Sequence[Any]) -> tuple[Floats, ...] | None:
        """Binds every output to memory that each inference writes again; None where onnxruntime has
        to allocate them each time, since a size is open or a type is not float32."""
        if not all(_has_fixed_size(output) for output in outputs):
            return None
        memory = tuple(np.zeros(output.shape, np.float32) for output in outputs)
        for output, array in zip(outputs, memory, strict=True):
            value = onnxruntime.OrtValue.ortvalue_from_numpy(array)  # the same memory, not a copy
            self._binding.bind_ortvalue_output(output.name, value)
        return memory

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        """Every output in the file's order, float32, for an input (1, 3, H, W) float32."""
        if self._session is None:
            raise InferenceFailed("the session is closed")
        try:
            if self._outputs is not None:
                self._binding.bind_cpu_input(self._name, np.ascontiguousarray(x))  # read in place
                self._session.run_with_iobinding(self._binding)
                return self._outputs
            found = self._session.run(None, {self._name: x})
        except _FAILURES as error:
            raise InferenceFailed(_first_line(error)) from error
        return tuple(np.asarray(output, np.float32) for output in found)

    def close(self) -> None:
        """Frees the network."""
        self._session = self._binding = None


def _sizes(shape: list[int | str | None], *, batch: int) -> tuple[int, ...]:
    """Fixed sizes as they are, symbolic ones as 0, except the first, which is the batch."""
    sizes = [size if isinstance(size, int) else 0 for size in shape]
    return (sizes[0] or batch, *sizes[1:])


def _has_fixed_size(output: Any) -> bool:
    """Whether an output is always of the same size, in float32; onnxruntime gives no sizes at all
    where their number is open."""
    sizes = output.shape
    return output.type == "tensor(float)" and bool(sizes) and all(isinstance(n, int) for n in sizes)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
