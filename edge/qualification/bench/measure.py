"""Measures a mission on this machine: inference alone, the most frames a second, the whole loop.

A mission, a model, frames and a link go in; a `BenchResult` comes out. The loop is the product's
own (`edge.runtime.daemon`), at the source's rate, for as long as the device takes to get hot; its
first and its last stretch are compared. Asserts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.device import Budget
from edge.perception.preprocess import preprocess
from edge.perception.values import Frame
from edge.progress import Advance
from edge.qualification.bench.bare import BareInference, measure_bare
from edge.qualification.bench.budget import propose
from edge.qualification.bench.frames import open_frames
from edge.qualification.bench.throughput import measure_throughput
from edge.qualification.bench.watch import Sample, Watch
from edge.qualification.bench.windows import END_TO_END, FrameTiming, Window, window
from edge.qualification.candidate import Candidate
from edge.qualification.device.files import DeviceFiles
from edge.runtime.clock import Clock, monotonic_ns
from edge.runtime.loop.decision_loop import Link, Turn
from edge.runtime.recording.run_report import RunReport
from firmware_bridge.errors import DeviceFault

STRETCH_S = 60.0
"""The first and the last stretch of the loop, or a third of it where it is short."""


@dataclass(frozen=True)
class State:
    """Inference alone and the most frames a second, with the device cold or hot."""

    bare: BareInference
    fps_most: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        most = None if self.fps_most is None else round(self.fps_most, 2)
        return {**self.bare.to_json(), "fps_most": most}


@dataclass(frozen=True)
class BenchResult:
    """One measurement.

    Attributes:
        cold, hot: before and after the loop.
        first, last: the first and the last stretch of the loop.
        available: bytes that the system could give before the model was loaded, and at the least.
        budget, proposal: the mission's, and keys of [budget] with milliseconds.
    """

    report: RunReport
    cold: State
    hot: State
    first: Window
    last: Window
    timings: Sequence[FrameTiming]
    samples: Sequence[Sample]
    available: tuple[int | None, int | None]
    budget: Budget
    proposal: dict[str, float]

    def budget_ms(self, row: str) -> float | None:
        """The mission's budget for a row of ROWS; None where it has none."""
        if row == END_TO_END:
            return self.budget.end_to_end_ms
        return self.budget.stage_ms(row) if row in STAGES else None

    @property
    def exit_code(self) -> int:
        """That of the loop's gravest fault."""
        return self.report.exit_code

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a file of schema brakepoint.bench/1."""
        before, least = self.available
        return {
            "mission": self.report.mission,
            "source": vars(self.report.source),
            "model": vars(self.report.model),
            "seconds": round(self.report.seconds, 3),
            "ended": self.report.ended,
            "cold": self.cold.to_json(),
            "hot": self.hot.to_json(),
            "first": self.first.to_json(),
            "last": self.last.to_json(),
            "available_bytes": {"before": before, "least": least},
            "frames": vars(self.report.frames),
            "faults": [vars(fault) for fault in self.report.faults],
            "budget": self.proposal,
        }


@dataclass(frozen=True)
class Effort:
    """How long each part takes, in seconds.

    Attributes:
        alone_s: inference alone, and the most frames a second, each twice.
        loop_s: the loop.
    """

    alone_s: float
    loop_s: float


def measure(
    candidate: Candidate,
    *,
    source: str | None,
    link: Link,
    effort: Effort,
    files: DeviceFiles,
    progress: Advance,
    clock: Clock = monotonic_ns,
) -> BenchResult:
    """Measure a mission.

    Args:
        candidate: the mission and its model.
        source: as of `run`, repeated at its end; None: a generated story.
        link: as of `run`.
        files: of the device, for sensors and memory.

    Raises:
        Refusal: as of `run`.
        DeviceFault: no frame came.
    """

    mission = candidate.mission
    frame = _first_frame(mission, source, clock)
    alone = _Alone(candidate, frame, effort.alone_s, clock, progress)
    with Watch(files, clock) as watch:
        before = watch.sample().available
        cold = alone.state("cold")
        progress("loop, seconds", 0, round(effort.loop_s))
        timings: list[FrameTiming] = []
        frames = open_frames(source, mission.camera, clock)
        loop_from_s = watch.at_s

        def on_turn(turn: Turn, at_s: float) -> None:
            nonlocal loop_from_s
            if not timings:
                loop_from_s = watch.at_s - at_s
            if turn.result is not None:
                device_ms = turn.result.device_ms
                timings.append(FrameTiming(at_s, turn.stage_ms, turn.end_to_end_ms, device_ms))
                progress("loop, seconds", round(at_s), round(effort.loop_s))

        report = candidate.run(frames, link, seconds=effort.loop_s, on_turn=on_turn, clock=clock)
        samples = watch.samples
        hot = alone.state("hot")
    in_loop = [
        Sample(sample.at_s - loop_from_s, sample.reading, sample.resident, sample.available)
        for sample in samples
        if sample.at_s >= loop_from_s
    ]
    began_s, ended_s = (timings[0].at_s, timings[-1].at_s + 1e-6) if timings else (0.0, 0.0)
    stretch_s = min(STRETCH_S, (ended_s - began_s) / 3.0)
    first = window(timings, in_loop, began_s, began_s + stretch_s)
    last = window(timings, in_loop, ended_s - stretch_s, ended_s)
    least = [sample.available for sample in samples if sample.available is not None]
    return BenchResult(
        report,
        cold,
        hot,
        first,
        last,
        timings,
        in_loop,
        (before, min(least, default=None)),
        mission.budget,
        propose((first, last), mission.budget),
    )


@dataclass(frozen=True)
class _Alone:
    """Measures what runs without the loop."""

    candidate: Candidate
    frame: Frame
    seconds: float
    clock: Clock
    progress: Advance

    def state(self, name: str) -> State:
        """`name` is for the progress bar."""
        self.progress(f"{name}: inference alone", 0, 0)
        opened, model = self.candidate.open, self.candidate.mission.model
        x, _ = preprocess(self.frame.image, model.preprocess_spec)
        bare = measure_bare(opened, x, seconds=self.seconds)
        self.progress(f"{name}: most frames a second", 0, 0)
        most = measure_throughput(opened, model, self.frame, clock=self.clock, seconds=self.seconds)
        return State(bare, most)


def _first_frame(mission: Mission, source: str | None, clock: Clock) -> Frame:
    """The first frame of the source, which is closed again."""
    opened = open_frames(source, mission.camera, clock)
    try:
        for _ in range(FIRST_READS):
            reading = opened.read(time.sleep)
            if isinstance(reading, Frame):
                return reading
    finally:
        opened.close()
    raise DeviceFault(
        f"{opened.info.given} gives no frame",
        expected="a frame to measure with",
        found=str(reading),
        remedy="check the camera, or name another --source",
    )


FIRST_READS = 20
"""A camera may give a few bad frames as it starts."""
