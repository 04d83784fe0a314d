"""Measures how long one frame takes on this machine, stage by stage, as `brakepoint run` does it.

Takes the files by artifact and frames; returns `Latency` with the machine that it was measured on,
for which alone it holds.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.dataset.frames.frame import RoadFrame
from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.contract.mission.schema import Mission
from edge.perception.decode import perceive
from edge.perception.preprocess import preprocess
from edge.progress import Advance

STAGES = ("preprocess", "infer", "decode")
WARM_UP_FRAMES = 3
BACKEND = "onnxruntime"
"""The backend that runs both files everywhere, whatever the target is."""
MOST_FRAMES = 100
"""More frames would only take longer: five of these lie beyond the 95th percentile."""


@dataclass(frozen=True)
class StageLatency:
    """One stage over all frames, milliseconds; the 99th percentile is a measured value, the next
    higher one."""

    median_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Latency:
    """Latency and the machine that it was measured on.

    Attributes:
        machine: processor and system, in words.
        threads: how many the network may use.
        frames: how many were timed, after warming up.
        stages: artifact -> each of STAGES, and "all" for the frame as a whole.
    """

    machine: str
    threads: int
    backend: str
    frames: int
    stages: Mapping[str, Mapping[str, StageLatency]]


def measure_latency(
    files: Mapping[str, bytes],
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> Latency:
    """Runs each file over the same frames with the device's own session, one after another."""
    timed = frames[:MOST_FRAMES]
    found = {}
    for row, (name, data) in enumerate(files.items()):

        def advance(done: int, row: int = row) -> None:
            progress("time on this machine", row * len(timed) + done, len(files) * len(timed))

        found[name] = _time(data, timed, mission, advance)
    return Latency(
        machine=machine(),
        threads=mission.target.threads,
        backend=BACKEND,
        frames=len(timed),
        stages=found,
    )


def _time(
    data: bytes, frames: Sequence[RoadFrame], mission: Mission, advance: Callable[[int], None]
) -> dict[str, StageLatency]:
    model = mission.model
    laps: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory(prefix="brakepoint-") as folder:
        path = Path(folder) / "model.onnx"  # a backend opens files, as on the device
        path.write_bytes(data)
        session = open_session(
            BACKEND, path, options=SessionOptions(threads=mission.target.threads)
        )
        try:
            for row, frame in enumerate([frames[0]] * WARM_UP_FRAMES + list(frames)):
                image = frame.read()
                marks = [time.perf_counter()]
                tensor, placement = preprocess(image, model.preprocess_spec)
                marks.append(time.perf_counter())
                outputs = session.infer(tensor)
                marks.append(time.perf_counter())
                perceive(
                    outputs,
                    model.network_spec,
                    placement=placement,
                    input_size=(model.input.width_px, model.input.height_px),
                    frame_size=(image.shape[1], image.shape[0]),
                )
                marks.append(time.perf_counter())
                if row >= WARM_UP_FRAMES:
                    laps.append(tuple(np.diff(marks)))
                    advance(row - WARM_UP_FRAMES + 1)
        finally:
            session.close()
    table = np.array(laps) * 1000.0
    columns = dict(zip(STAGES, table.T, strict=True))
    return {
        stage: StageLatency(
            float(np.median(values)),
            float(np.percentile(values, 95.0)),
            float(np.percentile(values, 99.0, method="higher")),
        )
        for stage, values in {**columns, "all": table.sum(axis=1)}.items()
    }


def machine() -> str:
    """This machine for people: cores, processor, system."""
    model = _processor() or platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {model} ({platform.system()} {platform.machine()})"


def _processor() -> str | None:
    """The processor's name where Linux tells it."""
    try:
        lines: Iterable[str] = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, None)
