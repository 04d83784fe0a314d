"""Writes, reads and compares `ranges.json`: the range of every observed tensor, and its sources.

In: histograms or a file. Out: `Ranges`. The same model, frames, preprocess and method give the same
bytes. A file of another model is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from calibration.observation.histogram import Histogram
from calibration.ranges.methods.table import METHODS
from edge.contract.artifact import read_json
from firmware_bridge.errors import NotTrusted

SCHEMA = "brakepoint.ranges/1"
NAME = "ranges.json"
AGAIN = "take the ranges again: brakepoint calibrate MISSION --out DIR"


@dataclass(frozen=True)
class Range:
    """The range of one tensor, in its own units.

    Attributes:
        amax: the magnitude that INT8 covers, by the method; 0 for a tensor that is all zeros.
        low, high: the part of [-amax, amax] that occurs, with 0: the range of an unsigned affine
            activation.
        lowest, highest: exact extremes.
        values: number of values counted.
    """

    amax: float
    low: float
    high: float
    lowest: float
    highest: float
    values: int


@dataclass(frozen=True)
class Ranges:
    """Ranges by tensor name, and the digests of their sources.

    Attributes:
        model, data, preprocess: sha256 as hex: of the float graph, of the frames' names and
            contents, of the preprocess.
        method: one of METHODS, or "auto": then `method_of` has the method of each tensor.
        percentile: of the method; None where it uses none.
        frames: names of the frames, sorted.
    """

    tensors: Mapping[str, Range]
    model: str
    data: str
    preprocess: str
    method: str
    percentile: float | None
    frames: tuple[str, ...]
    method_of: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The canonical form: tensors by name, no times, no paths."""
        return {
            "taken_from": {
                "model_sha256": self.model,
                "data": self.data,
                "preprocess": self.preprocess,
                "frames": list(self.frames),
            },
            "method": {
                "name": self.method,
                "percentile": self.percentile,
                "chosen": dict(sorted(self.method_of.items())),
            },
            "tensors": {name: asdict(self.tensors[name]) for name in sorted(self.tensors)},
        }


def range_of(histogram: Histogram, *, method: str, percentile: float) -> Range:
    """The range of one tensor by one of METHODS."""
    return range_up_to(METHODS[method](histogram, percentile), histogram)


def range_up_to(amax: float, histogram: Histogram) -> Range:
    """The range of one tensor whose `amax` is known, rounded to float32."""
    amax = float(np.float32(amax))
    if not histogram.total:
        return Range(amax=0.0, low=0.0, high=0.0, lowest=0.0, highest=0.0, values=0)
    return Range(
        amax=amax,
        low=max(min(histogram.lowest, 0.0), -amax),
        high=min(max(histogram.highest, 0.0), amax),
        lowest=histogram.lowest,
        highest=histogram.highest,
        values=histogram.total,
    )


def read_ranges(path: Path, *, model: str | None) -> Ranges:
    """The ranges in a file, of the model with this sha256; None accepts any model.

    Raises:
        Missing: no such file.
        NotTrusted: not a file of ranges, or of another model.
    """
    ranges = ranges_of(read_json(path, SCHEMA), source=str(path))
    if model is not None and ranges.model != model:
        raise NotTrusted(
            f"{path} belongs to another model",
            expected=f"ranges of the model with sha256 {model}",
            found=f"ranges of the model with sha256 {ranges.model}",
            remedy=AGAIN,
        )
    return ranges


def ranges_of(document: Mapping[str, Any], *, source: str) -> Ranges:
    """The ranges in the plain values of a file; `source` names it in messages.

    Raises:
        NotTrusted: they are not whole.
    """
    try:
        origin, how = document["taken_from"], document["method"]
        return Ranges(
            tensors={name: Range(**values) for name, values in document["tensors"].items()},
            model=origin["model_sha256"],
            data=origin["data"],
            preprocess=origin["preprocess"],
            method=how["name"],
            percentile=how["percentile"],
            frames=tuple(origin["frames"]),
            method_of=how["chosen"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise NotTrusted(
            f"{source} is not whole",
            expected=f"a file of schema {SCHEMA}",
            found=f"{type(error).__name__}: {error}",
            remedy=AGAIN,
        ) from error


def require_fresh(ranges: Ranges, asked: Ranges, *, source: str) -> None:
    """Refuses ranges whose sources differ from those of `asked`.

    Compared are model, preprocess, data, method and percentile, on which ranges depend.

    Raises:
        NotTrusted: they differ, naming every difference.
    """
    names = ("model", "preprocess", "data", "method", "percentile")
    stale = [name for name in names if getattr(ranges, name) != getattr(asked, name)]
    if stale:
        raise NotTrusted(
            f"{source} is stale",
            expected="; ".join(f"{name} {getattr(asked, name)}" for name in stale),
            found="; ".join(f"{name} {getattr(ranges, name)}" for name in stale),
            remedy=AGAIN,
        )


@dataclass(frozen=True)
class Difference:
    """One tensor's amax in two files; None where a file does not have it."""

    tensor: str
    one: float | None
    other: float | None

    @property
    def change(self) -> float | None:
        """(other - one) / one; None where one of them is missing or `one` is 0."""
        if self.one is None or self.other is None or self.one <= 0.0:
            return None
        return (self.other - self.one) / self.one


def differences(one: Ranges, other: Ranges) -> list[Difference]:
    """Tensors whose amax differs: first those in one file only, then by the largest change."""
    names = sorted(one.tensors.keys() | other.tensors.keys())
    rows = [
        Difference(
            name,
            one.tensors[name].amax if name in one.tensors else None,
            other.tensors[name].amax if name in other.tensors else None,
        )
        for name in names
    ]
    return sorted(
        (row for row in rows if row.one != row.other),
        key=lambda row: -abs(row.change) if row.change is not None else -math.inf,
    )
