"""The structures, requests and constants of Video4Linux are those of the kernel's own header."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.runtime.sources.v4l2 import abi

STRUCTURES = {
    "v4l2_capability": abi.Capability,
    "v4l2_fmtdesc": abi.FormatDescription,
    "v4l2_pix_format": abi.PixelLayout,
    "v4l2_format": abi.Format,
    "v4l2_fract": abi.Fraction,
    "v4l2_captureparm": abi.CaptureParameters,
    "v4l2_streamparm": abi.StreamParameters,
    "v4l2_requestbuffers": abi.RequestBuffers,
    "timeval": abi.TimeValue,
    "v4l2_timecode": abi.TimeCode,
    "v4l2_buffer": abi.Buffer,
}
NEWER = {"v4l2_requestbuffers": {"flags"}}
"""Fields that headers before Linux 6.0 count as reserved."""

NUMBERS = {name: value for name, value in vars(abi).items() if name.startswith(("V4L2_", "VIDIOC"))}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What a C program says of linux/videodev2.h."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler with the kernel's headers: scripts/setup installs both")
    lines = [f'print("sizeof {name}", sizeof(struct {name}));' for name in STRUCTURES]
    for name, structure in STRUCTURES.items():
        for field in structure._fields_:
            if field[0] not in NEWER.get(name, set()) | {"reserved", "request_fd"}:
                lines.append(f'print("{name}.{field[0]}", offsetof(struct {name}, {field[0]}));')
    lines += [f'print("{name}", {name});' for name in NUMBERS]
    folder = tmp_path_factory.mktemp("abi")
    (folder / "abi.c").write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <sys/time.h>\n"
        "#include <linux/videodev2.h>\n"
        "static void print(const char *name, unsigned long value)\n"
        '{ printf("%s=%lu\\n", name, value); }\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    program = folder / "abi"
    subprocess.run([compiler, "-o", program, folder / "abi.c"], check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in (line.split("=") for line in said.splitlines())}


def test_every_size_and_offset_is_the_kernels(header: dict[str, int]) -> None:
    ours = {f"sizeof {name}": ctypes.sizeof(one) for name, one in STRUCTURES.items()}
    for name, structure in STRUCTURES.items():
        for field in structure._fields_:
            if f"{name}.{field[0]}" in header:
                ours[f"{name}.{field[0]}"] = getattr(structure, field[0]).offset
    assert len(ours) > 70
    assert ours == {name: header[name] for name in ours}


def test_every_request_and_constant_is_the_kernels(header: dict[str, int]) -> None:
    assert len(NUMBERS) > 20
    assert {name: header[name] for name in NUMBERS} == NUMBERS
