"""Reads small files of a system below a root: /proc, /sys, /etc, /dev.

A root goes in, "/" on a device; texts, numbers and paths come out, and None for what is not there
or cannot be read: a thermal zone of a unit that is off answers EAGAIN. Never writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DeviceFiles:
    """The files of one system."""

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        """Where a file such as "/proc/meminfo" is."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str | None:
        """The file's text without the NULs that end texts of the device tree."""
        try:
            raw = self.path(name).read_bytes()
        except OSError:
            return None
        return raw.decode(errors="replace").rstrip("\0\n")

    def number(self, name: str) -> int | None:
        """The whole number that the file holds."""
        text = self.text(name)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def found(self, pattern: str) -> tuple[str, ...]:
        """Names of files or folders that match a pattern, without the root, in order."""
        paths = self.root.glob(pattern.lstrip("/"))
        return tuple(sorted(f"/{path.relative_to(self.root)}" for path in paths))
