"""The result of comparing two ONNX files over the same frames, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from edge.perception.values import Floats

SCHEMA = "brakepoint.files-comparison/1"

A, B = "A", "B"
"""The first file, which is the reference, and the second."""


@dataclass(frozen=True)
class OutputApart:
    """Distance of one output over all frames.

    Attributes:
        name: in A, followed by its name in B where that differs.
        max_abs: largest difference of any value.
        snr_db: power of A's output / power of the difference; None where equal in every bit.
        same_top: of outputs (1, C), the share of frames with the same largest value; else None.
        other_shape: frames in which the two had different sizes; they count in no figure.
    """

    name: str
    max_abs: float
    snr_db: float | None
    same_top: float | None
    other_shape: int


@dataclass(frozen=True)
class FrameApart:
    """Distance of the outputs for one frame.

    Attributes:
        apart: by output, power of the difference / power of A's output; 0 where they are equal,
            infinite where sizes differ or B's output is not finite.
    """

    name: str
    apart: Mapping[str, float]

    @property
    def worst(self) -> float:
        """The largest distance of any output."""
        return max(self.apart.values(), default=0.0)


@dataclass(frozen=True)
class OutputMap:
    """An output (1, C, h, w) of both for one frame: the largest value of all channels, (h, w)."""

    output: str
    a: Floats
    b: Floats


@dataclass(frozen=True)
class KeptAnswers:
    """Agreement of B with A at one head.

    Attributes:
        found, of: predictions that both give, and all of A's; pixels of segmentation networks.
        share: found / of; None where A gives none.
        low, high: its 95 % interval.
        mean_iou: of segmentation networks; else None.
    """

    found: int
    of: int
    share: float | None
    low: float
    high: float
    mean_iou: float | None


@dataclass(frozen=True)
class FileComparison:
    """Two files over the same frames.

    Attributes:
        first, second: paths of A and B.
        sha256: of both files, as hex.
        mission: its name; None without one.
        frames: how many.
        fed: how pictures became inputs, in words.
        outputs: distance of each output.
        kept: by head of the mission, agreement of B with A; empty without a mission.
        evaluations: the same by class and frame, as plain values (see `AgreementBreakdown`).
        worst: frames with the largest distance, that first.
        maps: by name of these frames, the first output that is a map; empty where no output is.
    """

    first: str
    second: str
    sha256: tuple[str, str]
    mission: str | None
    frames: int
    fed: str
    outputs: tuple[OutputApart, ...]
    kept: Mapping[str, KeptAnswers]
    evaluations: Mapping[str, Any]
    worst: tuple[FrameApart, ...]
    maps: Mapping[str, OutputMap]

    def to_json(self) -> dict[str, Any]:
        """As plain values, schema first, without maps; None for figures that are not finite."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        del values["maps"]
        return {"schema": SCHEMA, **_plain(values)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
