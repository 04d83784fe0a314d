"""Memory that processor and GPU exchange: a pair of page-locked and device memory, or one memory
that both use where the GPU shares the processor's.

In: an open driver and a shape. Out: a `Buffer`, which the driver owns. Copies nothing by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edge.backends.cuda.driver import CudaDriver


@dataclass(frozen=True)
class Buffer:
    """One array as both sides see it.

    Attributes:
        array: the processor's side, page-locked, C-contiguous.
        address: the GPU's side.
        mapped: both are the same memory, so that nothing is to be copied.
    """

    array: NDArray[Any]
    address: int
    mapped: bool


def exchange_buffer(
    driver: CudaDriver, shape: tuple[int, ...], dtype: DTypeLike = np.float32
) -> Buffer:
    """A new buffer: mapped where the GPU is integrated, since its own memory is the processor's.

    The GPU's memory, which is the scarcer one, comes first: where it is full, nothing is held.
    """
    if driver.facts.integrated:
        host = driver.host_array(shape, dtype, mapped=True)
        assert host.address is not None
        return Buffer(host.array, host.address, mapped=True)
    address = driver.device_memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    return Buffer(driver.host_array(shape, dtype, mapped=False).array, address, mapped=False)
