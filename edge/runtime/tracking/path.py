"""The tracker's state of one track, and the arithmetic of many paths at once.

A state is centre x, centre y, log width, log height, in pixels: logarithms, since sizes grow and
shrink by factors and a predicted size must stay above zero. Predicts at constant velocity, in time
rather than in frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.perception.boxes import Boxes
from edge.runtime.tracking.contact_fusion import ContactEstimator
from edge.runtime.tracking.time_to_contact import Contact
from edge.runtime.tracking.track import Track

States = NDArray[np.float64]
"""(4,) of one path, or (N, 4)."""


@dataclass
class Path:
    """One track.

    Attributes:
        state, at_ns: of the last joined detection.
        velocity: of the state, per second.
        votes: label and score of the last detections.
        label: the label with the highest summed score of these; of equal ones the latest.
        predicted: the state now: as predicted, or as just detected.
    """

    id: int
    state: States
    at_ns: int
    votes: deque[tuple[int, float]]
    first_ns: int
    label: int
    predicted: States
    velocity: States = field(default_factory=lambda: np.zeros(4))
    age_frames: int = 0
    hits: int = 1
    missed_frames: int = 0
    estimator: ContactEstimator = field(default_factory=ContactEstimator)

    @staticmethod
    def begin(
        path_id: int, state: States, label: int, score: float, *, at_ns: int, votes_most: int
    ) -> Path:
        """The path of an object that is detected for the first time."""
        votes = deque([(label, score)], maxlen=votes_most)
        return Path(path_id, state, at_ns, votes, at_ns, label, state)

    def join(self, state: States, label: int, score: float, *, at_ns: int) -> None:
        """Takes a detection."""
        self.state = self.predicted = state
        self.at_ns = at_ns
        self.hits += 1
        self.missed_frames = 0
        self.votes.append((label, score))
        sums: dict[int, float] = {}
        for vote, weight in reversed(self.votes):
            sums[vote] = sums.get(vote, 0.0) + weight
        self.label = max(sums, key=lambda vote: sums[vote])

    def track(self, box: Sequence[float], contact: Contact) -> Track:
        """The path as others see it, with its box now and its time to contact."""
        x1, y1, x2, y2 = box
        label_now, score = self.votes[-1]
        return Track(
            id=self.id,
            box=(x1, y1, x2, y2),
            score=score,
            label=self.label,
            age_frames=self.age_frames,
            hits=self.hits,
            missed_frames=self.missed_frames,
            first_ns=self.first_ns,
            last_ns=self.at_ns,
            time_to_contact_s=contact.time_s,
            contact_from=contact.measured_from,
            label_now=label_now,
        )


def predict(paths: Sequence[Path], now_ns: int) -> States:
    """The states (N, 4) of paths now, by their velocities."""
    if not paths:
        return np.zeros((0, 4))
    elapsed_s = np.array([now_ns - path.at_ns for path in paths])[:, None] / 1e9
    states: States = np.stack([path.velocity for path in paths]) * elapsed_s
    states += np.stack([path.state for path in paths])
    return states


def accelerate(
    paths: Sequence[Path], states: States, now_ns: int, *, step_min_s: float, gain: float
) -> None:
    """Takes part of the velocities that newly detected states (N, 4) mean; none where no time has
    passed. The second detection gives the first velocity, so it counts for more."""
    if not paths:
        return
    elapsed_s = np.array([now_ns - path.at_ns for path in paths])[:, None] / 1e9
    gains = np.array([gain if path.hits > 1 else 0.5 for path in paths])[:, None]
    velocities = np.stack([path.velocity for path in paths])
    moved = states - np.stack([path.state for path in paths])
    changed = velocities + gains * (moved / np.maximum(elapsed_s, step_min_s) - velocities)
    for path, velocity in zip(paths, np.where(elapsed_s > 0.0, changed, velocities), strict=True):
        path.velocity = velocity


def states_of(boxes: Boxes) -> States:
    """The states (N, 4) of boxes (N, 4); a side below one pixel counts as one."""
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.concatenate([(low + high) / 2.0, np.log(np.maximum(high - low, 1.0))], axis=1)


def corners(states: States) -> States:
    """The boxes (N, 4), x1 y1 x2 y2, of states (N, 4)."""
    # Sizes from half a pixel to a hundred thousand: a wild velocity of the size must not overflow.
    half = np.exp(np.clip(states[:, 2:], -0.7, 11.5)) / 2.0
    return np.concatenate([states[:, :2] - half, states[:, :2] + half], axis=1)
