"""Reads a GPU's name, compute capability and size through the CUDA driver, and chooses one of many.

Reading allocates nothing.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76
"""CUdevice_attribute, CUDA driver API."""
NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        name: as the driver calls it. Every Jetson Orin is "Orin": see `multiprocessors`.
        sm: compute capability, 87 for SM 8.7.
        multiprocessors: tells apart the models of one compute capability: a Jetson AGX Orin has
            more than an Orin NX.
    """

    name: str
    sm: int
    multiprocessors: int

    @property
    def words(self) -> str:
        """ "Orin (SM 8.7, 16 multiprocessors)"."""
        return f"{self.name} (SM {dotted(self.sm)}, {self.multiprocessors} multiprocessors)"


def dotted(sm: int) -> str:
    """A compute capability as NVIDIA writes it: 87 -> "8.7", 120 -> "12.0"."""
    return f"{sm // 10}.{sm % 10}"


def present_gpu(ordinal: int = 0) -> Gpu | None:
    """The GPU of this ordinal, or None where the driver finds none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, name = ctypes.c_int(), ctypes.create_string_buffer(NAME_BYTES)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), ordinal):
        return None
    if driver.cuDeviceGetName(name, NAME_BYTES, device):
        return None
    numbers: list[int] = []
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSORS):
        value = _attribute(driver, device, attribute)
        if value is None:
            return None
        numbers.append(value)
    major, minor, multiprocessors = numbers
    return Gpu(name.value.decode(errors="replace"), major * 10 + minor, multiprocessors)


def present_sm(ordinal: int = 0) -> int | None:
    """The compute capability of a GPU, 87 for SM 8.7; None where there is none."""
    gpu = present_gpu(ordinal)
    return None if gpu is None else gpu.sm


def make_current(ordinal: int) -> bool:
    """Make a GPU the one that CUDA's runtime, and TensorRT with it, use in this thread; False where
    the driver refuses."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    device, context = ctypes.c_int(), ctypes.c_void_p()
    return not (
        driver.cuInit(0)
        or driver.cuDeviceGet(ctypes.byref(device), ordinal)
        or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
        or driver.cuCtxSetCurrent(context)
    )


def _attribute(driver: Any, device: ctypes.c_int, attribute: int) -> int | None:
    value = ctypes.c_int()
    if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
        return None
    return value.value
