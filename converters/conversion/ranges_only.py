"""`brakepoint calibrate`: INT8 ranges without a conversion, whole or in shards.

Runs the same observation as `convert` and writes three files: ranges.json, calibration.json (which
frames, and when the ranges settled) and observation.npz (histograms, from which other calibration
methods compute ranges without reading a frame again).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from calibration.dataset.frames.frame import RoadFrame
from calibration.inference.devices import CPU, Device
from calibration.observation.observation import NAME as OBSERVATION
from calibration.observation.observation import Subject, write_observation
from calibration.observation.observe import LocalObserver, Observer, subject_of
from calibration.observation.shards import Shard, ShardObserver, observe_shard
from calibration.ranges.calibrate import ObservedCalibration, calibrate, fit_in_quotas
from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import SCHEMA as RANGES_SCHEMA
from converters.conversion.float_stage import to_float
from converters.conversion.frame_split import frames_to_split
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.placement import place
from converters.report.stage_times import Stopwatch
from converters.sources.source import open_source
from edge.contract.artifact import digest_json, require_folder, write_json
from edge.contract.artifact_names import FLOAT
from edge.contract.mission.schema import Mission
from edge.progress import Advance

SCHEMA = "brakepoint.calibration/1"
RECORD = "calibration.json"

OpenObserver = Callable[[ModelProto, Subject], AbstractContextManager[Observer]]
"""Opens an observer of a model, on a Dask cluster for example."""


@dataclass(frozen=True)
class CalibrationRecord:
    """The content of calibration.json."""

    mission: str
    calibrated: ObservedCalibration
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
                    name: list(ranges.method_of.values()).count(name)
                    for name in sorted(set(ranges.method_of.values()))
                },
            },
            "runner": self.calibrated.observation.subject.runner,
            "tensors": len(ranges.tensors),
            "sampling": self.calibrated.sampling.to_json(),
            "left_out": self.calibrated.left_out,
            "seconds": sum(stage.seconds for stage in self.watch.stages),
            "peak_memory_mb": max(stage.peak_memory_mb for stage in self.watch.stages),
        }


@dataclass(frozen=True)
class _Prepared:
    """A mission's float graph, the tensors to observe, and the frames."""

    floating: ModelProto
    tensors: tuple[str, ...]
    frames: tuple[RoadFrame, ...]

    @classmethod
    def of(cls, mission: Mission, watch: Stopwatch, *, progress: Advance) -> _Prepared:
        """Reads and exports."""
        with watch.stage("read"):
            progress("read", 0, 0)
            source, frames = open_source(mission.model), frames_to_split(mission)
        with watch.stage("float"):
            progress(FLOAT, 0, 0)
            floating, _ = to_float(source, mission, frames, progress=progress)
        return cls(floating, cpu_tensors(floating, place(floating)), frames.calibration)

    def subject(self, mission: Mission, device: Device = CPU) -> Subject:
        """What the observation is bound to."""
        spec = mission.model.preprocess_spec
        return subject_of(self.floating, self.tensors, spec, device=device)


def calibrate_mission(
    mission: Mission,
    out: Path,
    *,
    progress: Advance,
    open_observer: OpenObserver | None = None,
    device: Device = CPU,
    resume: bool = True,
) -> CalibrationRecord:
    """Observes the ranges of a mission's network and writes them into `out`.

    Args:
        resume: continue from the observation that an interrupted run left in `out`.

    Raises:
        Missing: the model, the weights, frames or a package are not there.
        UsageError: what is there does not fit the mission, or the frames are not fit.
    """
    require_folder(out)
    watch = Stopwatch()
    begun = _Prepared.of(mission, watch, progress=progress)
    opened = (
        open_observer(begun.floating, begun.subject(mission)) if open_observer else nullcontext()
    )
    with watch.stage("observe"), opened as observer:
        calibrated = calibrate(
            begun.floating,
            begun.tensors,
            begun.frames,
            mission,
            progress=progress,
            observer=observer,
            state=out / OBSERVATION if resume else None,
            device=device,
        )
    record = CalibrationRecord(mission.name, calibrated, watch)
    if not resume:
        write_observation(out / OBSERVATION, calibrated.observation)
    write_json(out / RECORD, SCHEMA, record.to_json())
    write_json(out / RANGES, RANGES_SCHEMA, calibrated.ranges.to_json())
    return record


def calibrate_shard(
    mission: Mission, shard: Shard, out: Path, *, progress: Advance, device: Device = CPU
) -> int:
    """Observes one shard of a mission's frames into `out`, for `merge_shards`. Returns how many
    frames it has. Raises as `calibrate_mission`.
    """
    require_folder(out)
    begun = _Prepared.of(mission, Stopwatch(), progress=progress)
    subject = begun.subject(mission, device)
    spec, threads = mission.model.preprocess_spec, mission.target.threads
    observer = LocalObserver(
        begun.floating, subject, preprocess_spec=spec, threads=threads, device=device
    )
    fit = fit_in_quotas(
        begun.frames, seed=mission.data.seed, threads=mission.target.threads, progress=progress
    )
    return observe_shard(shard, fit.frames, observer, subject, out, progress=progress)


def merge_shards(
    mission: Mission,
    shards: Sequence[Path],
    out: Path,
    *,
    progress: Advance,
    device: Device = CPU,
) -> CalibrationRecord:
    """The same as `calibrate_mission`, from shards that `calibrate_shard` wrote.

    Raises:
        Missing: a folder holds no shard.
        UsageError: a shard is missing, or there twice, or is of another model.
        NotTrusted: a part is damaged, or of other frames.
    """
    observer = ShardObserver(shards)
    return calibrate_mission(
        mission,
        out,
        progress=progress,
        open_observer=lambda *_: nullcontext(observer),
        device=device,
        resume=False,
    )
