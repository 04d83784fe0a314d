"""Judges int8.onnx and cpu.onnx against float.onnx on held-back frames.

Takes the networks by artifact and the frames; returns a `Judgement`: agreement, differences of raw
outputs, and the breakdown of each head. Preprocessing and decoding are the device's. One frame is
in memory at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.predictions.frame_outputs import run_networks
from calibration.inference.sessions import Kernels
from converters.sources.network import Network
from converters.verification.agreement.agreement import IOU_MIN, SCORE_MIN, Agreement
from converters.verification.agreement.heads import heads_of
from converters.verification.parity import Comparison, Parity
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.sections.model import Model
from edge.perception.decode import output_shapes
from edge.progress import Advance

KERNELS: dict[str, Kernels] = {FLOAT: "as_written", INT8: "as_written", CPU: "fused"}
"""How each artifact runs here: cpu.onnx as the device runs it, int8.onnx as the numeric reference
for TensorRT."""

PAIRS = ((FLOAT, INT8), (FLOAT, CPU), (INT8, CPU))
"""Which outputs are compared in numbers: reference, candidate."""


@dataclass(frozen=True)
class Judgement:
    """Agreement with float on held-back frames.

    Attributes:
        found: by artifact, agreement of the main output.
        condition: by artifact, agreement of the condition head; empty where there is none.
        differences: by "reference -> candidate", raw outputs in numbers.
        evaluations: by output, the breakdown by class, condition and frame, as plain values.
        frames: how many.
    """

    found: dict[str, Agreement]
    condition: dict[str, Agreement]
    differences: dict[str, Parity]
    evaluations: dict[str, dict[str, Any]]
    frames: int

    def to_json(self) -> dict[str, Any]:
        """The section `agreement` of report.json."""
        condition = {name: one.to_json() for name, one in self.condition.items()}
        return {
            "score_min": SCORE_MIN,
            "iou_min": IOU_MIN,
            **{name: one.to_json() for name, one in self.found.items()},
            "condition": condition or None,
        }


def judge(
    networks: Mapping[str, Network],
    frames: Sequence[RoadFrame],
    model: Model,
    *,
    progress: Advance,
) -> Judgement:
    """Runs float.onnx, int8.onnx and cpu.onnx over `frames`.

    Args:
        networks: by artifact, float.onnx first.
        model: the mission's section: how networks are fed and decoded.

    Raises:
        Missing, NotTrusted: a frame cannot be read, or is not the one that was locked.
    """
    spec = model.network_spec
    names = output_shapes(spec, model.input.width_px, model.input.height_px)
    comparisons = {pair: Comparison(list(names)) for pair in PAIRS}
    heads = heads_of(model, list(networks))
    for row, frame in enumerate(frames, start=1):
        outputs = run_networks(networks, frame.read(), spec, model.preprocess_spec)
        for (reference, candidate), comparison in comparisons.items():
            comparison.add(outputs.raw[reference], outputs.raw[candidate])
        for head in heads.values():
            head.add(frame, outputs)
        progress("judge on held-back frames", row, len(frames))
    main, *others = (head.result() for head in heads.values())
    return Judgement(
        found=main,
        condition=others[0] if others else {},
        differences={
            f"{reference} -> {candidate}": comparison.result()
            for (reference, candidate), comparison in comparisons.items()
        },
        evaluations={name: head.to_json() for name, head in heads.items()},
        frames=len(frames),
    )
