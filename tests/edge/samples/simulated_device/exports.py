"""What TensorRT releases export, and `Strict`, the base of every simulated TensorRT object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simulated_device.cuda_errors import NotSimulated

API = Path(__file__).parents[1] / "tensorrt_api"
RELEASES = ("tensorrt-8.6.1", "tensorrt-10.3.0", "tensorrt-10.13.2", "tensorrt-11.4.0")
RTX = "tensorrt_rtx-1.7.1"

SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
"""Of ILogger, by number."""


class Strict:
    """Has the attributes that its release exports, and no other.

    An export that the simulation lacks raises NotSimulated, so that no code takes it for missing.
    """

    _exports: frozenset[str] = frozenset()
    _trt: Any

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_") or _is_derived(type(self)):
            return super().__getattribute__(name)
        if name not in type(self)._exports:
            raise AttributeError(f"{type(self).__name__} of this release has no {name}")
        try:
            return super().__getattribute__(name)
        except AttributeError as error:
            raise NotSimulated(f"{type(self).__name__}.{name}") from error

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_") or _is_derived(type(self)):
            super().__setattr__(name, value)
            return
        if name not in type(self)._exports:
            raise AttributeError(f"{type(self).__name__} of this release has no {name}")
        self._told(name, value)
        super().__setattr__(name, value)

    def _told(self, what: str, *values: object) -> None:
        self._trt.calls.append((type(self).__name__, what, *values))


def _is_derived(kind: type) -> bool:
    """Whether code under test derived the class, such as its logger: it may add what it likes."""
    return "_exports" not in kind.__dict__
