"""The table of CUDA drivers by name, and `open_driver`, which opens one on a GPU or says why not.

Never falls back to another driver or another GPU.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from edge.backends.cuda.driver import CudaDriver
from edge.backends.cuda.error_codes import After, CudaError
from edge.install import pip_install
from firmware_bridge.errors import DeviceFault, Missing, UsageError

MIB = 1 << 20


@dataclass(frozen=True)
class CudaRow:
    """One row.

    Attributes:
        module: its module, which has `made_for`, `driver_cuda`, `device_count` and the class.
        name: the class, called with the GPU's ordinal.
        package: what pip calls it.
        extra: the extra of this distribution that installs it.
        other_cuda: what to do where it was made for another CUDA than the driver's.
    """

    module: str
    name: str
    package: str
    extra: str
    other_cuda: str


CUDA_DRIVERS: dict[str, CudaRow] = {
    "pycuda": CudaRow(
        module="edge.backends.cuda.pycuda_driver",
        name="PycudaDriver",
        package="pycuda",
        extra="jetson",
        other_cuda="build it again beside this device's CUDA toolkit: "
        "pip install --force-reinstall --no-cache-dir --no-binary :all: --no-deps pycuda",
    ),
    "cuda-bindings": CudaRow(
        module="edge.backends.cuda.bindings_driver",
        name="BindingsDriver",
        package="cuda-bindings",
        extra="cuda",
        other_cuda="install the one for this driver: pip install 'cuda-bindings==MAJOR.*' with the "
        "driver's CUDA as MAJOR, 12 for JetPack 6 and 13 for JetPack 7",
    ),
}


def open_driver(cuda: str, gpu: int) -> CudaDriver:
    """The CUDA driver `cuda` on the GPU with ordinal `gpu`, its context current on this thread.

    Raises:
        UsageError: no such row, or no such GPU.
        Missing: the package is not there, or was made for another CUDA.
        DeviceFault: no driver of NVIDIA, no GPU, or one that does not let itself be opened.
    """
    row = CUDA_DRIVERS.get(cuda)
    if row is None:
        raise UsageError(
            f"no CUDA driver '{cuda}'",
            expected=", ".join(CUDA_DRIVERS),
            found=cuda,
            remedy="correct target.cuda in the mission",
        )
    module = _import(row)
    _require_same_cuda(row, module)
    _require_gpu(_count(module), gpu)
    try:
        driver: CudaDriver = getattr(module, row.name)(gpu)
    except CudaError as error:
        if error.code.after is After.OUT_OF_MEMORY:
            raise gpu_memory_full(f"opening GPU {gpu}", error) from error
        raise DeviceFault(
            f"GPU {gpu} cannot be opened",
            expected="a GPU that takes a new context",
            found=str(error),
            remedy="look at it: nvidia-smi (tegrastats on a Jetson); end what holds it, or restart "
            "the machine",
        ) from error
    return driver


def gpu_memory_full(
    doing: str, why: object, *, free_bytes: int | None = None, needed: str = "memory for it"
) -> DeviceFault:
    """The refusal where the GPU has no room."""
    free = "" if free_bytes is None else f"; {free_bytes // MIB} MiB are free"
    return DeviceFault(
        f"the GPU's memory is full: {doing}",
        expected=needed,
        found=f"{why}{free}",
        remedy="end what else uses the GPU (nvidia-smi; on a Jetson every process, since memory is "
        "shared), or run a smaller network",
    )


def _import(row: CudaRow) -> Any:
    try:
        return importlib.import_module(row.module)
    except ModuleNotFoundError as error:
        raise Missing(
            f"{row.package} is not installed",
            expected=f"the packages of the extra [{row.extra}]",
            found=str(error),
            remedy=pip_install(row.extra),
        ) from error
    except ImportError as error:
        if "libcuda.so" in str(error):
            raise _no_driver(error) from error
        raise Missing(
            f"{row.package} does not fit this machine's CUDA",
            expected="a build whose libraries and symbols are here",
            found=str(error),
            remedy=row.other_cuda,
        ) from error


def _require_same_cuda(row: CudaRow, module: Any) -> None:
    try:
        has, needs = module.driver_cuda(), module.made_for()
    except CudaError as error:
        raise _no_gpu(error) from error
    except RuntimeError as error:  # cuda-bindings finds no libcuda.so.1
        raise _no_driver(error) from error
    if needs[0] > has[0]:
        raise Missing(
            f"{row.package} was made for another CUDA",
            expected=f"CUDA {has[0]}.{has[1]} or older, which this machine's driver has",
            found=f"made for CUDA {needs[0]}.{needs[1]}",
            remedy=row.other_cuda,
        )


def _count(module: Any) -> int:
    try:
        count: int = module.device_count()
    except CudaError as error:
        raise _no_gpu(error) from error
    return count


def _require_gpu(count: int, gpu: int) -> None:
    if count == 0:
        raise _no_gpu("no GPU that CUDA can use")
    if gpu >= count:
        raise UsageError(
            f"no GPU {gpu}",
            expected=f"target.gpu from 0 to {count - 1}",
            found=f"target.gpu = {gpu}, and CUDA shows {count} here",
            remedy="correct target.gpu in the mission; of the slices of a GPU in MIG mode CUDA "
            "shows one to a process",
        )


def _no_driver(error: object) -> DeviceFault:
    return DeviceFault(
        "NVIDIA's driver is not installed",
        expected="libcuda.so.1",
        found=str(error),
        remedy="run this on the device; in a container give it the GPU: --runtime nvidia",
    )


def _no_gpu(error: object) -> DeviceFault:
    return DeviceFault(
        "there is no GPU here",
        expected="a GPU that CUDA shows to this process",
        found=str(error),
        remedy="look for it: nvidia-smi (on a Jetson /dev/nvhost-gpu and the groups video and "
        "render); a GPU in MIG mode needs an instance: nvidia-smi mig -cgi PROFILE -C",
    )
