"""A launch of the preprocess kernel on the simulated device: its source, compiled for the host.

Checks what a GPU would: addresses of this device's memory in use, alignment, no byte read or
written outside an allocation. A mapped picture that changes before the launch was awaited is a
finding.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from cuda_host_shim import HostKernels, build

from edge.backends.cuda.preprocess_kernel import PictureLayout, PreprocessParams
from simulated_device.cuda_errors import CudaError, NotSimulated
from simulated_device.driver.memory import poison
from simulated_device.driver.ptx import Kernel
from simulated_device.driver.streams import Work

FLOAT_BYTES = 4


@functools.cache
def host_kernels() -> HostKernels:
    """The kernels, compiled once a process."""
    with tempfile.TemporaryDirectory() as folder:
        return HostKernels(build(Path(folder)))


class HostLaunch:
    """One launch: `preprocess_FORMAT(picture address, input address, params)`."""

    def __init__(
        self,
        machine: Any,
        kernel: Kernel,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: list[bytes],
    ) -> None:
        if not kernel.name.startswith("preprocess_"):
            raise NotSimulated(f"the kernel {kernel.name}")
        self._machine, self._kernel, self._grid, self._block = machine, kernel, grid, block
        picture, network_input, self._params = arguments
        self._addresses = [int.from_bytes(one, "little") for one in (picture, network_input)]
        params = PreprocessParams.from_buffer_copy(self._params)
        layout = PictureLayout(
            kernel.name.removeprefix("preprocess_"),  # type: ignore[arg-type]
            params.picture_width,
            params.picture_height,
            params.row_stride,
            params.chroma_stride,
            params.chroma_offset,
        )
        self._sizes = (
            layout.size_bytes,
            FLOAT_BYTES * 3 * params.input_height * params.input_width,
        )

    def begin(self, work: Work) -> None:
        """Keep what host code could change, and poison what it could read too early."""
        space = self._machine.space
        mapped = [space.at(address) for address in self._addresses]
        work.token = None
        if mapped[0] is not None and mapped[0].is_host and not mapped[0].freed:
            work.token = space.device_range(self._addresses[0], self._sizes[0])[1].copy()
        if mapped[1] is not None and mapped[1].is_host and not mapped[1].freed:
            poison(space.device_range(self._addresses[1], self._sizes[1])[1])

    def run(self, work: Work) -> None:
        """Raises CudaError where a GPU would meet a wrong address."""
        device = self._kernel.context.device
        found = [
            self._machine.space.device_range(address, size, device=device)
            for address, size in zip(self._addresses, self._sizes, strict=True)
        ]
        if self._addresses[1] % FLOAT_BYTES:
            raise CudaError("MISALIGNED_ADDRESS")
        if work.token is not None and not (work.token == found[0][1]).all():
            self._machine.finding("a mapped picture was changed before its kernel was awaited")
        first, second = (view.ctypes.data for _, view in found)
        host_kernels().launch(
            self._kernel.name, self._grid, self._block, (first, second), self._params
        )
        found[1][0].kernel_writes += 1
