"""Compares the stops that the policy makes on a network's detections of a clip with the true stops.

In: perceptions and ground truth of the frames of clips, in order. Out: `StopFigures`. The device's
tracker and policy decide. The vehicle stands and is released after each stop, so that every stop is
an episode of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from calibration.evaluation.data.label_mapping import LabelMapping
from edge.contract.clip_truth import TrueFrame
from edge.contract.mission.checks.policy_checks import STOPS
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Policy
from edge.perception.values import BgrImage, Detections, Known, Perception
from edge.runtime.policy.facts import Facts, FrameFacts
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from firmware_bridge.protocol.messages import Action, Reason

EARLY_S = 1.0
"""A stop that begins at most this long before the true one is a stop for the same danger."""


@dataclass(frozen=True)
class Episode:
    """One stop: times of its first and last frame in seconds into the clip."""

    begin_s: float
    end_s: float


@dataclass(frozen=True)
class StopFigures:
    """One network's stops over clips.

    Attributes:
        needed: stops of the policy on the ground truth.
        matched: how many of those the network makes too: a stop that begins at most EARLY_S before
            the true one and not after its end.
        delays_s: of each matched stop, how long after the true one it begins; below 0: before.
        false: stops that match no true one.
        seconds: duration of all clips.
    """

    needed: int
    matched: int
    delays_s: tuple[float, ...]
    false: int
    seconds: float

    @property
    def false_per_hour(self) -> float:
        """False stops per hour of clip."""
        return self.false * 3600.0 / self.seconds

    @property
    def false_per_hour_95(self) -> tuple[float, float]:
        """Exact 95 % interval of a Poisson rate (Garwood, Biometrika 1936)."""
        low = float(chi2.ppf(0.025, 2 * self.false)) / 2.0 if self.false else 0.0
        high = float(chi2.ppf(0.975, 2 * self.false + 2)) / 2.0
        return (low * 3600.0 / self.seconds, high * 3600.0 / self.seconds)

    @staticmethod
    def of(clips: Sequence[tuple[Sequence[Episode], Sequence[Episode], float]]) -> StopFigures:
        """The figures of clips, each given as true stops, the network's stops and its seconds."""
        needed = matched = false = 0
        delays: list[float] = []
        for true, own, _ in clips:
            needed += len(true)
            first = [_first_match(wanted, own) for wanted in true]
            matched += sum(one is not None for one in first)
            delays += [
                one.begin_s - wanted.begin_s
                for one, wanted in zip(first, true, strict=True)
                if one is not None
            ]
            false += sum(all(not _matches(one, wanted) for wanted in true) for one in own)
        seconds = sum(length_s for _, _, length_s in clips)
        return StopFigures(needed, matched, tuple(delays), false, seconds)


def _matches(one: Episode, wanted: Episode) -> bool:
    """Whether a stop overlaps the true one, or begins up to EARLY_S before it."""
    return one.end_s >= wanted.begin_s - EARLY_S and one.begin_s <= wanted.end_s


def _first_match(wanted: Episode, own: Sequence[Episode]) -> Episode | None:
    """The first stop that matches the true one."""
    return next((one for one in own if _matches(one, wanted)), None)


def stops_anything(policy: Policy) -> bool:
    """Whether a rule stops the vehicle for an object."""
    return any(
        Action[rule.action] in STOPS and rule.when.label is not None for rule in policy.rules
    )


@dataclass
class PolicyOnClip:
    """The policy on one clip of `fps` frames a second: `add` every frame in order, then `stops`."""

    mission: Mission
    fps: float
    _tracker: Tracker = field(default_factory=Tracker)
    _stops: list[Episode] = field(default_factory=list)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._settings = PolicySettings.of(self.mission, fps=self.fps)
        self._state = initial(self._settings)

    def add(self, perception: Perception, image: BgrImage, time_s: float) -> None:
        """Adds one frame, (H, W, 3) uint8 BGR, at `time_s` into the clip, and its perception."""
        height_px, width_px = image.shape[:2]
        now_ns = round(time_s * 1e9)
        known = perception if isinstance(perception, Known) else None
        tracks: tuple[Track, ...] = ()
        if known is not None:
            tracks = self._tracker.update(
                known.detections, now_ns, frame_size=(width_px, height_px), image=image
            )
        frame = FrameFacts(
            captured_ns=now_ns,
            known=known is not None,
            tracks=tracks,
            frame_size=(width_px, height_px),
            scene=() if known is None else known.scene,
            areas=None if known is None else known.areas,
            left_out=0 if known is None else known.detections.left_out,
        )
        self._state, decision = decide(self._settings, _on_the_road(frame), self._state, now_ns)
        stopping = any(
            demand.action in STOPS and demand.reason is not Reason.STARTING
            for demand in decision.demands
        )
        if stopping and self._stopping:
            self._stops[-1] = Episode(self._stops[-1].begin_s, time_s)
        elif stopping:
            self._stops.append(Episode(time_s, time_s))
        self._stopping = stopping

    @property
    def stops(self) -> tuple[Episode, ...]:
        """The stops so far, in order."""
        return tuple(self._stops)


def _on_the_road(frame: FrameFacts) -> Facts:
    """The facts of a turn with no fault: only the frame gives a reason to stop."""
    return Facts(
        frame=frame,
        camera_gone=False,
        inference_hung=False,
        late_share=None,
        unacknowledged_in_a_row=0,
        standstill=True,
        operator_request=True,
        effective_action=None,
        link_up=True,
        ending=False,
    )


def true_perception(frame: TrueFrame, mapping: LabelMapping) -> Known:
    """The ground truth of a frame as the perception of a network that is always right and sure."""
    rows = [(one, mapping.rows[one.label]) for one in frame.objects if one.label in mapping.rows]
    return Known(
        Detections(
            boxes=np.array([one.box for one, _ in rows], np.float32).reshape(-1, 4),
            scores=np.ones(len(rows), np.float32),
            labels=np.array([row for _, row in rows], np.int64),
        )
    )


def figures_json(figures: Mapping[str, StopFigures]) -> dict[str, dict[str, object]]:
    """The figures of each network as plain values."""
    return {
        name: {
            "needed": one.needed,
            "made": one.matched,
            "delay_median_s": float(np.median(one.delays_s)) if one.delays_s else None,
            "delay_worst_s": max(one.delays_s, default=None),
            "false": one.false,
            "false_per_hour": one.false_per_hour,
            "false_per_hour_95": list(one.false_per_hour_95),
            "seconds": one.seconds,
        }
        for name, one in figures.items()
    }
