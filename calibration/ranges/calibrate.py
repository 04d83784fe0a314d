"""The calibration stage: frames chosen, observed, and made into ranges. Used by `convert` and
`calibrate` alike.

Which tensors, the quantization rules decide. Writes nothing but its own state, where it is told to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from calibration.dataset.frames.frame import RoadFrame
from calibration.inference.devices import CPU, Device
from calibration.observation.frame_checks import Fit, fit_frames
from calibration.observation.histogram import Histogram
from calibration.observation.observation import (
    Observation,
    Subject,
    read_observation,
    write_observation,
)
from calibration.observation.observe import LocalObserver, Observer, subject_of
from calibration.observation.sampling import Sampling, continues, in_quotas, sample
from calibration.ranges.method_choice import CHOICE_FRAMES, MethodChoice, choose_method, ranges
from calibration.ranges.methods.table import METHODS
from calibration.ranges.ranges import Ranges, range_up_to
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.progress import Advance
from firmware_bridge.errors import Missing, NotTrusted

AUTO = "auto"

LEAST_FRAMES = 8

SAVE_EVERY_S = 2.0
"""What a killed process loses at most."""


@dataclass(frozen=True)
class CalibrationResult:
    """Ranges, and how they came about.

    Attributes:
        left_out: frames that were not fit, and why.
    """

    ranges: Ranges
    sampling: Sampling
    left_out: dict[str, str]


@dataclass(frozen=True)
class Calibrated(CalibrationResult):
    """The same, with all that was seen for it."""

    observation: Observation


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
    observer: Observer | None = None,
    state: Path | None = None,
    device: Device = CPU,
) -> Calibrated:
    """Ranges of `tensors` by the mission's method.

    Args:
        frames: to be taken by quotas of conditions, as many as it needs.
        observer: what observes them; this process where it is not given, on `device`.
        state: a file that keeps what was observed, so that interrupted work goes on, and work that
            is done is not done again. What it holds of other work is dropped.

    Raises:
        UsageError: the frames are not fit, or the model cannot be observed.
        Missing: a frame cannot be read.
    """
    asked, spec, threads = (
        mission.calibration,
        mission.model.preprocess_spec,
        mission.target.threads,
    )
    fit = fit_in_quotas(frames, mission, progress=progress)
    method = asked.method if asked.method in ("max", "percentile") else "percentile"
    judged_by = f"{method} {asked.percentile}" if method == "percentile" else method
    subject = subject_of(model, tensors, spec, device=device)
    seen = _kept(state, subject, fit.frames, judged_by)
    kept_at = time.monotonic()

    def told(seen: Histogram) -> float:
        return METHODS[method](seen, asked.percentile)

    def pause() -> bool:
        return state is not None and time.monotonic() - kept_at > SAVE_EVERY_S

    def save() -> None:
        nonlocal kept_at
        if state is not None:
            write_observation(state, seen)
            kept_at = time.monotonic()

    sampling = sample(
        fit.frames,
        observer
        or LocalObserver(model, subject, preprocess_spec=spec, threads=threads, device=device),
        seen,
        range_=told,
        progress=progress,
        pause=pause,
        save=save,
    )
    save()
    if asked.method == AUTO:
        chosen = choose_method(
            model,
            seen.histograms,
            fit.frames[: min(CHOICE_FRAMES, len(sampling.taken))],
            percentile=asked.percentile,
            preprocess_spec=spec,
            threads=threads,
            progress=progress,
        )
    else:
        amax = ranges(seen.histograms, asked.method, percentile=asked.percentile, threads=threads)
        chosen = MethodChoice(amax, {})
    return Calibrated(
        ranges=Ranges(
            tensors={
                tensor: range_up_to(chosen.amax[tensor], histogram)
                for tensor, histogram in seen.histograms.items()
            },
            model=subject.model,
            data=taken_digest(seen.frames),
            preprocess=subject.preprocess,
            method=asked.method,
            percentile=asked_percentile(asked.method, asked.percentile),
            frames=tuple(sorted(seen.frames)),
            chosen=chosen.method,
        ),
        sampling=sampling,
        left_out=fit.left_out,
        observation=seen,
    )


def fit_in_quotas(frames: Sequence[RoadFrame], mission: Mission, *, progress: Advance) -> Fit:
    """Those of `frames` that are fit to calibrate on, in the order in which they are taken.

    Raises:
        UsageError: too few are fit.
        Missing: a frame cannot be read.
    """
    order = in_quotas(frames, seed=mission.data.seed)
    return fit_frames(order, least=LEAST_FRAMES, threads=mission.target.threads, progress=progress)


def taken_digest(frames: Mapping[str, str]) -> str:
    """One digest for frames in any order, by name and the digest of their content."""
    return digest_json([[name, frames[name]] for name in sorted(frames)])


def asked_percentile(method: str, percentile: float) -> float | None:
    """The percentile, where ranges by this method follow from it."""
    return percentile if method in ("percentile", AUTO) else None


def _kept(
    state: Path | None, subject: Subject, frames: Sequence[RoadFrame], judged_by: str
) -> Observation:
    """What a former run left in `state` of this very work; otherwise nothing."""
    nothing = Observation.of_nothing(subject)
    nothing.judged_by = judged_by
    if state is None:
        return nothing
    try:
        former = read_observation(state)
    except (Missing, NotTrusted):
        return nothing
    same = (former.subject, former.judged_by) == (subject, judged_by)
    return former if same and continues(former, frames) else nothing
