"""Compares what a session computes with the reference, on the same frames: the golden frames.

Outputs of float.onnx and int8.onnx by onnxruntime, and of the session under test, go in; figures
and a verdict come out. int8.onnx is the numeric reference of every form of a network. An engine
that computes something else is found here before a vehicle relies on it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.contract.mission.sections.model import Model
from edge.perception.boxes import iou_matrix
from edge.perception.decode import perceive
from edge.perception.preprocess import InputPlacement
from edge.perception.values import Detections, Floats, Frame, Known

SAME_BOX_IOU = 0.5
FOUND_LEAST = 0.9
"""Where the mission sets no gates.found_min."""

NOISE_MORE_DB = 3.0
"""How much lower the signal-to-noise ratio against float may be than int8.onnx's: as for the forms
that `convert` writes (decision 16)."""

FLOAT_LEAST_DB = 40.0
"""The least ratio of a float model against float.onnx: FP16 rounds at about 60 dB."""


@dataclass
class Noise:
    """Sums for a signal-to-noise ratio over frames and outputs."""

    signal: float = 0.0
    noise: float = 0.0

    def add(self, wanted: Sequence[Floats], found: Sequence[Floats]) -> None:
        """One frame's outputs."""
        for one, other in zip(wanted, found, strict=True):
            exact = one.astype(np.float64)
            self.signal += float(np.square(exact).sum())
            self.noise += float(np.square(other.astype(np.float64) - exact).sum())

    @property
    def decibels(self) -> float:
        """Infinite where both are the same; not a number where an output has none."""
        if self.noise == 0.0:
            return math.inf
        if not math.isfinite(self.noise) or self.signal == 0.0:
            return math.nan
        return 10.0 * math.log10(self.signal / self.noise)


@dataclass
class GoldenFrames:
    """Figures over frames.

    Attributes:
        quantized: whether the session under test runs an INT8 model.
        found_least: the least share of the reference's detections and labels.
    """

    model: Model
    quantized: bool
    found_least: float = FOUND_LEAST
    frames: int = 0
    wanted: int = 0
    found: int = 0
    unknown: int = 0
    of_session: Noise = field(default_factory=Noise)
    of_reference: Noise = field(default_factory=Noise)

    def add(
        self,
        frame: Frame,
        placement: InputPlacement,
        *,
        exact: Sequence[Floats],
        reference: Sequence[Floats],
        session: Sequence[Floats],
    ) -> None:
        """One frame: outputs of float.onnx, of the reference and of the session under test."""
        self.frames += 1
        self.of_session.add(exact, session)
        self.of_reference.add(exact, reference)
        wanted, found = (self._perceived(one, placement, frame) for one in (reference, session))
        if wanted is None or found is None:
            self.unknown += found is None and wanted is not None
            return
        self.wanted += len(wanted.detections) + len(wanted.scene)
        self.found += _same_detections(wanted.detections, found.detections)
        self.found += sum(
            a.label == b.label for a, b in zip(wanted.scene, found.scene, strict=True)
        )
        if wanted.areas is not None and found.areas is not None:
            self.wanted += wanted.areas.labels.size
            self.found += int((wanted.areas.labels == found.areas.labels).sum())

    @property
    def share(self) -> float | None:
        """Found / wanted; None where the reference perceives nothing."""
        return self.found / self.wanted if self.wanted else None

    @property
    def least_db(self) -> float:
        """The least signal-to-noise ratio against float."""
        return self.of_reference.decibels - NOISE_MORE_DB if self.quantized else FLOAT_LEAST_DB

    def failures(self) -> list[str]:
        """Sentences; empty where the session computes what the reference computes."""
        told = []
        if self.unknown:
            told.append(f"{self.unknown} of {self.frames} frames could not be perceived")
        if self.share is not None and self.share < self.found_least:
            told.append(f"{self._shares()}, less than {100 * self.found_least:g} %")
        if not self.of_session.decibels >= self.least_db:
            told.append(f"{self._ratio()}, less than {self.least_db:.1f} dB")
        return told

    def words(self) -> str:
        """The figures for a person."""
        return f"{self.frames} frames: {self._shares()}; {self._ratio()}"

    def to_json(self) -> dict[str, Any]:
        """Figures; an infinite ratio is null."""
        ratios = {
            "session_db": self.of_session.decibels,
            "reference_db": self.of_reference.decibels,
        }
        return {
            "frames": self.frames,
            "wanted": self.wanted,
            "found": self.found,
            "unknown": self.unknown,
            **{name: round(db, 2) if math.isfinite(db) else None for name, db in ratios.items()},
        }

    def _shares(self) -> str:
        if not self.wanted:
            return "the reference perceives nothing in them"
        return f"{self.found} of {self.wanted} results of the reference are found"

    def _ratio(self) -> str:
        told = f"signal to noise against float {_decibels(self.of_session)}"
        return f"{told}, the reference {_decibels(self.of_reference)}" if self.quantized else told

    def _perceived(
        self, outputs: Sequence[Floats], placement: InputPlacement, frame: Frame
    ) -> Known | None:
        perception = perceive(
            outputs,
            self.model.network_spec,
            placement=placement,
            input_size=(self.model.input.width_px, self.model.input.height_px),
            frame_size=frame.size_px,
        )
        return perception if isinstance(perception, Known) else None


def _decibels(noise: Noise) -> str:
    return "the same" if noise.noise == 0.0 else f"{noise.decibels:.1f} dB"


def _same_detections(wanted: Detections, found: Detections) -> int:
    """How many wanted detections have one of their own of the same label and place, best first."""
    if not len(wanted) or not len(found):
        return 0
    overlap = iou_matrix(wanted.boxes, found.boxes)
    overlap[wanted.labels[:, None] != found.labels[None, :]] = 0.0
    count = 0
    for row in range(len(wanted)):
        column = int(overlap[row].argmax())
        if overlap[row, column] >= SAME_BOX_IOU:
            overlap[:, column] = 0.0
            count += 1
    return count
