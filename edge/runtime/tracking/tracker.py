"""Joins detections of successive frames into tracks that keep their id across short gaps.

Greedy overlap with boxes predicted at constant velocity, in time rather than in frames, so that
dropped frames cost nothing but time; bounded in its work whatever a frame holds. Measures times to
contact from pixels where it is given the frames, else from boxes alone; each track says which.
Knows nothing of rules, and never invents a detection: a track that the newest frame did not show
says so in `missed_frames`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.perception.boxes import Boxes, iou_matrix
from edge.perception.values import BgrImage, Detections
from edge.perception.work_limits import MOST_DETECTIONS
from edge.runtime.tracking.contact_fusion import ContactEstimator
from edge.runtime.tracking.patch_registration import Picture
from edge.runtime.tracking.time_to_contact import Evidence

Row = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """One object over time, as the newest perceived frame leaves it.

    Attributes:
        id: from 1, never used again within a run.
        box: x1 y1 x2 y2 in frame pixels; predicted where `missed_frames` > 0.
        score: of the last detection that was joined.
        label: index into the mission's labels, the one with the highest summed score over its last
            TrackerSettings.label_frames detections.
        age_frames: perceived frames since the first, from 0.
        hits: detections joined.
        missed_frames: perceived frames since the last joined detection; 0: seen in this frame.
        first_ns, last_ns: capture times of the first and of the last joined detection.
        time_to_contact_s: from how fast it grows, at the newest frame; inf where not closing.
        contact_from: what that was measured from.
        label_now: that of the last detection that was joined; None: the same as `label`.
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
    label_now: int | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """The label of its last detections, and that of the very last."""
        return (self.label,) if self.label_now is None else (self.label, self.label_now)


@dataclass(frozen=True)
class TrackerSettings:
    """Thresholds of the tracker.

    iou_min: least overlap of a predicted box with a detection of the same label; the classic 0.3 of
        SORT (Bewley et al., arXiv:1602.00763), which assumes every frame, is loosened for drops.
    iou_other_label: the same for another label; a detector that wavers between car and truck shall
        not break a track, so only a close overlap may do it.
    forget_after_ms: a track not seen for so long ends.
    velocity_gain: share of a newly measured velocity that replaces the old one, 0..1.
    step_min_ms: frames closer to each other than this count as that far apart where a velocity is
        taken, so that a few pixels within a microsecond are no speed.
    measured_most: so many of the largest objects of a frame are measured from pixels, so that a
        crowd does not cost the loop its budget.
    label_frames: a label is voted over so many of the last detections, so that a change of label
        takes no longer, whatever the track was called before.
    followed_most: so many detections of a frame, the best, are joined and followed; each further
        one is a track of its own for one frame. As many tracks are kept that a frame does not show,
        those last seen first.
    """

    iou_min: float = 0.2
    iou_other_label: float = 0.5
    forget_after_ms: float = 600.0
    velocity_gain: float = 0.3
    step_min_ms: float = 5.0
    measured_most: int = 4
    label_frames: int = 5
    followed_most: int = MOST_DETECTIONS


@dataclass
class _Path:
    """What the tracker remembers of one track. State is centre x, centre y, log width, log height:
    sizes grow and shrink by factors, and a predicted size stays above zero."""

    id: int
    state: Row
    velocity: Row
    at_ns: int
    votes: deque[tuple[int, float]]
    first_ns: int
    age_frames: int = 0
    hits: int = 1
    missed_frames: int = 0
    predicted: Row = field(default_factory=lambda: np.zeros(4))
    estimator: ContactEstimator = field(default_factory=ContactEstimator)

    def predict(self, now_ns: int) -> Row:
        return self.state + self.velocity * ((now_ns - self.at_ns) / 1e9)

    def track(self, now_ns: int) -> Track:
        x1, y1, x2, y2 = (float(v) for v in _corners(self.predicted))
        contact = self.estimator.contact(now_ns)
        return Track(
            id=self.id,
            box=(x1, y1, x2, y2),
            score=self.votes[-1][1],
            label=self.label,
            age_frames=self.age_frames,
            hits=self.hits,
            missed_frames=self.missed_frames,
            first_ns=self.first_ns,
            last_ns=self.at_ns,
            time_to_contact_s=contact.time_s,
            contact_from=contact.measured_from,
            label_now=self.votes[-1][0],
        )

    @property
    def label(self) -> int:
        """The one with the highest summed score; of equals the one that was seen last."""
        sums: dict[int, float] = {}
        for label, score in reversed(self.votes):
            sums[label] = sums.get(label, 0.0) + score
        return max(sums, key=lambda label: sums[label])


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

        Raises:
            ValueError: a box or a score is no number, so that nothing is known of the frame.
        """
        if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
            raise ValueError("detections hold NaN or Inf")
        self._forget(captured_ns)
        for path in self._paths:
            path.predicted = path.predict(captured_ns)
            path.age_frames += 1
            path.missed_frames += 1
        followed, rest = _split(detections, self._settings.followed_most)
        joined = self._join(followed, captured_ns)
        # Of a frame that shows nothing no grey picture is made.
        picture = Picture(image) if image is not None and len(followed) else None
        measured = _largest(followed.boxes, self._settings.measured_most)
        for row in range(len(followed)):
            path = joined.get(row) or self._start(followed, row, captured_ns)
            x1, y1, x2, y2 = (float(v) for v in followed.boxes[row])
            path.estimator.add(
                (x1, y1, x2, y2),
                captured_ns,
                frame_size=frame_size,
                picture=picture if row in measured else None,
            )
        self._limit()
        tracks = [path.track(captured_ns) for path in self._paths]
        # Of no further use to the tracker, and still a person to a rule.
        tracks += [self._new(rest, row, captured_ns).track(captured_ns) for row in range(len(rest))]
        return tuple(tracks)

    def _forget(self, now_ns: int) -> None:
        """Ends the tracks that were not seen for too long, before a frame after a gap (or of a
        clock that was set back) could be joined to them."""
        most_ns = self._settings.forget_after_ms * 1e6
        self._paths = [path for path in self._paths if abs(now_ns - path.at_ns) <= most_ns]

    def _limit(self) -> None:
        """Ends the tracks missed for longest, where there are more than may be kept."""
        most = self._settings.followed_most
        missed = sorted(
            (path for path in self._paths if path.missed_frames), key=lambda path: -path.at_ns
        )
        ended = {path.id for path in missed[most:]}
        self._paths = [path for path in self._paths if path.id not in ended]

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
        worth = overlap + same
        pairs = np.flatnonzero(allowed)
        taken: dict[int, _Path] = {}
        joined: set[int] = set()
        for flat in pairs[np.argsort(-worth.ravel()[pairs], kind="stable")]:
            index, row = divmod(int(flat), worth.shape[1])
            if index in joined or row in taken:
                continue
            joined.add(index)
            taken[row] = self._paths[index]
            self._extend(self._paths[index], detections, row, captured_ns)
        return taken

    def _extend(self, path: _Path, detections: Detections, row: int, captured_ns: int) -> None:
        measured = _state(detections.boxes[row])
        elapsed_ns = captured_ns - path.at_ns
        if elapsed_ns > 0:
            step_s = max(elapsed_ns / 1e9, self._settings.step_min_ms / 1e3)
            seen = (measured - path.state) / step_s
            # The second detection is the first that shows a velocity at all.
            gain = self._settings.velocity_gain if path.hits > 1 else 0.5
            path.velocity = path.velocity + gain * (seen - path.velocity)
        path.state = path.predicted = measured
        path.at_ns = captured_ns
        path.hits += 1
        path.missed_frames = 0
        path.votes.append((int(detections.labels[row]), float(detections.scores[row])))

    def _start(self, detections: Detections, row: int, captured_ns: int) -> _Path:
        path = self._new(detections, row, captured_ns)
        self._paths.append(path)
        return path

    def _new(self, detections: Detections, row: int, captured_ns: int) -> _Path:
        state = _state(detections.boxes[row])
        vote = (int(detections.labels[row]), float(detections.scores[row]))
        path = _Path(
            id=self._next_id,
            state=state,
            velocity=np.zeros(4),
            at_ns=captured_ns,
            votes=deque([vote], maxlen=self._settings.label_frames),
            first_ns=captured_ns,
            predicted=state,
        )
        self._next_id += 1
        return path


def _split(detections: Detections, most: int) -> tuple[Detections, Detections]:
    """The best so many detections, which come first, and the rest."""
    boxes, scores, labels = detections.boxes, detections.scores, detections.labels
    return (
        Detections(boxes[:most], scores[:most], labels[:most]),
        Detections(boxes[most:], scores[most:], labels[most:]),
    )


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
