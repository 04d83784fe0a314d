"""Tracks objects: joins detections of successive frames into tracks that keep their id across short
gaps.

In: each perceived frame's detections, its capture time, and the frame itself where there is one.
Out: `Track`s, each with its time to contact, measured from pixels where the frames are given, else
from boxes. Joins greedily by overlap (IoU) with boxes predicted at constant velocity, in time
rather than in frames, so that dropped frames cost nothing but time. Work is bounded whatever a
frame holds. Never invents a detection: `missed_frames` says how long a track was not detected.
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
from edge.runtime.tracking.track import Track

Row = NDArray[np.float64]


@dataclass(frozen=True)
class TrackerSettings:
    """Thresholds of the tracker.

    Attributes:
        iou_min: least overlap of a predicted box with a detection of the same label; the 0.3 of
            SORT (Bewley et al., arXiv:1602.00763), which assumes every frame, lowered because
            frames are dropped.
        iou_other_label: the same for another label; a detector that wavers between car and truck
            must not break a track, so only a close overlap joins them.
        forget_after_ms: a track without a detection for so long ends.
        velocity_gain: share of a newly measured velocity that replaces the old one, 0..1.
        step_min_ms: least time between two frames that a velocity is computed over, so that a few
            pixels within a microsecond are no speed.
        measured_most: so many of the largest objects of a frame are measured from pixels, so that
            a crowd does not exhaust the loop's budget.
        label_frames: number of last detections that vote on the label: a change of label takes no
            longer than that.
        followed_most: so many detections of a frame, those with the highest scores, are joined and
            followed; each further one is a track of its own for one frame. Also the most tracks
            that are kept without a detection in the newest frame, the latest detected first.
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
    """The tracker's state of one track: centre x, centre y, log width, log height, in pixels.
    Logarithms, since sizes grow and shrink by factors and a predicted size must stay above zero."""

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
        """The label with the highest summed score; of equal ones the latest."""
        sums: dict[int, float] = {}
        for label, score in reversed(self.votes):
            sums[label] = sums.get(label, 0.0) + score
        return max(sums, key=lambda label: sums[label])


class Tracker:
    """Takes every perceived frame's detections, in order of capture time."""

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
        """Joins one frame's detections to the tracks.

        Args:
            detections: of the frame, highest score first.
            captured_ns: the frame's capture time.
            frame_size: (width_px, height_px).
            image: the frame, from which times to contact are measured; None where only detections
                are left of it.

        Returns:
            The tracks after this frame, those it shows and those it does not, in order of id.

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
        # A frame without detections needs no grey picture.
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
        # The tracker does not follow these, but a rule must still count them.
        tracks += [self._new(rest, row, captured_ns).track(captured_ns) for row in range(len(rest))]
        return tuple(tracks)

    def _forget(self, now_ns: int) -> None:
        """Ends the tracks without a detection for too long, so that no frame after a gap, or of a
        clock that was set back, is joined to them."""
        most_ns = self._settings.forget_after_ms * 1e6
        self._paths = [path for path in self._paths if abs(now_ns - path.at_ns) <= most_ns]

    def _limit(self) -> None:
        """Ends the tracks without a detection for longest, where there are too many."""
        most = self._settings.followed_most
        missed = sorted(
            (path for path in self._paths if path.missed_frames), key=lambda path: -path.at_ns
        )
        ended = {path.id for path in missed[most:]}
        self._paths = [path for path in self._paths if path.id not in ended]

    def _join(self, detections: Detections, captured_ns: int) -> dict[int, _Path]:
        """Joins detections to tracks, best overlap first; returns joined row -> its track."""
        if not self._paths or not len(detections):
            return {}
        predicted = np.stack([_corners(p.predicted) for p in self._paths]).astype(np.float32)
        overlap = iou_matrix(predicted, detections.boxes)
        labels = np.array([p.label for p in self._paths])
        same = labels[:, None] == detections.labels[None, :]
        settings = self._settings
        allowed = np.where(same, overlap >= settings.iou_min, overlap >= settings.iou_other_label)
        # A pair of the same label goes before any overlap that changes the label.
        worth = overlap + same
        pairs = np.flatnonzero(allowed)
        path_of_row: dict[int, _Path] = {}
        joined: set[int] = set()
        for flat in pairs[np.argsort(-worth.ravel()[pairs], kind="stable")]:
            index, row = divmod(int(flat), worth.shape[1])
            if index in joined or row in path_of_row:
                continue
            joined.add(index)
            path_of_row[row] = self._paths[index]
            self._extend(self._paths[index], detections, row, captured_ns)
        return path_of_row

    def _extend(self, path: _Path, detections: Detections, row: int, captured_ns: int) -> None:
        measured = _state(detections.boxes[row])
        elapsed_ns = captured_ns - path.at_ns
        if elapsed_ns > 0:
            step_s = max(elapsed_ns / 1e9, self._settings.step_min_ms / 1e3)
            velocity = (measured - path.state) / step_s
            # The second detection gives the first velocity, so it counts for more.
            gain = self._settings.velocity_gain if path.hits > 1 else 0.5
            path.velocity = path.velocity + gain * (velocity - path.velocity)
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
    """The first `most` detections, which have the highest scores, and the rest."""
    boxes, scores, labels = detections.boxes, detections.scores, detections.labels
    return (
        Detections(boxes[:most], scores[:most], labels[:most]),
        Detections(boxes[most:], scores[most:], labels[most:]),
    )


def _largest(boxes: Boxes, most: int) -> frozenset[int]:
    """The rows of the `most` largest boxes."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return frozenset(int(row) for row in np.argsort(-areas, kind="stable")[:most])


def _state(box: NDArray[np.float32]) -> Row:
    x1, y1, x2, y2 = (float(v) for v in box)
    width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
    return np.array([(x1 + x2) / 2, (y1 + y2) / 2, np.log(width), np.log(height)])


def _corners(state: Row) -> Row:
    # Sizes from half a pixel to a hundred thousand: a wild velocity of the size must not overflow.
    half = np.exp(np.clip(state[2:], -0.7, 11.5)) / 2.0
    return np.concatenate([state[:2] - half, state[:2] + half])
