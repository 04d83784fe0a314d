"""The request for a build: plain values, sent as JSON from the command to the building process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from edge.engine.releases import Backend

Shape = tuple[int, ...]


@dataclass(frozen=True)
class BuildRequest:
    """One build.

    Attributes:
        source: an ONNX file in the lowering that the release needs, or the folder of a conversion.
        plan, timing_out: where the process writes; the command moves the files into place.
        sm: target GPUs as 86 for SM 8.6; empty for the GPU of this machine.
        gpu: the CUDA driver's number of the GPU to build on, where none is named by `sm`.
        dla_core: a DLA core, or None for the GPU.
        workspace_bytes: the largest workspace; None derives it from the free memory.
        timing_cache: a timing cache to start from; None for none.
        profiles: by input, the smallest, usual and largest shape; for inputs of open size.
    """

    source: str
    plan: str
    backend: Backend
    sm: tuple[int, ...] = ()
    gpu: int = 0
    dla_core: int | None = None
    workspace_bytes: int | None = None
    timing_cache: str | None = None
    timing_out: str | None = None
    profiles: Mapping[str, tuple[Shape, Shape, Shape]] | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps({field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> BuildRequest:
        """The request of `to_json`."""
        values: dict[str, Any] = json.loads(text)
        values["sm"] = tuple(values["sm"])
        if values["profiles"]:
            values["profiles"] = {
                name: tuple(tuple(shape) for shape in shapes)
                for name, shapes in values["profiles"].items()
            }
        return cls(**values)
