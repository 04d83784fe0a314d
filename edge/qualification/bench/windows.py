"""What the loop did in a stretch of time: its stages, frames a second, heat, power and energy.

Timings of frames and samples of sensors go in; a `Window` comes out. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.contract.mission.checks.cross_checks import STAGES
from edge.qualification.bench.spread import Spread
from edge.qualification.bench.watch import Sample

HANDED_OVER = "handed over to written"
"""Sum of a frame's stages but grab: from the frame's hand-over to the command's bytes."""

END_TO_END = "end to end"
ROWS = (*STAGES, HANDED_OVER, END_TO_END)


@dataclass(frozen=True)
class FrameTiming:
    """One frame: when its command was written, seconds since the start, and its durations; those
    of the device by its own clock, empty without a device."""

    at_s: float
    stage_ms: Mapping[str, float]
    end_to_end_ms: float | None
    device_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def handed_over_ms(self) -> float | None:
        """None where the frame did not get through. Preprocess on a GPU is within `infer`."""
        if not {"track", "send"} <= set(self.stage_ms):
            return None
        return sum(value_ms for stage, value_ms in self.stage_ms.items() if stage != "grab")


@dataclass(frozen=True)
class Window:
    """A stretch of a run.

    Attributes:
        rows: name in ROWS -> its durations in ms; None where it did not run.
        device: the device's own time by stage; empty without a device.
        celsius: the hottest zone at its hottest.
        watts: of the whole board, on average.
        millijoules: energy for a frame, all of the board's.
        cpu_mhz, gpu_mhz: clocks on average.
        resident: the most bytes of this process in memory.
        over_current: events in this stretch.
    """

    from_s: float
    to_s: float
    frames: int
    rows: Mapping[str, Spread | None]
    device: Mapping[str, Spread]
    celsius: float | None
    watts: float | None
    millijoules: float | None
    cpu_mhz: float | None
    gpu_mhz: float | None
    resident: int | None
    over_current: int | None

    @property
    def fps(self) -> float:
        """Frames a second that came through."""
        return self.frames / max(self.to_s - self.from_s, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = {name: None if one is None else one.to_json() for name, one in self.rows.items()}
        return {
            "from_s": round(self.from_s, 3),
            "to_s": round(self.to_s, 3),
            "frames": self.frames,
            "fps": round(self.fps, 2),
            "ms": rows,
            "device_ms": {stage: one.to_json() for stage, one in self.device.items()},
            "celsius": _rounded(self.celsius, 1),
            "watts": _rounded(self.watts, 3),
            "millijoules_per_frame": _rounded(self.millijoules, 1),
            "cpu_mhz": _rounded(self.cpu_mhz, 0),
            "gpu_mhz": _rounded(self.gpu_mhz, 0),
            "resident_bytes": self.resident,
            "over_current_events": self.over_current,
        }


def window(
    timings: Sequence[FrameTiming], samples: Sequence[Sample], from_s: float, to_s: float
) -> Window:
    """The frames and samples from `from_s` to `to_s`."""
    mine = [timing for timing in timings if from_s <= timing.at_s < to_s]
    within = [sample for sample in samples if from_s <= sample.at_s <= to_s]
    if samples and not within:  # shorter than the time between two samples
        within = [min(samples, key=lambda one: abs(one.at_s - (from_s + to_s) / 2.0))]
    readings = [sample.reading for sample in within]
    rows: dict[str, Spread | None] = {
        stage: Spread.of([one.stage_ms[stage] for one in mine if stage in one.stage_ms])
        for stage in STAGES
    }
    rows[HANDED_OVER] = Spread.of(_known(one.handed_over_ms for one in mine))
    rows[END_TO_END] = Spread.of(_known(one.end_to_end_ms for one in mine))
    stages = dict.fromkeys(stage for one in mine for stage in one.device_ms)
    device = {
        stage: Spread.of([one.device_ms[stage] for one in mine if stage in one.device_ms])
        for stage in stages
    }
    watts = _mean(reading.watts for reading in readings)
    events = [one.over_current for one in readings if one.over_current is not None]
    return Window(
        from_s,
        to_s,
        len(mine),
        rows,
        {stage: spread for stage, spread in device.items() if spread is not None},
        celsius=max(_known(reading.hottest for reading in readings), default=None),
        watts=watts,
        millijoules=watts * (to_s - from_s) * 1e3 / len(mine) if watts and mine else None,
        cpu_mhz=_mean(reading.cpu_mhz for reading in readings),
        gpu_mhz=_mean(reading.gpu_mhz for reading in readings),
        resident=max((one.resident for one in within if one.resident is not None), default=None),
        over_current=events[-1] - events[0] if events else None,
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return statistics.fmean(known) if known else None


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
