"""Looks up the members of a TensorRT module that a build needs, and refuses missing ones by name.

Never skips a missing member: skipping a precision flag would ship a float engine as INT8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge.engine.releases import MODULES, Backend, Release
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Probe:
    """A TensorRT module of a known release."""

    trt: Any
    backend: Backend
    release: Release

    def member(self, enum: str, name: str) -> Any:
        """A member of an enum, by its name: values differ between releases.

        Raises:
            UsageError: this release does not export it.
        """
        return self.attribute(self.attribute(self.trt, enum), name, of=enum)

    def attribute(self, owner: Any, name: str, *, of: str = "the module") -> Any:
        """An attribute that this release must have.

        Raises:
            UsageError: it does not.
        """
        try:
            return getattr(owner, name)
        except AttributeError as error:
            raise UsageError(
                f"{MODULES[self.backend]} {self.release} cannot do what was asked",
                expected=f"{name} in {of}",
                found="not exported by this release",
                remedy="leave the option out, or use a release that has it: docs/engine.md",
            ) from error

    def bits(self, enum: str, names: tuple[str, ...]) -> int:
        """Members of an enum as a mask."""
        mask = 0
        for name in names:
            mask |= 1 << int(self.member(enum, name))
        return mask
