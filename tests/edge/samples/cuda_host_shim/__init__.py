"""Compiles edge/backends/cuda/preprocess.cu for the host and launches its entry points there.

The same text that NVRTC compiles on a device, as C11 by `cc` with every warning an error. Pointers
are addresses in this process. Shows what the kernel computes and, sanitized, which addresses it
touches; shows nothing of races, registers or time, and nothing of NVIDIA's compiler.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
SAMPLES = HERE.parent
KERNELS = HERE.parents[3] / "edge" / "backends" / "cuda"
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
COMPLAINTS = {1: "no such entry point", 2: "impossible grid or block", 3: "params of another size"}


class _Field(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("offset", ctypes.c_size_t),
        ("size", ctypes.c_size_t),
    )


def build(folder: Path, *, sanitized: bool = False) -> Path:
    """The kernels as a shared library in `folder`.

    A sanitized one loads only into a process that began with `sanitizer_runtime()` in LD_PRELOAD.
    """
    library = folder / ("libpreprocess-sanitized.so" if sanitized else "libpreprocess.so")
    # CUDA's intrinsics round each operation; a host compiler may join two unless told not to.
    command = ["cc", "-x", "c", "-std=c11", *WARNINGS, "-ffp-contract=off", "-fPIC", "-shared"]
    command += ["-O1", *SANITIZE] if sanitized else ["-O2"]
    command += [f"-I{KERNELS}", f"-I{HERE}", str(HERE / "launch.c"), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return library


def sanitizer_runtime() -> Path:
    """The library that a process must preload to load a sanitized build."""
    command = ["cc", "-print-file-name=libasan.so"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return Path(done.stdout.strip())


class HostKernels:
    """The entry points of a library that `build` made. Any thread may launch."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))

    def launch(
        self,
        entry: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        pointers: tuple[int, int],
        params: bytes,
    ) -> None:
        """Runs every thread of the grid, one after the other.

        Args:
            entry, grid, block, params: as `edge.backends.cuda.preprocess_kernel.KernelLaunch` has.
            pointers: addresses of the picture and of the network input.

        Raises:
            ValueError: an entry, a geometry or params that cuLaunchKernel would refuse too.
        """
        code = self._library.shim_launch(
            entry.encode(),
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            *map(ctypes.c_void_p, pointers),
            params,
            ctypes.c_size_t(len(params)),
        )
        if code:
            raise ValueError(f"{entry} {grid} {block}: {COMPLAINTS[code]}")

    def params_layout(self) -> tuple[list[tuple[str, int, int]], int]:
        """Name, offset and size of each field of the params in C, and the size of all."""
        count = ctypes.c_size_t.in_dll(self._library, "shim_field_count").value
        size = ctypes.c_size_t.in_dll(self._library, "shim_params_size").value
        fields = (_Field * count).in_dll(self._library, "shim_fields")
        return [(field.name.decode(), field.offset, field.size) for field in fields], size
