"""Finds the first GPU's compute capability through the CUDA driver. Allocates nothing."""

from __future__ import annotations

import ctypes

CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
"""CUdevice_attribute, CUDA driver API."""


def present_sm() -> int | None:
    """The compute capability of the first GPU, 87 for SM 8.7; None where there is no GPU."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, found = ctypes.c_int(), []
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    for attribute in (CAPABILITY_MAJOR, CAPABILITY_MINOR):
        value = ctypes.c_int()
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device):
            return None
        found.append(value.value)
    return found[0] * 10 + found[1]
