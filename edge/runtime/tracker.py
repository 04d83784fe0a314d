"""Joins detections of successive frames into tracks that keep their id across short gaps.

Greedy overlap with boxes predicted at constant velocity, in time rather than in frames, so that
dropped frames cost nothing but time. Measures times to contact from pixels where it is given the
frames, else from boxes alone; each track says which. Knows nothing of rules, and never invents a
detection: a track that the newest frame did not show says so in `missed_frames`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.contract.boxes import Boxes, iou_matrix
from edge.contract.perception import BgrImage, Detections
from edge.runtime.closing import Closing
from edge.runtime.registration import Picture
from edge.runtime.time_to_contact import Evidence

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """One object over time, as the newest perceived frame leaves it.

    Attributes:
        id: from 1, never used again within a run.
        box: x1 y1 x2 y2 in frame pixels; predicted where `missed_frames` > 0.
        score: of the last detection that was joined.
        label: index into the mission's labels, the one with the highest summed score so far.
        age_frames: perceived frames since the first, from 0.
        hits: detections joined.
        missed_frames: perceived frames since the last joined detection; 0: seen in this frame.
        first_ns, last_ns: capture times of the first and of the last joined detection.
        time_to_contact_s: from how fast it grows, at the newest frame; inf where not closing.
        contact_from: what that was measured from.
    """

    id: int
    box: tuple[float, float, float, float]
    score: float
    label: int
    age_frames: int
    hits: int
    missed_frames: int
    first_ns: int
    last_ns: int
    time_to_contact_s: float
    contact_from: Evidence


@dataclass(frozen=True)
class TrackerSettings:
    """Thresholds of the tracker.

    iou_min: least overlap of a predicted box with a detection of the same label; the classic 0.3 of
        SORT (Bewley et al., arXiv:1602.00763), which assumes every frame, is loosened for drops.
    iou_other_label: the same for another label; a detector that wavers between car and truck shall
        not break a track, so only a close overlap may do it.
    forget_after_ms: a track not seen for so long ends.
    velocity_gain: share of a newly measured velocity that replaces the old one, 0..1.
    measured_most: so many of the largest objects of a frame are measured from pixels, so that a
        crowd does not cost the loop its budget.
    """

    iou_min: float = 0.2
    iou_other_label: float = 0.5
    forget_after_ms: float = 600.0
    velocity_gain: float = 0.3
    measured_most: int = 4


@dataclass
class _Path:
    """What the tracker remembers of one track. State is centre x, centre y, log width, log height:
    sizes grow and shrink by factors, and a predicted size stays above zero."""

    id: int
    state: Row
    velocity: Row
    at_ns: int
    votes: dict[int, float]
    score: float
    first_ns: int
    age_frames: int = 0
    hits: int = 1
    missed_frames: int = 0
    predicted: Row = field(default_factory=lambda: np.zeros(4))
    closing: Closing = field(default_factory=Closing)

    def predict(self, now_ns: int) -> Row:
        return self.state + self.velocity * ((now_ns - self.at_ns) / 1e9)

    def track(self, now_ns: int) -> Track:
        x1, y1, x2, y2 = (float(v) for v in _corners(self.predicted))
        contact = self.closing.contact(now_ns)
        return Track(
            id=self.id,
            box=(x1, y1, x2, y2),
            score=self.score,
            label=self.label,
            age_frames=self.age_frames,
            hits=self.hits,
            missed_frames=self.missed_frames,
            first_ns=self.first_ns,
            last_ns=self.at_ns,
            time_to_contact_s=contact.time_s,
            contact_from=contact.measured_from,
        )

    @property
    def label(self) -> int:
        """The one with the highest summed score."""
        return max(self.votes, key=lambda label: self.votes[label])


class Tracker:
    """Feed it every perceived frame's detections in order of capture time."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._paths: list[_Path] = []
        self._next_id = 1

    def update(
        self,
        detections: Detections,
        captured_ns: int,
        *,
        frame_size: tuple[int, int],
        image: BgrImage | None,
    ) -> tuple[Track, ...]:
        """Tracks after this frame of (width_px, height_px), those it shows and those it misses, in
        order of id.

        `image` is the frame itself, from which times to contact are measured; None where only
        detections are left of it.
        """
        for path in self._paths:
            path.predicted = path.predict(captured_ns)
            path.age_frames += 1
            path.missed_frames += 1
        joined = self._join(detections, captured_ns)
        picture = Picture(image) if image is not None and len(detections) else None
        measured = _largest(detections.boxes, self._settings.measured_most)
        for row in range(len(detections)):
            path = joined.get(row) or self._start(detections, row, captured_ns)
            x1, y1, x2, y2 = (float(v) for v in detections.boxes[row])
            path.closing.add(
                (x1, y1, x2, y2),
                captured_ns,
                frame_size=frame_size,
                picture=picture if row in measured else None,
            )
        horizon_ns = captured_ns - self._settings.forget_after_ms * 1e6
        self._paths = [path for path in self._paths if path.at_ns >= horizon_ns]
        return tuple(path.track(captured_ns) for path in self._paths)

    def _join(self, detections: Detections, captured_ns: int) -> dict[int, _Path]:
        """Joins detections to tracks, best overlap first; returns the track of each row that found
        one."""
        if not self._paths or not len(detections):
            return {}
        predicted = np.stack([_corners(p.predicted) for p in self._paths]).astype(np.float32)
        overlap = iou_matrix(predicted, detections.boxes)
        labels = np.array([p.label for p in self._paths])
        same = labels[:, None] == detections.labels[None, :]
        settings = self._settings
        allowed = np.where(same, overlap >= settings.iou_min, overlap >= settings.iou_other_label)
        # One that keeps the label goes before a slightly better overlap that changes it.
        worth = np.where(allowed, overlap + same, -1.0)
        taken: dict[int, _Path] = {}
        joined: set[int] = set()
        for flat in np.argsort(-worth, axis=None, kind="stable"):
            index, row = divmod(int(flat), worth.shape[1])
            if worth[index, row] < 0.0:
                break
            if index in joined or row in taken:
                continue
            joined.add(index)
            taken[row] = self._paths[index]
            self._extend(self._paths[index], detections, row, captured_ns)
        return taken

    def _extend(self, path: _Path, detections: Detections, row: int, captured_ns: int) -> None:
        measured = _state(detections.boxes[row])
        elapsed_s = (captured_ns - path.at_ns) / 1e9
        if elapsed_s > 0.0:
            seen = (measured - path.state) / elapsed_s
            # The second detection is the first that shows a velocity at all.
            gain = self._settings.velocity_gain if path.hits > 1 else 0.5
            path.velocity = path.velocity + gain * (seen - path.velocity)
        path.state = path.predicted = measured
        path.at_ns = captured_ns
        path.score = float(detections.scores[row])
        path.hits += 1
        path.missed_frames = 0
        label = int(detections.labels[row])
        path.votes[label] = path.votes.get(label, 0.0) + path.score

    def _start(self, detections: Detections, row: int, captured_ns: int) -> _Path:
        state = _state(detections.boxes[row])
        score, label = float(detections.scores[row]), int(detections.labels[row])
        path = _Path(
            id=self._next_id,
            state=state,
            velocity=np.zeros(4),
            at_ns=captured_ns,
            votes={label: score},
            score=score,
            first_ns=captured_ns,
            predicted=state,
        )
        self._paths.append(path)
        self._next_id += 1
        return path


def _largest(boxes: Boxes, most: int) -> frozenset[int]:
    """The rows of the largest boxes, at most so many."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return frozenset(int(row) for row in np.argsort(-areas, kind="stable")[:most])


def _state(box: NDArray[np.float32]) -> Row:
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, np.log(width), np.log(height)])


def _corners(state: Row) -> Row:
    # Half a pixel to a hundred thousand: a wild size velocity must not overflow.
    half = np.exp(np.clip(state[2:], -0.7, 11.5)) / 2.0
    return np.concatenate([state[:2] - half, state[:2] + half])
