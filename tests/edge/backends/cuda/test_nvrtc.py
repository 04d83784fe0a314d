"""NVIDIA's runtime compiler: the preprocess kernel to PTX without a GPU, and what is refused."""

from __future__ import annotations

import ctypes
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from patience import PATIENCE_S

from edge.backends.cuda.nvrtc import Compiler, NotLoaded, choose_compiler, find_compilers
from edge.backends.cuda.preprocess_kernel import SOURCE, PreprocessParams
from edge.perception.pixel_formats import PixelFormat
from firmware_bridge.errors import DeviceFault, Missing

NEWEST = (99, 0)
"""The CUDA of a driver that reads the PTX of every compiler."""


@functools.cache
def here() -> tuple[Compiler, ...]:
    """The compilers of this machine; the development environment installs two as wheels."""
    return tuple(one for one in find_compilers() if isinstance(one, Compiler))


def of_cuda(major: int) -> Compiler:
    return next(compiler for compiler in here() if compiler.version[0] == major)


@pytest.mark.parametrize(
    ("sm", "cuda"), [(72, 12), (87, 12), (87, 13), (89, 13), (101, 12), (110, 13)]
)
def test_the_kernel_compiles_to_ptx(sm: int, cuda: int) -> None:
    ptx = choose_compiler([of_cuda(cuda)], sm, driver_cuda=NEWEST).compile_to_ptx(
        SOURCE.read_text(), name=SOURCE.name, sm=sm
    )
    assert re.findall(r"^\.target (\S+)", ptx, re.M) == [f"sm_{sm}"]
    entries = re.findall(r"^\.visible \.entry (\w+)\(", ptx, re.M)
    assert sorted(entries) == sorted(f"preprocess_{name}" for name in get_args(PixelFormat))
    # The device compiler lays the struct out in as many bytes as Python packs.
    size = ctypes.sizeof(PreprocessParams)
    by_value = re.findall(r"\.param \.align (\d+) \.b8 \w+_param_2\[(\d+)\]", ptx)
    assert by_value == [("8", str(size))] * 3
    # Nothing spills to memory, and no product and sum are rounded as one.
    assert ".local" not in ptx
    assert re.findall(r"\bfma\.rn\.f(?:32|64)\b", ptx) == []


@pytest.mark.parametrize(("sm", "cuda", "other"), [(72, 13, 12), (101, 13, 12), (110, 12, 13)])
def test_a_compiler_that_does_not_know_the_gpu_is_passed_over_or_refused(
    sm: int, cuda: int, other: int
) -> None:
    unfit = of_cuda(cuda)
    assert choose_compiler([unfit, of_cuda(other)], sm, driver_cuda=NEWEST) == of_cuda(other)
    with pytest.raises(Missing, match=rf"on SM {sm // 10}\.{sm % 10} under CUDA") as refused:
        choose_compiler([unfit], sm, driver_cuda=NEWEST)
    assert f"{unfit} knows SM" in refused.value.found
    assert "pip install nvidia-cuda-nvrtc" in refused.value.remedy
    with pytest.raises(DeviceFault, match="does not compile") as refused_too:
        unfit.compile_to_ptx(SOURCE.read_text(), name=SOURCE.name, sm=sm)
    assert "--gpu-architecture" in refused_too.value.found


def test_a_compiler_newer_than_the_driver_is_passed_over() -> None:
    major, minor = here()[0].version
    older = choose_compiler(here(), 87, driver_cuda=(major, minor - 1))
    assert older.version <= (major, minor - 1), "of the same major too"
    assert here()[0].version > (12, 9)
    assert choose_compiler(here(), 87, driver_cuda=(12, 9)).version <= (12, 9)
    with pytest.raises(Missing, match=r"SM 8\.7 under CUDA 11\.8") as refused:
        choose_compiler(here(), 87, driver_cuda=(11, 8))
    assert f"{here()[0]} is newer than the driver" in refused.value.found


def test_the_compilers_own_words_are_kept() -> None:
    with pytest.raises(DeviceFault, match=r"broken\.cu does not compile") as refused:
        of_cuda(13).compile_to_ptx("__global__ void f() { oops }", name="broken.cu", sm=87)
    assert 'broken.cu(1): error: identifier "oops" is undefined' in refused.value.found


def test_without_a_compiler_the_refusal_says_what_is_not_there() -> None:
    with pytest.raises(Missing) as refused:
        choose_compiler([NotLoaded("libnvrtc.so.13", "cannot open")], 87, driver_cuda=NEWEST)
    assert refused.value.found == "libnvrtc.so.13: cannot open"


def test_a_damaged_library_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "libnvrtc.so.13").write_bytes(b"no library")
    code = (
        "from edge.backends.cuda.nvrtc import choose_compiler, find_compilers\n"
        "found = list(find_compilers())\n"
        "print(found[0].reason)\n"
        "print(choose_compiler(found, 110, driver_cuda=(13, 9)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    reason, chosen = done.stdout.splitlines()
    assert str(tmp_path / "libnvrtc.so.13") in reason
    assert chosen == str(of_cuda(13))
