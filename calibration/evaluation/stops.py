"""Would the vehicle have stopped: the mission's policy on a network's detections of a clip, held
against the same policy on what is really there.

The device's own tracker and policy decide; the vehicle is one that stands and is released at once,
so that each stop is an episode of its own. Takes frames in the order of the clip; runs no network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import chi2

from calibration.evaluation.data.label_mapping import Naming
from edge.contract.clip_truth import TrueFrame
from edge.contract.mission.checks.policy_checks import STOPS
from edge.contract.mission.schema import Mission
from edge.perception.values import BgrImage, Detections, Known, Perception
from edge.runtime.policy.facts import Facts, FrameFacts
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from firmware_bridge.protocol.messages import Action, Reason

EARLY_S = 1.0
"""A stop that begins at most so long before the true one begins is of the same danger."""


@dataclass(frozen=True)
class Episode:
    """One stop: seconds into the clip of its first and of its last frame."""

    begin_s: float
    end_s: float


@dataclass(frozen=True)
class StopFigures:
    """One network's stops over clips.

    Attributes:
        needed: stops of the policy on the truth.
        made: of those, how many the network made too: a stop that begins at most EARLY_S before
            the true one and not after its end.
        delays_s: of each one made, how long after the true one it began; below 0: before.
        false: stops that answer to no true one.
        seconds: of all clips.
    """

    needed: int
    made: int
    delays_s: tuple[float, ...]
    false: int
    seconds: float

    @property
    def false_per_hour(self) -> float:
        """False stops an hour of clip."""
        return self.false * 3600.0 / self.seconds

    @property
    def false_per_hour_95(self) -> tuple[float, float]:
        """Exact 95 % interval of a Poisson rate (Garwood, Biometrika 1936)."""
        low = float(chi2.ppf(0.025, 2 * self.false)) / 2.0 if self.false else 0.0
        high = float(chi2.ppf(0.975, 2 * self.false + 2)) / 2.0
        return (low * 3600.0 / self.seconds, high * 3600.0 / self.seconds)

    @staticmethod
    def of(clips: Sequence[tuple[Sequence[Episode], Sequence[Episode], float]]) -> StopFigures:
        """Figures of clips, each as true stops, the network's stops and its seconds."""
        needed = made = false = 0
        delays: list[float] = []
        for true, own, _ in clips:
            needed += len(true)
            first = [_prediction(wanted, own) for wanted in true]
            made += sum(one is not None for one in first)
            delays += [
                one.begin_s - wanted.begin_s
                for one, wanted in zip(first, true, strict=True)
                if one is not None
            ]
            false += sum(all(not _answers(one, wanted) for wanted in true) for one in own)
        seconds = sum(length_s for _, _, length_s in clips)
        return StopFigures(needed, made, tuple(delays), false, seconds)


def _answers(one: Episode, wanted: Episode) -> bool:
    """A stop that overlaps the true one, which may begin EARLY_S before it."""
    return one.end_s >= wanted.begin_s - EARLY_S and one.begin_s <= wanted.end_s


def _prediction(wanted: Episode, own: Sequence[Episode]) -> Episode | None:
    """The first stop that answers to the true one."""
    return next((one for one in own if _answers(one, wanted)), None)


def stops_anything(mission: Mission) -> bool:
    """Whether a rule of the mission stops the vehicle for an object."""
    return any(
        Action[rule.action] in STOPS and rule.when.label is not None
        for rule in mission.policy.rules
    )


@dataclass
class PolicyOnClip:
    """The policy on one clip: give it every frame in turn, then ask for its stops.

    `fps` is the clip's frames a second.
    """

    mission: Mission
    fps: float
    _tracker: Tracker = field(default_factory=Tracker)
    _stops: list[Episode] = field(default_factory=list)
    _stopping: bool = False

    def __post_init__(self) -> None:
        self._settings = PolicySettings.of(self.mission, fps=self.fps)
        self._state = initial(self._settings)

    def add(self, perception: Perception, image: BgrImage, time_s: float) -> None:
        """One frame, (H, W, 3) uint8 BGR, and what was perceived in it."""
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
    """Facts of a turn in which all is in order but what the frame shows."""
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


def true_perception(frame: TrueFrame, naming: Naming) -> Known:
    """What is really in a frame as a network that is always right and sure would say it."""
    rows = [(one, naming.rows[one.label]) for one in frame.objects if one.label in naming.rows]
    return Known(
        Detections(
            boxes=np.array([one.box for one, _ in rows], np.float32).reshape(-1, 4),
            scores=np.ones(len(rows), np.float32),
            labels=np.array([row for _, row in rows], np.int64),
        )
    )


def figures_json(figures: Mapping[str, StopFigures]) -> dict[str, dict[str, object]]:
    """Figures of each network as plain values."""
    return {
        name: {
            "needed": one.needed,
            "made": one.made,
            "delay_median_s": float(np.median(one.delays_s)) if one.delays_s else None,
            "delay_worst_s": max(one.delays_s, default=None),
            "false": one.false,
            "false_per_hour": one.false_per_hour,
            "false_per_hour_95": list(one.false_per_hour_95),
            "seconds": one.seconds,
        }
        for name, one in figures.items()
    }
