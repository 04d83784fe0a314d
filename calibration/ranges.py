"""`ranges.json`: the range of every observed tensor, and what it was taken from.

The same model, frames, preprocess and method give the same bytes. A file that belongs to another
model is refused. Never decides which tensors matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from calibration.histogram import Histogram
from calibration.methods import METHODS
from edge.contract.artifact import digest_json, read_json
from edge.contract.preprocess import PreprocessSpec
from firmware_bridge.errors import NotTrusted

SCHEMA = "brakepoint.ranges/1"


@dataclass(frozen=True)
class Range:
    """What one tensor holds, in its own units.

    Attributes:
        amax: the magnitude that INT8 covers, by the method; 0 for a tensor that is all zeros.
        low, high: the part of [-amax, amax] that occurs, 0 included: what an unsigned affine
            activation covers.
        lowest, highest: exact extremes seen.
        values: how many values were looked at.
    """

    amax: float
    low: float
    high: float
    lowest: float
    highest: float
    values: int


@dataclass(frozen=True)
class Ranges:
    """Ranges by tensor name, and the digests of what they were taken from."""

    tensors: Mapping[str, Range]
    model: str
    data: str
    preprocess: str
    method: str
    percentile: float | None
    frames: int

    def to_json(self) -> dict[str, Any]:
        """Canonical: tensors by name, no times, no paths."""
        return {
            "taken_from": {
                "model_sha256": self.model,
                "data": self.data,
                "preprocess": self.preprocess,
                "frames": self.frames,
            },
            "method": {"name": self.method, "percentile": self.percentile},
            "tensors": {name: asdict(self.tensors[name]) for name in sorted(self.tensors)},
        }


def preprocess_digest(spec: PreprocessSpec) -> str:
    """sha256 of how pictures become inputs, as hex."""
    return digest_json(asdict(spec))


def range_of(seen: Histogram, *, method: str, percentile: float) -> Range:
    """The range of one tensor by one of METHODS, rounded to float32."""
    amax = float(np.float32(METHODS[method](seen, percentile)))
    if not seen.total:
        return Range(amax=0.0, low=0.0, high=0.0, lowest=0.0, highest=0.0, values=0)
    return Range(
        amax=amax,
        low=max(min(seen.lowest, 0.0), -amax),
        high=min(max(seen.highest, 0.0), amax),
        lowest=seen.lowest,
        highest=seen.highest,
        values=seen.total,
    )


def read_ranges(path: Path, *, model: str) -> Ranges:
    """The ranges in a file, for the model with this sha256.

    Raises:
        Missing: no such file.
        NotTrusted: not such a file, or taken from another model.
    """
    document = read_json(path, SCHEMA)
    try:
        source, how = document["taken_from"], document["method"]
        ranges = Ranges(
            tensors={name: Range(**values) for name, values in document["tensors"].items()},
            model=source["model_sha256"],
            data=source["data"],
            preprocess=source["preprocess"],
            method=how["name"],
            percentile=how["percentile"],
            frames=source["frames"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotTrusted(
            f"{path} is not whole",
            expected=f"a file of schema {SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy="take the ranges again: brakepoint convert MISSION --out DIR",
        ) from error
    if ranges.model != model:
        raise NotTrusted(
            f"{path} belongs to another model",
            expected=f"ranges of the model with sha256 {model}",
            found=f"ranges of the model with sha256 {ranges.model}",
            remedy="take the ranges again: brakepoint convert MISSION --out DIR",
        )
    return ranges
