"""PTX modules of the simulated driver: what a real driver checks when it loads one.

Reads `.version`, `.target` and the entry points with their parameters; the PTX itself is never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from simulated_device.cuda_errors import CudaError

PTX_OF_DRIVER: dict[int, float] = {
    11080: 7.8,
    12000: 8.0,
    12010: 8.1,
    12020: 8.2,
    12030: 8.3,
    12040: 8.4,
    12050: 8.5,
    12060: 8.5,
    12070: 8.6,
    12080: 8.7,
    12090: 8.8,
    13000: 9.0,
    13010: 9.1,
    13020: 9.2,
    13050: 9.5,
}
"""CUDA version of a driver -> the newest PTX that it compiles, by the PTX ISA's release notes; 12.9
and 13.5 are what NVRTC of those versions writes here."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter of an entry point, by PTX."""

    size: int
    alignment: int
    is_pointer: bool


@dataclass(frozen=True, eq=False)
class Kernel:
    """An entry point of a module."""

    name: str
    context: Any
    parameters: tuple[Parameter, ...]

    def unpacked(self, packed: bytes) -> list[bytes]:
        """The arguments in one buffer, as CU_LAUNCH_PARAM_BUFFER passes them.

        Raises:
            CudaError: the buffer has another size than the parameters.
        """
        values, at = [], 0
        for parameter in self.parameters:
            at = -(-at // parameter.alignment) * parameter.alignment
            values.append(packed[at : at + parameter.size])
            at += parameter.size
        if at != len(packed):
            raise CudaError("INVALID_VALUE")
        return values


@dataclass(frozen=True, eq=False)
class KernelModule:
    context: Any
    kernels: dict[str, Kernel]


def load_ptx(image: bytes, context: Any, *, sm: int, driver: int) -> KernelModule:
    """The module of a PTX text, as this driver and GPU take it.

    Raises:
        CudaError: not PTX, of a newer PTX than the driver knows, or for a newer GPU.
    """
    text = image.rstrip(b"\0").decode("ascii", "replace")
    version = re.search(r"^\.version\s+(\d+\.\d+)", text, re.M)
    target = re.search(r"^\.target\s+sm_(\d+)([af]?)", text, re.M)
    if version is None or target is None:
        raise CudaError("INVALID_IMAGE")
    known = max((ptx for cuda, ptx in PTX_OF_DRIVER.items() if cuda <= driver), default=0.0)
    if float(version[1]) > known:
        raise CudaError("UNSUPPORTED_PTX_VERSION")
    wanted = int(target[1])
    if wanted > sm or (target[2] == "a" and wanted != sm):
        raise CudaError("NO_BINARY_FOR_GPU")
    kernels = {
        name: Kernel(
            name, context, tuple(map(_parameter, re.findall(r"\.param\s+([^,)]+)", listed)))
        )
        for name, listed in re.findall(r"\.entry\s+(\w+)\s*\(([^)]*)\)", text)
    }
    return KernelModule(context, kernels)


def _parameter(words: str) -> Parameter:
    aligned = re.search(r"\.align\s+(\d+)", words)
    array = re.search(r"\.b8\s+\w+\[(\d+)\]", words)
    if array is not None:
        return Parameter(int(array[1]), int(aligned[1]) if aligned else 1, is_pointer=False)
    bits = re.search(r"\.[usbf](\d+)", words)
    if bits is None:
        raise CudaError("INVALID_PTX")
    size = int(bits[1]) // 8
    return Parameter(size, size, is_pointer=bits[0][1] in "ub" and size == 8)
