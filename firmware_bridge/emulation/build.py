"""Builds the C firmware for this computer with make and cc, once for each state of its sources.

A Makefile target goes in; the path of the built program comes out. The build folder lies outside
the package and is named by a digest of sources and compiler; it appears whole or not at all, also
when two programs build at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge.errors import DeviceFault, Missing

FIRMWARE = Path(__file__).parent.parent / "firmware"
BUILD_TIMEOUT_S = 300.0
_BINARIES = {
    "host": "brakepoint-mcu",
    "host-sanitized": "brakepoint-mcu-sanitized",
    "probe": "probe",
    "coverage": "probe-coverage",
    "table": "core-table",
}


def default_build_folder() -> Path:
    """Where builds go unless the caller names another folder."""
    return Path.home() / ".cache" / "brakepoint" / "firmware"


def build_firmware(build_folder: Path, *, target: str = "host") -> Path:
    """The built program of a Makefile target, built if these sources have not been built yet.

    Raises:
        Missing: make or a C compiler is not installed.
        DeviceFault: the compiler refused the sources.
    """
    compiler = shutil.which("cc")
    for tool, found in (("make", shutil.which("make")), ("cc", compiler)):
        if found is None:
            raise Missing(
                f"the firmware cannot be built: {tool} is not installed",
                expected="make and a C compiler",
                found=f"no {tool} in PATH",
                remedy="apt-get install -y --no-install-recommends make gcc libc6-dev",
            )
    assert compiler is not None
    folder = build_folder / f"{target}-{_digest(compiler)}"
    program = folder / _BINARIES[target]
    if program.exists():
        return program
    try:
        with _exclusive(build_folder / f"{folder.name}.lock"):
            if not program.exists():
                _make(target, folder)
    except OSError as error:
        raise Missing(
            f"the firmware cannot be built in {build_folder}",
            expected="a folder that can be written",
            found=error.strerror or str(error),
            remedy="name another build folder, or correct its permissions",
        ) from error
    return program


def _make(target: str, folder: Path) -> None:
    """Build into `folder`, which appears only when the build is complete."""
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished.mkdir()
    makefile = FIRMWARE / "Makefile"
    try:
        built = subprocess.run(
            ["make", "-f", str(makefile), f"BUILD={unfinished}", "CC=cc", target],
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
        )
        complaint = built.stderr.strip()[-2000:] if built.returncode else ""
    except subprocess.TimeoutExpired:
        complaint = f"not done after {BUILD_TIMEOUT_S:g} s"
    if complaint:
        raise DeviceFault(
            "the firmware does not compile",
            expected="a C11 compiler: gcc 10 or newer, clang 12 or newer",
            found=complaint,
            remedy=f"look at: make -f {makefile} BUILD=/tmp/firmware {target}",
        )
    unfinished.rename(folder)


def _digest(compiler: str) -> str:
    """A digest of every source file and of the compiler's version."""
    sha = hashlib.sha256()
    version = subprocess.run(
        [compiler, "--version"], check=False, capture_output=True, timeout=30
    ).stdout
    sha.update(version)
    for path in sorted(FIRMWARE.rglob("*")):
        if path.is_file():
            sha.update(f"{path.relative_to(FIRMWARE)}\0".encode() + path.read_bytes() + b"\0")
    return sha.hexdigest()[:16]


@contextlib.contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Hold `lock` against other processes; it is free again even if this one is killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
