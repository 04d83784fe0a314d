"""Runs an engine by TensorRT or TensorRT-RTX on one GPU, and gives the GPU's time of each stage.

In: an approved plan. Out: a `Session`. The thread that opens it owns the CUDA context until it
closes it; another thread's calls are refused. Copies are page-locked, and left out where the GPU
shares the processor's memory. Never waits for the GPU longer than the deadline.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge.backends.abandoned import abandon
from edge.backends.cuda.buffers import exchange_buffer
from edge.backends.cuda.driver import CudaDriver, DeviceFacts
from edge.backends.cuda.error_codes import After, CudaError
from edge.backends.cuda.gpu_preprocess import GpuPreprocess
from edge.backends.cuda.table import MIB, gpu_memory_full, open_driver
from edge.backends.cuda.timed_stream import Overdue, Stages, TimedStream
from edge.backends.options import ApprovedPlan, SessionOptions
from edge.backends.session import DeviceLost, InferenceFailed, WrongThread
from edge.backends.tensorrt_engine import Engine, import_tensorrt
from edge.backends.tensorrt_execution import Execution
from edge.perception.pixel_formats import Picture
from edge.perception.values import Floats
from firmware_bridge.errors import DeviceFault, Refusal


class TensorRTSession:
    """One engine on one GPU."""

    module = "tensorrt"

    def __init__(self, plan: ApprovedPlan, *, options: SessionOptions) -> None:
        self._owner = threading.get_ident()
        self._lost: str | None = None
        self.device_ms: Mapping[str, float] = {}
        trt = import_tensorrt(self.module)
        self._driver: CudaDriver | None = open_driver(options.cuda, options.gpu)
        self._stream: TimedStream | None = None
        self._engine: Engine | None = None
        try:
            with self._losing():
                try:
                    self._open(self._driver, trt, plan, options)
                except (CudaError, InferenceFailed) as error:
                    if _is_sticky(error):
                        raise
                    raise _not_opened(error, plan.name, self._driver) from error
        except Exception as error:
            _clear_frames(error)
            self.close()
            raise

    def _open(
        self, driver: CudaDriver, trt: Any, plan: ApprovedPlan, options: SessionOptions
    ) -> None:
        self._stream = TimedStream(driver, deadline_s=options.deadline_ms / 1e3)
        self._engine = engine = Engine(trt, driver, name=plan.name)
        engine.load(plan.data, options)
        self.input_shape = engine.input.shape
        self.output_shapes = tuple(tensor.shape for tensor in engine.outputs)
        self._input = exchange_buffer(driver, self.input_shape)
        self._outputs = [exchange_buffer(driver, shape) for shape in self.output_shapes]
        engine.set_address(engine.input, self._input.address)
        for tensor, buffer in zip(engine.outputs, self._outputs, strict=True):
            engine.set_address(tensor, buffer.address)
        self._execution = Execution(engine, driver)
        sending, self._executing = self._network_stages(driver)
        self._stages = [*sending, *self._executing]
        self._input.array[...] = 0.0
        self._stream.run(self._stages)  # settles what a graph then records
        self._execution.capture()
        self._stream.run(self._stages)
        self._pictures: GpuPreprocess | None = None
        if options.preprocess is not None:
            at = self._input.address
            self._pictures = GpuPreprocess(driver, options.preprocess, input_at=at)
        memory = "shared by processor and GPU" if self._input.mapped else "copied, page-locked"
        self.facts: Mapping[str, str] = {
            "runtime": engine.release,
            "device": _device(driver.facts),
            "cuda": f"{driver.facts.python}; the driver has {_dotted(driver.facts.cuda)}",
            "memory": memory,
            "execution": self._execution.how,
        }

    def _network_stages(self, driver: CudaDriver) -> tuple[Stages, Stages]:
        """Input to the GPU; execution and outputs back. Without copies where memory is shared."""
        given, made = self._input, self._outputs

        def to_host() -> None:
            for buffer in made:
                driver.to_host(buffer.array, buffer.address)

        execute = ("execute", self._execution.enqueue)
        if given.mapped:
            return [], [execute]
        to_device = ("to_device", lambda: driver.to_device(given.address, given.array))
        return [to_device], [execute, ("to_host", to_host)]

    @property
    def input(self) -> Floats:
        """The page-locked input. What is written into it in place, the processor does not copy."""
        array: Floats = self._input.array
        return array

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        """Every output in the mission's order, float32: page-locked memory, valid until the next
        inference."""
        with self._inferring() as stream:
            if x.shape != self.input_shape or x.dtype != np.float32:
                raise InferenceFailed(
                    f"the engine takes float32 {self.input_shape}, not {x.dtype} {x.shape}"
                )
            if x is not self._input.array:
                np.copyto(self._input.array, x)
            self.device_ms = stream.run(self._stages)
        return tuple(buffer.array for buffer in self._outputs)

    @property
    def takes_pictures(self) -> bool:
        """Whether it preprocesses pictures on the GPU."""
        return self._pictures is not None

    def infer_picture(self, picture: Picture) -> tuple[Floats, ...]:
        """`infer` for a picture, which the GPU preprocesses into the input."""
        with self._inferring() as stream:
            if self._pictures is None:
                raise InferenceFailed("the session was opened without a preprocess of its own")
            stages = self._pictures.stages(picture)
            self.device_ms = stream.run([*stages, *self._executing])
        return tuple(buffer.array for buffer in self._outputs)

    @contextlib.contextmanager
    def _inferring(self) -> Iterator[TimedStream]:
        """For one inference. After a failure that leaves the context whole, the stream is idle."""
        stream = self._usable()
        try:
            with self._losing():
                try:
                    yield stream
                except (CudaError, InferenceFailed):
                    stream.settle()  # what was enqueued before still uses the memory
                    raise
        except CudaError as error:
            raise InferenceFailed(str(error)) from error

    def close(self) -> None:
        """Frees engine, memory and context; of a lost device nothing.

        Raises:
            DeviceLost: the GPU did not end what it was doing, or does not let go.
        """
        self._require_owner()
        if self._lost is not None or self._driver is None:
            return
        try:
            with self._losing():
                if self._stream is not None:
                    self._stream.settle()
                if self._engine is not None:
                    self._engine.close()
                self._driver.close()
        except CudaError as error:
            raise self._lose(str(error)) from error
        self._driver = self._engine = self._stream = None

    def _usable(self) -> TimedStream:
        self._require_owner()
        if self._lost is not None:
            raise DeviceLost(self._lost)
        if self._stream is None:
            raise InferenceFailed("the session is closed")
        return self._stream

    def _require_owner(self) -> None:
        if threading.get_ident() != self._owner:
            raise WrongThread(
                "this session belongs to the thread that opened it: a CUDA context is current on "
                f"one thread (opened by {self._owner}, used by {threading.get_ident()})"
            )

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Raises DeviceLost for what a context does not survive."""
        try:
            yield
        except CudaError as error:
            if not _is_sticky(error):
                raise
            raise self._lose(str(error)) from error
        except Overdue as error:
            raise self._lose(str(error)) from error

    def _lose(self, reason: str) -> DeviceLost:
        self._lost = reason
        abandon(self)
        if self._driver is not None:
            with contextlib.suppress(CudaError):  # then this thread must not end: see DeviceLost
                self._driver.abandon()
        return DeviceLost(reason)


class RtxSession(TensorRTSession):
    """The same by TensorRT-RTX, which compiles its kernels for the GPU as it loads the engine."""

    module = "tensorrt_rtx"


def _is_sticky(error: Exception) -> bool:
    return isinstance(error, CudaError) and error.code.after is After.STICKY


def _clear_frames(error: BaseException | None) -> None:
    """Clears the locals of a traceback's frames: among them are objects of TensorRT, which must be
    destroyed before the context, whoever keeps the exception."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _not_opened(error: CudaError | InferenceFailed, plan: str, driver: CudaDriver) -> Refusal:
    if isinstance(error, CudaError) and error.code.after is After.OUT_OF_MEMORY:
        return gpu_memory_full(f"memory for {plan}", error, free_bytes=driver.free_bytes())
    return DeviceFault(
        f"{plan} does not run on this GPU",
        expected="one execution on a blank picture",
        found=str(error),
        remedy="build it again on this device: brakepoint engine build DIR --out FILE",
    )


def _device(facts: DeviceFacts) -> str:
    sm = f"SM {facts.sm // 10}.{facts.sm % 10}"
    which = f"GPU {facts.ordinal} of {facts.count}"
    return f"{facts.name}, {sm}, {facts.memory_bytes // MIB} MiB, {which}"


def _dotted(version: tuple[int, int]) -> str:
    return f"CUDA {version[0]}.{version[1]}"
