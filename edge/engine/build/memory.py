"""Limits the memory of a build to half of the free memory, so that the board keeps running.

A Jetson shares its memory between CPU and GPU, and a build without a limit uses all of an 8 GB one.
Also refuses a network whose minimum does not fit. Reads /proc/meminfo; sets nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.errors import UsageError

MEMINFO = Path("/proc/meminfo")
SMALLEST_BYTES, LARGEST_BYTES = 64 << 20, 4 << 30


def free_bytes(meminfo: Path = MEMINFO) -> int | None:
    """Bytes that the system can give without swapping, or None where it does not state them."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def workspace_bytes(free: int | None) -> int:
    """Half of the free bytes, between 64 MiB and 4 GiB; 64 MiB where `free` is None."""
    return SMALLEST_BYTES if free is None else min(max(free // 2, SMALLEST_BYTES), LARGEST_BYTES)


@dataclass(frozen=True)
class MemoryNeed:
    """The least memory of any build of a network, in bytes: its weights, and the inputs and outputs
    of its largest layer at one byte a value."""

    weights: int
    layer: str
    values: int


def require_memory(needed: MemoryNeed, available: int | None, *, model: str) -> None:
    """Refuse a network that cannot fit into `available` bytes, shared by CPU and GPU as on Jetson.

    Raises:
        UsageError: it does not fit; names its largest layer.
    """
    total = needed.weights + needed.values
    if available is not None and total > available:
        raise UsageError(
            f"{model} needs more memory than there is",
            expected=f"at least {total / 1e6:.0f} MB: {needed.weights / 1e6:.0f} of weights, and "
            f"{needed.values / 1e6:.0f} for what '{needed.layer}' reads and makes",
            found=f"{available / 1e6:.0f} MB",
            remedy="close what else runs, or take a smaller model or model.input in the mission",
        )
