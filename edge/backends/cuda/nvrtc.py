"""Compiles CUDA C++ to PTX by NVIDIA's runtime compiler, without a GPU and without a toolkit.

Source text and a compute capability go in; PTX text comes out. Finds the libnvrtc that JetPack or a
CUDA toolkit installed, or that of a wheel (nvidia-cuda-nvrtc, nvidia-cuda-nvrtc-cu12). Keeps
nothing: the caller keeps PTX under a digest. Never compiles for another GPU than the one named.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from firmware_bridge.errors import DeviceFault, Missing

SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
"""Majors of CUDA whose compiler is known to take the kernel; JetPack 6 has 12, JetPack 7 has 13."""

TOOLKITS = (Path("/usr/local/cuda/lib64"), Path("/usr/local/cuda/targets/aarch64-linux/lib"))
"""Where toolkits lie that the loader does not search."""

REMEDY = (
    "install the compiler of the driver's CUDA or an older one: apt-get install cuda-nvrtc-12-6 "
    "(JetPack 6) or cuda-nvrtc-13-0 (JetPack 7); elsewhere pip install nvidia-cuda-nvrtc-cu12 "
    "(CUDA 12) or nvidia-cuda-nvrtc (CUDA 13)"
)


@dataclass(frozen=True)
class Compiler:
    """One libnvrtc of this machine.

    Attributes:
        library: its path, or the name by which the loader found it.
        version: of CUDA, (12, 9).
        capabilities: the compute capabilities that it knows, 87 for SM 8.7.
    """

    library: str
    version: tuple[int, int]
    capabilities: tuple[int, ...]
    _calls: ctypes.CDLL = field(repr=False, compare=False)

    def compile_to_ptx(self, source: str, *, name: str, sm: int) -> str:
        """PTX for `sm`; `name` stands for the source in the compiler's messages.

        Raises:
            DeviceFault: the compiler does not know `sm` or does not take the source; with its log.
        """
        program = ctypes.c_void_p()
        code = self._calls.nvrtcCreateProgram(
            ctypes.byref(program), source.encode(), name.encode(), 0, None, None
        )
        if code:
            raise self._refused(name, sm, code, "")
        try:
            option = f"--gpu-architecture=compute_{sm}".encode()
            code = self._calls.nvrtcCompileProgram(program, 1, (ctypes.c_char_p * 1)(option))
            if code:
                raise self._refused(name, sm, code, self._text(program, "ProgramLog")[1])
            code, ptx = self._text(program, "PTX")
            if code:
                raise self._refused(name, sm, code, "")
            return ptx
        finally:
            self._calls.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, program: ctypes.c_void_p, what: str) -> tuple[int, str]:
        """NVRTC's result code and the text of a program: "PTX" or "ProgramLog"."""
        size = ctypes.c_size_t()
        code: int = self._calls[f"nvrtcGet{what}Size"](program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        code = code or self._calls[f"nvrtcGet{what}"](program, text)
        return code, text.value.decode(errors="replace")

    def _refused(self, name: str, sm: int, code: int, log: str) -> DeviceFault:
        error: bytes = self._calls.nvrtcGetErrorString(code)
        return DeviceFault(
            f"{name} does not compile for SM {in_words(sm)}",
            expected=f"source that {self} takes",
            found=f"{error.decode()}\n{log.strip()[-2000:]}".strip(),
            remedy=REMEDY,
        )

    def __str__(self) -> str:
        return f"NVRTC {self.version[0]}.{self.version[1]} ({self.library})"


@dataclass(frozen=True)
class NotLoaded:
    """A libnvrtc that is not there or does not load, and why."""

    library: str
    reason: str


def in_words(sm: int) -> str:
    """87 as 8.7, 110 as 11.0."""
    return f"{sm // 10}.{sm % 10}"


def find_compilers() -> Iterator[Compiler | NotLoaded]:
    """Every place of a libnvrtc: the system's first, then the toolkit's, then the wheels'.

    Each is loaded when it is asked for: one takes 100 to 140 MB of address space.
    """
    return map(_load, _candidates())


def choose_compiler(
    found: Iterable[Compiler | NotLoaded], sm: int, *, driver_cuda: tuple[int, int]
) -> Compiler:
    """The first compiler that knows `sm` and is no newer than the driver, which reads its PTX.

    Args:
        found: what `find_compilers` finds.
        sm: compute capability of the GPU, 87 for SM 8.7.
        driver_cuda: the CUDA of the driver, (12, 6): a newer compiler's PTX is newer than it reads.

    Raises:
        Missing: there is none.
    """
    others = []
    for compiler in found:
        if isinstance(compiler, NotLoaded):
            others.append(f"{compiler.library}: {compiler.reason}")
        elif compiler.version > driver_cuda:
            others.append(f"{compiler} is newer than the driver")
        elif sm not in compiler.capabilities:
            others.append(f"{compiler} knows SM {', '.join(map(in_words, compiler.capabilities))}")
        else:
            return compiler
    driver = f"{driver_cuda[0]}.{driver_cuda[1]}"
    raise Missing(
        f"no compiler for the preprocess kernel on SM {in_words(sm)} under CUDA {driver}",
        expected=f"one of {', '.join(SONAMES)} up to CUDA {driver} that knows SM {in_words(sm)}",
        found="; ".join(others) or "none",
        remedy=REMEDY,
    )


def _candidates() -> Iterator[str]:
    yield from SONAMES
    wheels = importlib.util.find_spec("nvidia")
    places = (wheels.submodule_search_locations or []) if wheels else []
    folders = [*TOOLKITS, *(lib for place in places for lib in sorted(Path(place).glob("*/lib")))]
    for soname in SONAMES:
        yield from (str(folder / soname) for folder in folders if (folder / soname).is_file())


def _load(library: str) -> Compiler | NotLoaded:
    major, minor, count = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    try:
        calls = ctypes.CDLL(library)
        calls.nvrtcGetErrorString.restype = ctypes.c_char_p
        code = calls.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        code = code or calls.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        capabilities = (ctypes.c_int * count.value)()
        code = code or calls.nvrtcGetSupportedArchs(capabilities)
    except (OSError, AttributeError) as error:
        return NotLoaded(library, str(error))
    if code:
        return NotLoaded(library, calls.nvrtcGetErrorString(code).decode())
    return Compiler(library, (major.value, minor.value), tuple(capabilities), calls)
