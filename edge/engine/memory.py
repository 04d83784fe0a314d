"""How much memory a build may take: half of what is free, so that the board keeps running.

A Jetson shares its memory between CPU and GPU, and a build without limits takes all of an 8 GB one.
Reads the system; sets nothing.
"""

from __future__ import annotations

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
SMALLEST_BYTES, LARGEST_BYTES = 64 << 20, 4 << 30


def free_bytes(meminfo: Path = MEMINFO) -> int | None:
    """Memory that the system can give without swapping, or None where it does not say."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return None


def workspace_bytes(free: int | None) -> int:
    """Half of what is free, between 64 MiB and 4 GiB; the least where nothing is known."""
    return SMALLEST_BYTES if free is None else min(max(free // 2, SMALLEST_BYTES), LARGEST_BYTES)
