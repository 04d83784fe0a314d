"""Times an engine with NVIDIA's trtexec, as a peer of our own session.

An engine goes in; medians in ms come out. trtexec prints them in the same lines from TensorRT 8.6
to 10: "Latency: min = 1.02 ms, ... median = 1.05 ms, ..." with copies, "GPU Compute Time:" without.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge.qualification.device.files import DeviceFiles
from firmware_bridge.errors import DeviceFault

INSTALLED = "/usr/src/tensorrt/bin/trtexec"
"""Where JetPack puts it; it is not on the path."""

LATENCY = re.compile(r"(?<!H2D )(?<!D2H )\bLatency: min = .*?\bmedian = ([\d.]+) ms")
COMPUTE = re.compile(r"GPU Compute Time: min = .*?\bmedian = ([\d.]+) ms")

WARM_UP_MS, SECONDS, PATIENCE_S = 500, 5, 120


@dataclass(frozen=True)
class TrtexecTiming:
    """Medians in ms: of an inference with its copies, and of the GPU's work alone."""

    latency_ms: float
    compute_ms: float


def find_trtexec(files: DeviceFiles) -> str | None:
    """Its path; None where it is not here."""
    installed = files.path(INSTALLED)
    return str(installed) if installed.is_file() else shutil.which("trtexec")


def time_engine(trtexec: str, plan: Path, *, gpu: int = 0) -> TrtexecTiming:
    """Load an engine into trtexec on the GPU of this ordinal and time it.

    Raises:
        DeviceFault: it failed, or its words are not known.
    """
    command = [trtexec, f"--loadEngine={plan}", f"--device={gpu}"]
    command += [f"--warmUp={WARM_UP_MS}", f"--duration={SECONDS}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        raise _fault(plan, f"no end within {PATIENCE_S} s") from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
        raise _fault(plan, lines[0] if lines else f"exit code {done.returncode}")
    return read_timing(done.stdout, plan)


def read_timing(text: str, plan: Path) -> TrtexecTiming:
    """The medians in trtexec's output. Raises DeviceFault where there are none."""
    latency, compute = LATENCY.search(text), COMPUTE.search(text)
    if latency is None or compute is None:
        raise _fault(plan, "output without its summary of latency")
    return TrtexecTiming(float(latency[1]), float(compute[1]))


def _fault(plan: Path, found: str) -> DeviceFault:
    return DeviceFault(
        f"trtexec could not time {plan}",
        expected="its performance summary",
        found=found,
        remedy=f"run it by hand: {INSTALLED} --loadEngine={plan}",
    )
