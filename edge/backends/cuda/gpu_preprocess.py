"""Preprocesses pictures on the GPU, straight into the network's input, by the one kernel.

In: an open driver, a mission's `PreprocessSpec` and the input's address. Out: for each picture, the
stages to enqueue. Compiles the kernel for this GPU when it is made. Never converts a picture on the
processor: that only copies it into page-locked memory.
"""

from __future__ import annotations

import functools

import numpy as np

from edge.backends.cuda.buffers import Buffer, exchange_buffer
from edge.backends.cuda.driver import CudaDriver
from edge.backends.cuda.nvrtc import choose_compiler, find_compilers
from edge.backends.cuda.preprocess_kernel import SOURCE, entry_point, kernel_launch, packed_layout
from edge.backends.cuda.timed_stream import Stages
from edge.perception.pixel_formats import FORMATS, Picture
from edge.perception.preprocess import PreprocessSpec


class GpuPreprocess:
    """The compiled kernel, and memory for the largest picture so far."""

    def __init__(self, driver: CudaDriver, spec: PreprocessSpec, *, input_at: int) -> None:
        entries = [entry_point(pixel_format) for pixel_format in FORMATS]
        self._kernels = driver.kernels(_compiled(driver.facts.sm, driver.facts.cuda), entries)
        self._driver, self._spec, self._input_at = driver, spec, input_at
        self._picture: Buffer | None = None

    def stages(self, picture: Picture) -> Stages:
        """Copies a picture into page-locked memory, and returns what then is to be enqueued. The
        stream is idle."""
        layout = packed_layout(picture.pixel_format, picture.width_px, picture.height_px)
        launch = kernel_launch(self._spec, layout)
        driver, buffer = self._driver, self._memory(launch.picture_bytes)
        packed = buffer.array[: launch.picture_bytes]
        np.copyto(packed.reshape(picture.data.shape), picture.data)
        arguments = (buffer.address, self._input_at, launch.params)

        def preprocess() -> None:
            driver.launch(
                self._kernels[launch.entry],
                grid=launch.grid,
                block=launch.block,
                arguments=arguments,
            )

        stages = [("preprocess", preprocess)]
        if not buffer.mapped:
            stages.insert(0, ("to_device", lambda: driver.to_device(buffer.address, packed)))
        return stages

    def _memory(self, size_bytes: int) -> Buffer:
        """Memory for a picture. It only grows: the driver frees at its end."""
        if self._picture is None or self._picture.array.nbytes < size_bytes:
            self._picture = exchange_buffer(self._driver, (size_bytes,), np.uint8)
        return self._picture


@functools.cache
def _compiled(sm: int, driver_cuda: tuple[int, int]) -> bytes:
    """PTX of the kernel for a GPU under a driver; compiling takes up to a second on a Jetson."""
    compiler = choose_compiler(find_compilers(), sm, driver_cuda=driver_cuda)
    return compiler.compile_to_ptx(SOURCE.read_text(), name=SOURCE.name, sm=sm).encode()
