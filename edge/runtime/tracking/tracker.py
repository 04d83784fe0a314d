"""Tracks objects: joins detections of successive frames into tracks that keep their id across short
gaps.

In: each perceived frame's detections, its capture time, and the frame itself where there is one.
Out: `Track`s, each with its time to contact, measured from pixels where the frames are given, else
from boxes. Joins greedily by overlap (IoU) with boxes predicted at constant velocity, in time
rather than in frames, so that dropped frames cost nothing but time. Work is bounded whatever a
frame holds. Never invents a detection: `missed_frames` says how long a track was not detected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.boxes import Boxes, iou_matrix
from edge.perception.values import BgrImage, Detections
from edge.perception.work_limits import MOST_DETECTIONS
from edge.runtime.tracking.contact_fusion import contacts
from edge.runtime.tracking.patch_registration import Picture
from edge.runtime.tracking.path import (
    Path,
    States,
    accelerate,
    corners,
    predict,
    states_of,
)
from edge.runtime.tracking.track import Track


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


class Tracker:
    """Takes every perceived frame's detections, in order of capture time."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._paths: list[Path] = []
        self._next_id = 1
        self._ahead: tuple[BgrImage, Picture] | None = None

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
        self._paths = self._alive(captured_ns)
        for path, state in zip(self._paths, predict(self._paths, captured_ns), strict=True):
            path.predicted = state
            path.age_frames += 1
            path.missed_frames += 1
        followed, rest = _split(detections, self._settings.followed_most)
        shown = self._join_or_begin(followed, captured_ns)
        # A frame without detections needs no grey picture.
        picture = self._picture(image) if image is not None and shown else None
        measured = _largest(followed.boxes, self._settings.measured_most)
        for row, (path, box) in enumerate(zip(shown, followed.boxes.tolist(), strict=True)):
            path.estimator.add(
                tuple(box),
                captured_ns,
                frame_size=frame_size,
                picture=picture if row in measured else None,
            )
        self._limit()
        # The tracker does not follow the rest, but a rule must still count them.
        paths = self._paths + self._begin(rest, captured_ns)
        boxes = corners(np.stack([path.predicted for path in paths])).tolist() if paths else []
        found = contacts([path.estimator for path in paths], captured_ns)
        return tuple(
            path.track(box, contact) for path, box, contact in zip(paths, boxes, found, strict=True)
        )

    def follow(self, image: BgrImage, captured_ns: int) -> None:
        """Looks for the tracks in the next frame before its detections are known.

        `update` with the same image and time then has less to do and returns the same. May run
        beside anything that does not use this tracker.
        """
        self._ahead = None
        paths = [path for path in self._alive(captured_ns) if path.estimator.has_patch]
        if not paths:
            return
        self._ahead = image, Picture(image)
        # The likeliest to be measured: those that the last frame showed, the largest of them first.
        missed = np.array([path.missed_frames for path in paths])
        areas = _areas(corners(predict(paths, captured_ns)))
        for row in np.lexsort(np.stack([-areas, missed]))[: self._settings.measured_most]:
            paths[row].estimator.follow(self._ahead[1], captured_ns)

    def _picture(self, image: BgrImage) -> Picture:
        """The frame for registration; the same object that `follow` has searched."""
        if self._ahead is not None and self._ahead[0] is image:
            return self._ahead[1]
        return Picture(image)

    def _alive(self, now_ns: int) -> list[Path]:
        """The tracks without those that were not detected for too long, so that no frame after a
        gap, or of a clock that was set back, is joined to them."""
        most_ns = self._settings.forget_after_ms * 1e6
        return [path for path in self._paths if abs(now_ns - path.at_ns) <= most_ns]

    def _limit(self) -> None:
        """Ends the tracks without a detection for longest, where there are too many."""
        most = self._settings.followed_most
        missed = sorted(
            (path for path in self._paths if path.missed_frames), key=lambda path: -path.at_ns
        )
        ended = {path.id for path in missed[most:]}
        self._paths = [path for path in self._paths if path.id not in ended]

    def _join_or_begin(self, detections: Detections, captured_ns: int) -> list[Path]:
        """The path of each detection: one that it joins, or a new one."""
        joined = self._join(detections)
        states = states_of(detections.boxes)
        rows = sorted(joined)
        settings = self._settings
        accelerate(
            [joined[row] for row in rows],
            states[rows],
            captured_ns,
            step_min_s=settings.step_min_ms / 1e3,
            gain=settings.velocity_gain,
        )
        labels, scores = detections.labels.tolist(), detections.scores.tolist()
        for row, path in joined.items():
            path.join(states[row], labels[row], scores[row], at_ns=captured_ns)
        fresh = [row for row in range(len(detections)) if row not in joined]
        new = self._begin(_rows(detections, fresh), captured_ns)
        self._paths += new
        joined.update(zip(fresh, new, strict=True))
        return [joined[row] for row in range(len(detections))]

    def _join(self, detections: Detections) -> dict[int, Path]:
        """Joins detections to tracks, best overlap first; returns joined row -> its track."""
        if not self._paths or not len(detections):
            return {}
        predicted = corners(np.stack([p.predicted for p in self._paths])).astype(np.float32)
        overlap = iou_matrix(predicted, detections.boxes)
        labels = np.array([p.label for p in self._paths])
        same = labels[:, None] == detections.labels[None, :]
        settings = self._settings
        allowed = np.where(same, overlap >= settings.iou_min, overlap >= settings.iou_other_label)
        # A pair of the same label goes before any overlap that changes the label.
        worth = overlap + same
        indices, rows = np.nonzero(allowed)
        order = np.argsort(-worth[indices, rows], kind="stable")
        path_of_row: dict[int, Path] = {}
        joined: set[int] = set()
        for index, row in zip(indices[order].tolist(), rows[order].tolist(), strict=True):
            if index not in joined and row not in path_of_row:
                joined.add(index)
                path_of_row[row] = self._paths[index]
        return path_of_row

    def _begin(self, detections: Detections, captured_ns: int) -> list[Path]:
        """A new path for each detection."""
        if not len(detections):
            return []
        first, self._next_id = self._next_id, self._next_id + len(detections)
        each = zip(
            states_of(detections.boxes),
            detections.labels.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
        return [
            Path.begin(
                first + row,
                state,
                label,
                score,
                at_ns=captured_ns,
                votes_most=self._settings.label_frames,
            )
            for row, (state, label, score) in enumerate(each)
        ]


def _split(detections: Detections, most: int) -> tuple[Detections, Detections]:
    """The first `most` detections, which have the highest scores, and the rest."""
    return _rows(detections, slice(most)), _rows(detections, slice(most, None))


def _rows(detections: Detections, rows: slice | list[int]) -> Detections:
    return Detections(detections.boxes[rows], detections.scores[rows], detections.labels[rows])


def _largest(boxes: Boxes, most: int) -> frozenset[int]:
    """The rows of the `most` largest boxes."""
    return frozenset(np.argsort(-_areas(boxes), kind="stable")[:most].tolist())


def _areas(boxes: Boxes | States) -> NDArray[np.floating]:
    areas: NDArray[np.floating] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas
