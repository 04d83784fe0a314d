"""The report of a run, as a value and as JSON (brakepoint.run/1).

In: what the parts of the run measured and logged. Out: the report; its exit code is that of its
gravest fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.engine.choose_backend import ChosenModel
from edge.runtime.health.frame_health import CheckCount
from edge.runtime.loop.capture import StampCount
from edge.runtime.loop.latency_budget import BUCKET_RATIO, Summary
from edge.runtime.recording.events import Fault
from edge.runtime.recording.run_log import Effective, TrackSpan
from edge.runtime.recording.timeline import Episode, Stamp
from edge.runtime.sources.source import SourceInfo
from firmware_bridge.link.facts import LinkCounts
from firmware_bridge.protocol.messages import Action, Mode

SCHEMA = "brakepoint.run/1"


@dataclass(frozen=True)
class ModelRun:
    """The model that ran, and why this one.

    Attributes:
        threads: of onnxruntime; None for an engine.
        why, passed_over, engine, known_faults: as of `ChosenModel`.
    """

    path: str
    sha256: str
    precision: str
    backend: str
    threads: int | None
    why: str
    passed_over: Mapping[str, str]
    engine: Mapping[str, str] | None
    known_faults: tuple[str, ...]

    @classmethod
    def of(cls, model: ChosenModel, *, threads: int) -> ModelRun:
        """The model of a run."""
        return cls(
            path=str(model.path),
            sha256=model.sha256,
            precision=model.precision,
            backend=model.backend,
            threads=threads if model.engine is None else None,
            why=model.why,
            passed_over=model.passed_over,
            engine=model.engine,
            known_faults=model.known_faults,
        )


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames: captured = inferred + dropped.

    Attributes:
        unknown: inferred ones that could not be perceived.
        crowded: inferred ones in which a limit of work left detections out.
    """

    captured: int
    inferred: int
    dropped: int
    unknown: int
    crowded: int


@dataclass(frozen=True)
class Recording:
    """The annotated video: frames written, and turns left out where the encoder fell behind."""

    path: str
    frames: int
    left_out: int


@dataclass(frozen=True)
class Housekeeping:
    """Collections of the garbage collector, made only while the loop was idle."""

    collections: int
    longest_ms: float


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One finished run. Times of its parts are in their own stamps.

    Attributes:
        device: facts of the session that inferred, such as GPU and releases; empty without a GPU.
        device_latency: the device's own time of each of its stages.
    """

    mission: str
    source: SourceInfo
    model: ModelRun
    ended: str
    seconds: float
    frames: FrameCounts
    stamps: Mapping[str, StampCount]
    latency: Mapping[str, Summary]
    device: Mapping[str, str]
    device_latency: Mapping[str, Summary]
    worst_late_share: float
    commands: LinkCounts
    commands_by_action: Mapping[Action, int]
    effective: tuple[Effective, ...]
    timeline: tuple[Episode, ...]
    modes: tuple[tuple[Stamp, Mode], ...]
    tracks: tuple[TrackSpan, ...]
    scenes: Mapping[str, Mapping[str, int]]
    areas: Mapping[str, Mapping[str, float]]
    health: tuple[CheckCount, ...]
    faults: tuple[Fault, ...]
    recording: Recording | None
    housekeeping: Housekeeping

    @property
    def exit_code(self) -> int:
        """0, or that of the gravest fault."""
        return max((fault.exit_code for fault in self.faults), default=0)

    def payload(self) -> dict[str, Any]:
        """All but the schema's name, for `edge.contract.artifact.write_json`."""
        return {
            "mission": self.mission,
            "source": vars(self.source),
            "model": vars(self.model),
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "frames": vars(self.frames),
            "capture_times": {name: _stamps_row(row) for name, row in self.stamps.items()},
            "latency_bucket": round(BUCKET_RATIO, 4),
            "latency_ms": {name: _latency_row(row) for name, row in self.latency.items()},
            "device": dict(self.device),
            "device_ms": {name: _device_row(row) for name, row in self.device_latency.items()},
            "worst_late_share": round(self.worst_late_share, 4),
            "commands": {
                "sent": self.commands.commands_sent,
                "acknowledged": self.commands.acknowledged,
                "unacknowledged": self.commands.unacknowledged,
                "open": self.commands.open,
                "late": self.commands.late,
                "unsent": self.commands.unsent,
                "by_action": {a.name: n for a, n in sorted(self.commands_by_action.items())},
            },
            "link": vars(self.commands),
            "effective": [_effective_row(effective) for effective in self.effective],
            "timeline": [episode.to_json() for episode in self.timeline],
            "modes": [{**at.to_json(), "mode": mode.name} for at, mode in self.modes],
            "scenes": {head: dict(frames) for head, frames in self.scenes.items()},
            "areas": {label: dict(shares) for label, shares in self.areas.items()},
            "tracks": [_track_row(track) for track in self.tracks],
            "health": [vars(check) for check in self.health],
            "faults": [vars(fault) for fault in self.faults],
            "recording": None if self.recording is None else vars(self.recording),
            "collections": vars(self.housekeeping),
        }

    def to_json(self) -> dict[str, Any]:
        """The whole document, with its schema."""
        return {"schema": SCHEMA, **self.payload()}


def _stamps_row(stamps: StampCount) -> dict[str, Any]:
    known = stamps.uncertainty_ns
    return {
        "frames": stamps.frames,
        "uncertainty_ms": None if known is None else round(known / 1e6, 3),
    }


def _effective_row(effective: Effective) -> dict[str, Any]:
    return {
        **effective.at.to_json(),
        "action": effective.action.name,
        "latched": effective.latched,
        "ceiling_mps": effective.ceiling_mps,
        "deceleration_mps2": effective.deceleration_mps2,
        "faults": list(effective.faults),
    }


def _track_row(track: TrackSpan) -> dict[str, Any]:
    least_s = track.least_time_to_contact_s
    return {
        "id": track.id,
        "label": track.label,
        "first_s": round(track.first_s, 3),
        "last_s": round(track.last_s, 3),
        "seconds": round(track.last_s - track.first_s, 3),
        "hits": track.hits,
        # JSON has no infinity; null: the object never came closer.
        "least_time_to_contact_s": round(least_s, 3) if math.isfinite(least_s) else None,
        "least_from": track.least_from,
        "nearest_m": None if track.nearest_m is None else round(track.nearest_m, 2),
    }


def _latency_row(summary: Summary) -> dict[str, Any]:
    return {"budget": summary.budget_ms, **_device_row(summary), "misses": summary.misses}


def _device_row(summary: Summary) -> dict[str, Any]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 3)

    return {
        "count": summary.count,
        "p50": rounded(summary.p50_ms),
        "p95": rounded(summary.p95_ms),
        "p99": rounded(summary.p99_ms),
        "max": rounded(summary.max_ms),
    }
