"""How much of what float sees the quantized networks still see, on frames none was calibrated on.

One preprocess, one decode: the device's. Streams; never decides whether it is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calibration.dataset.frames import RoadFrame
from calibration.metrics import found_share
from calibration.sessions import Kernels
from converters.parity import Comparison, Difference, Network
from edge.contract.decode import perceive, with_threshold
from edge.contract.mission import Mission
from edge.contract.perception import Detections, Known
from edge.contract.preprocess import preprocess

SCORE_MIN = 0.3
"""Detections of float that count; the networks are decoded at the same score."""
IOU_MIN = 0.5

FLOAT, INT8, CPU = "float.onnx", "int8.onnx", "cpu.onnx"

KERNELS: dict[str, Kernels] = {FLOAT: "as_written", INT8: "as_written", CPU: "fused"}
"""How each artifact runs when it is judged: cpu.onnx as the device runs it, int8.onnx as the
numeric reference for TensorRT."""

PAIRS = ((FLOAT, INT8), (FLOAT, CPU), (INT8, CPU))
"""Which outputs are compared in numbers: reference, candidate."""


@dataclass(frozen=True)
class Found:
    """Detections of float that a network finds again.

    `share` is None where float itself found nothing: then nothing is known.
    """

    found: int
    of: int
    unreadable_frames: int

    @property
    def share(self) -> float | None:
        """found / of, 0..1."""
        return self.found / self.of if self.of else None


@dataclass(frozen=True)
class Judgement:
    """What the held-back frames say.

    Attributes:
        found: by artifact, what it finds of float's detections.
        differences: by (reference, candidate), raw outputs in numbers.
        frames: how many were looked at.
    """

    found: dict[str, Found]
    differences: dict[tuple[str, str], Difference]
    frames: int


def judge(
    networks: Mapping[str, Network],
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Callable[[str, int, int], None],
) -> Judgement:
    """Runs float.onnx, int8.onnx and cpu.onnx over `frames`.

    An output that cannot be decoded counts as finding nothing, and is counted.
    """
    spec = with_threshold(mission.model.decode_spec, SCORE_MIN)
    size = (mission.model.input.width_px, mission.model.input.height_px)
    comparisons = {pair: Comparison() for pair in PAIRS}
    found, of = dict.fromkeys(networks, 0), dict.fromkeys(networks, 0)
    unreadable = dict.fromkeys(networks, 0)
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        x, placement = preprocess(image, mission.model.preprocess_spec)
        raw = {name: network(x) for name, network in networks.items()}
        for (reference, candidate), comparison in comparisons.items():
            comparison.add(raw[reference], raw[candidate])
        seen: dict[str, Detections] = {}
        for name, values in raw.items():
            perceived = perceive(
                values,
                spec,
                placement=placement,
                input_size=size,
                frame_size=(image.shape[1], image.shape[0]),
            )
            if isinstance(perceived, Known):
                seen[name] = perceived.detections
            else:
                seen[name] = Detections.empty()
                unreadable[name] += 1
        for name, detections in seen.items():
            counted = found_share(
                [seen[FLOAT]], [detections], iou_threshold=IOU_MIN, score_min=SCORE_MIN
            )
            found[name] += counted[0]
            of[name] += counted[1]
        progress("judge on held-back frames", row, len(frames))
    return Judgement(
        found={name: Found(found[name], of[name], unreadable[name]) for name in networks},
        differences={pair: comparison.result() for pair, comparison in comparisons.items()},
        frames=len(frames),
    )
