"""Reads sources on a clock that advances only by their pauses."""

from __future__ import annotations

from edge.contract.mission.sections.device import Camera
from edge.perception.values import Frame
from edge.runtime.sources.source import (
    Source,
    SourceEnd,
)

CAMERA = Camera(width_px=128, height_px=128, fps=50.0, assumed_speed_mps=10.0)

CAMERA = Camera(width_px=128, height_px=128, fps=50.0, assumed_speed_mps=10.0)


class SteppingClock:
    """Time that passes only by pausing."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def pause(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def read_all(source: Source, clock: SteppingClock) -> tuple[list[Frame], SourceEnd]:
    frames = []
    for _ in range(1000):
        reading = source.read(clock.pause)
        if isinstance(reading, SourceEnd):
            return frames, reading
        assert isinstance(reading, Frame)
        frames.append(reading)
    raise AssertionError("the source never ends")
