"""A track: one object over time.

A value: the tracker makes it; rules, log and overlay read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.runtime.tracking.ground_plane import GroundDistance
from edge.runtime.tracking.time_to_contact import Evidence


@dataclass(frozen=True)
class Track:
    """One object over time, after the newest perceived frame.

    Attributes:
        id: from 1, never used again within a run.
        box: x1 y1 x2 y2 in frame pixels; predicted where `missed_frames` > 0.
        score: of the last joined detection.
        label: index into the mission's labels; the label with the highest summed score over the
            last TrackerSettings.label_frames detections.
        age_frames: perceived frames since the first, from 0.
        hits: number of joined detections.
        missed_frames: perceived frames since the last joined detection; 0: detected in this frame.
        first_ns, last_ns: capture times of the first and of the last joined detection.
        time_to_contact_s: at the newest frame; inf where not closing.
        contact_from: what the time to contact was measured from.
        label_now: label of the last joined detection; None: the same as `label`.
        distance: along the road; None: the mission does not say how the camera is mounted.
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
    distance: GroundDistance | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """The voted label, and that of the last detection."""
        return (self.label,) if self.label_now is None else (self.label, self.label_now)
