"""Calibrates: samples frames, observes the tensors and computes their ranges.

In: a float graph, names of tensors, frames and the mission's method. Out: an `ObservedCalibration`.
`convert` and `calibrate` both use it. The quantization rules decide which tensors. The only file
written is the state of an interrupted run.
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
from edge.contract.mission.sections.conversion import Calibration
from edge.progress import Advance
from firmware_bridge.errors import Missing, NotTrusted

AUTO = "auto"

LEAST_FRAMES = 8

SAVE_EVERY_S = 2.0
"""A killed process loses at most so much work."""


@dataclass(frozen=True)
class CalibrationResult:
    """Ranges, and the frames that they are from.

    Attributes:
        left_out: name -> reason, of frames that are not fit.
    """

    ranges: Ranges
    sampling: Sampling
    left_out: dict[str, str]


@dataclass(frozen=True)
class ObservedCalibration(CalibrationResult):
    """A calibration with its observation."""

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
) -> ObservedCalibration:
    """Ranges of `tensors` by the mission's method.

    Args:
        frames: frames to sample from, by quotas of conditions.
        observer: observes the frames; by default this process, on `device`.
        state: a file that saves the observation, so that an interrupted calibration is resumed and
            a finished one is not repeated. The state of another calibration is overwritten.

    Raises:
        UsageError: the frames are not fit, or the model cannot be observed.
        Missing: a frame cannot be read.
    """
    asked, threads = mission.calibration, mission.target.threads
    spec = mission.model.preprocess_spec
    fit = fit_in_quotas(frames, seed=mission.data.seed, threads=threads, progress=progress)
    subject = subject_of(model, tensors, spec, device=device)
    if observer is None:
        observer = LocalObserver(
            model, subject, preprocess_spec=spec, threads=threads, device=device
        )
    observation, sampling = _observe(
        fit.frames, observer, subject, asked, progress=progress, state=state
    )
    if asked.method == AUTO:
        choice = choose_method(
            model,
            observation.histograms,
            fit.frames[: min(CHOICE_FRAMES, len(sampling.frames))],
            percentile=asked.percentile,
            preprocess_spec=spec,
            threads=threads,
            progress=progress,
        )
    else:
        amax = ranges(
            observation.histograms, asked.method, percentile=asked.percentile, threads=threads
        )
        choice = MethodChoice(amax, {})
    return ObservedCalibration(
        ranges=Ranges(
            tensors={
                tensor: range_up_to(choice.amax[tensor], histogram)
                for tensor, histogram in observation.histograms.items()
            },
            model=subject.model,
            data=frames_digest(observation.frames),
            preprocess=subject.preprocess,
            method=asked.method,
            percentile=recorded_percentile(asked.method, asked.percentile),
            frames=tuple(sorted(observation.frames)),
            method_of=choice.method,
        ),
        sampling=sampling,
        left_out=fit.left_out,
        observation=observation,
    )


def _observe(
    frames: Sequence[RoadFrame],
    observer: Observer,
    subject: Subject,
    asked: Calibration,
    *,
    progress: Advance,
    state: Path | None,
) -> tuple[Observation, Sampling]:
    """Observes until the ranges are stable, and saves the observation in `state` now and then."""
    method = asked.method if asked.method in ("max", "percentile") else "percentile"
    judged_by = f"{method} {asked.percentile}" if method == "percentile" else method
    observation = _saved_observation(state, subject, frames, judged_by)
    saved_at = time.monotonic()

    def amax_of(histogram: Histogram) -> float:
        return METHODS[method](histogram, asked.percentile)

    def pause() -> bool:
        return state is not None and time.monotonic() - saved_at > SAVE_EVERY_S

    def save() -> None:
        nonlocal saved_at
        if state is not None:
            write_observation(state, observation)
            saved_at = time.monotonic()

    sampling = sample(
        frames,
        observer,
        observation,
        range_=amax_of,
        progress=progress,
        pause=pause,
        save=save,
    )
    save()
    return observation, sampling


def fit_in_quotas(
    frames: Sequence[RoadFrame], *, seed: int, threads: int, progress: Advance
) -> Fit:
    """The `frames` that are fit to calibrate on, in the order of sampling.

    Raises:
        UsageError: too few are fit.
        Missing: a frame cannot be read.
    """
    order = in_quotas(frames, seed=seed)
    return fit_frames(order, least=LEAST_FRAMES, threads=threads, progress=progress)


def frames_digest(frames: Mapping[str, str]) -> str:
    """One sha256, as hex, of frames in any order, given as name -> sha256 of the content."""
    return digest_json([[name, frames[name]] for name in sorted(frames)])


def recorded_percentile(method: str, percentile: float) -> float | None:
    """The percentile, if ranges by this method depend on it; else None."""
    return percentile if method in ("percentile", AUTO) else None


def _saved_observation(
    state: Path | None, subject: Subject, frames: Sequence[RoadFrame], judged_by: str
) -> Observation:
    """The observation in `state`, if it is of the same calibration; else an empty one."""
    nothing = Observation.empty(subject)
    nothing.judged_by = judged_by
    if state is None:
        return nothing
    try:
        former = read_observation(state)
    except (Missing, NotTrusted):
        return nothing
    same = (former.subject, former.judged_by) == (subject, judged_by)
    return former if same and continues(former, frames) else nothing
