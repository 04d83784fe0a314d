"""What goes into a wheelhouse: requirements by choice of CUDA and OpenCV, pins, our wheel.

Choices go in; a `Wanted` comes out. Never names an index: pip's own configuration does.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.install import PACKAGES
from firmware_bridge.errors import Missing

ROOT = Path(__file__).resolve().parents[2]

TESTS = ("pytest", "pytest-timeout", "hypothesis", "onnx")
"""What the conformance tests need beside the device half."""
CONFORMANCE = (
    "pyproject.toml",
    "tests/conftest.py",
    "tests/harness",
    "tests/edge/conftest.py",
    "tests/edge/backends",
    "tests/edge/samples",
    "examples/roadnet",
)
"""The conformance tests, and what they read."""
INSTALLER = ("pip",)
"""Runs from its wheel: JetPack's Python has neither pip nor ensurepip."""
BUILD = ("setuptools", "wheel")
"""What sdists are built with on the device."""


@dataclass(frozen=True)
class CudaRow:
    """How the device half reaches CUDA: an extra of the project, and what of it has no wheel."""

    extra: str
    sources: tuple[str, ...] = ()


CUDA: dict[str, CudaRow] = {
    "cuda-bindings": CudaRow("cuda"),
    "pycuda": CudaRow("jetson", ("pycuda",)),
}
OPENCV: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "wheel": (("camera",), ()),
    "jetpack": ((), ("simplejpeg>=1.7", "numpy<2")),
}
"""Choice -> extras and requirements. JetPack's OpenCV is compiled for NumPy 1."""
NUMPY_1 = ("numpy==1.26.4", "onnx==1.22.0", "ml_dtypes==0.5.4")
"""The pins that differ with it: the last releases that accept it."""


@dataclass(frozen=True)
class Wanted:
    """What goes into a wheelhouse.

    Attributes:
        roots: requirements of the device, and of its tests and tools.
        sources: names that have no wheel.
        pins: lines of constraints, with markers.
        project: this project's wheel, or None.
        conformance: whether the conformance tests are taken along.
        pip: more options for pip, such as an index.
    """

    roots: tuple[str, ...]
    sources: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    project: Path | None = None
    conformance: bool = False
    pip: tuple[str, ...] = ()
    choices: dict[str, Any] = field(default_factory=dict)


def run_pip(*arguments: str | Path) -> None:
    """Runs pip. Raises Missing, with its own last words, where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise Missing(
            f"pip {arguments[0]} found no answer",
            expected="every package, reached by pip's own configuration",
            found=" ".join(lines[-2:]) or f"exit code {done.returncode}",
            remedy="look at the network and the pins in constraints.txt, then run this again",
        )


def project_wheel(folder: Path) -> Path:
    """This project's wheel, written into `folder`; the same code gives the same bytes."""
    copy_packages(folder / "checkout")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    run_pip("wheel", folder / "checkout", *options)
    (built,) = folder.glob("*.whl")
    (folder / "same").mkdir()
    return without_times(built, folder / "same" / built.name)


def copy_packages(folder: Path) -> None:
    """What the wheel is built from, into a folder where a build may leave what it likes."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)


def without_times(wheel: Path, out: Path) -> Path:
    """The wheel with its files in order and without their times and modes of this machine."""
    with zipfile.ZipFile(wheel) as read, zipfile.ZipFile(out, "w") as write:
        for name in sorted(read.namelist()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            write.writestr(entry, read.read(name))
    return out


def copy_conformance(folder: Path) -> None:
    """The conformance tests in the folders of the checkout, without what runs leave there."""
    for name in CONFORMANCE:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "out", "runs", "weights.*", "*.pt")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def pins() -> tuple[str, ...]:
    """The lines of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def wanted_by(cuda: str, opencv: str, *, project: Path, test_tools: bool) -> Wanted:
    """The device half with these choices."""
    row, (camera, beside) = CUDA[cuda], OPENCV[opencv]
    extras = ",".join((*camera, "cpu", row.extra))
    roots = [f"brakepoint[{extras}]", *beside, *INSTALLER]
    roots += [*(BUILD if row.sources else ()), *(TESTS if test_tools else ())]
    held = pins()
    if opencv == "jetpack":
        names = tuple(f"{pin.split('==')[0]}==" for pin in NUMPY_1)
        held = (*(pin for pin in held if not pin.startswith(names)), *NUMPY_1)
    return Wanted(
        tuple(roots),
        row.sources,
        held,
        project,
        conformance=test_tools,
        choices={"cuda": cuda, "opencv": opencv},
    )
