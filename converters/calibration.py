"""`brakepoint calibrate`: the ranges alone, with the record of how they came about.

The same stage as in `convert`, and three files: ranges.json, calibration.json (which frames, how
the ranges came to rest) and observation.npz (the histograms, from which other methods take their
ranges without looking at a frame). Never quantizes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from calibration.calibrate import Calibrated, calibrate
from calibration.devices import CPU, Device
from calibration.observation import NAME as OBSERVATION
from calibration.observation import Subject
from calibration.observe import Looker, subject_of
from calibration.ranges import NAME as RANGES
from calibration.ranges import SCHEMA as RANGES_SCHEMA
from converters.chain import check_out
from converters.conversion import Progress
from converters.floating import demand_something, probes, to_float
from converters.frames import frames_to_split
from converters.placement import place
from converters.sources import open_source
from converters.stages import Stopwatch
from edge.contract.artifact import digest_json, write_json
from edge.contract.mission import Mission

SCHEMA = "brakepoint.calibration/1"
RECORD = "calibration.json"

Lookers = Callable[[ModelProto, Subject], AbstractContextManager[Looker]]
"""Opens what looks at the frames of a model: many machines, for example."""


@dataclass(frozen=True)
class Record:
    """What `calibrate` made: `calibration.json`."""

    mission: str
    calibrated: Calibrated
    watch: Stopwatch

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        ranges = self.calibrated.ranges
        return {
            "mission": self.mission,
            "ranges_sha256": digest_json(ranges.to_json()),
            "model_sha256": ranges.model,
            "data": ranges.data,
            "method": {
                "name": ranges.method,
                "percentile": ranges.percentile,
                "tensors": {
                    name: list(ranges.chosen.values()).count(name)
                    for name in sorted(set(ranges.chosen.values()))
                },
            },
            "runner": self.calibrated.observation.subject.runner,
            "tensors": len(ranges.tensors),
            "sampling": self.calibrated.sampling.to_json(),
            "left_out": self.calibrated.left_out,
            "seconds": sum(stage.seconds for stage in self.watch.stages),
            "peak_memory_mb": max(stage.peak_memory_mb for stage in self.watch.stages),
        }


def calibrate_mission(
    mission: Mission,
    out: Path,
    *,
    progress: Progress,
    lookers: Lookers | None = None,
    device: Device = CPU,
) -> Record:
    """Takes the ranges of a mission's network into `out`.

    Interrupted work goes on from `out`/observation.npz.

    Raises:
        Missing: the model, the weights, frames or a package are not there.
        UsageError: what is there does not fit the mission, or the frames are not fit.
    """
    check_out(out)
    watch = Stopwatch()
    with watch.stage("read"):
        progress("read", 0, 0)
        source, frames = open_source(mission), frames_to_split(mission)
    with watch.stage("float"):
        progress("float.onnx", 0, 0)
        floating, _ = to_float(source, mission, probes(mission, frames))
    with watch.stage("observe"):
        placement = place(floating)
        demand_something(placement, mission)

        def run(looker: Looker | None) -> Calibrated:
            return calibrate(
                floating,
                placement.pairs,
                frames.calibration,
                mission,
                progress=progress,
                looker=looker,
                state=out / OBSERVATION,
                device=device,
            )

        if lookers is None:
            calibrated = run(None)
        else:
            subject = subject_of(floating, placement.pairs, mission.model.preprocess_spec)
            with lookers(floating, subject) as looker:
                calibrated = run(looker)
    record = Record(mission.name, calibrated, watch)
    write_json(out / RECORD, SCHEMA, record.to_json())
    write_json(out / RANGES, RANGES_SCHEMA, calibrated.ranges.to_json())
    return record
