"""The camera of generated scenes as a mission's `[camera.geometry]`, and tracks of their actors."""

from __future__ import annotations

import math
from typing import Any

from edge.perception.ground_plane import GroundCamera, GroundDistance
from edge.runtime.tracking.object_distance import with_distances
from edge.runtime.tracking.track import Track
from edge.scenes.world import CAMERA_HEIGHT_M, Camera

SIZE = (640, 384)
SEEN = Camera(*SIZE, SIZE[1] * 0.45)
GEOMETRY: dict[str, Any] = {
    "width_px": SIZE[0],
    "height_px": SIZE[1],
    "fx_px": SEEN.focal_px,
    "fy_px": SEEN.focal_px,
    "cx_px": SIZE[0] / 2.0,
    "cy_px": SEEN.horizon_px,
    "distortion": (0.0,) * 5,
    "height_m": CAMERA_HEIGHT_M,
    "pitch_deg": 0.0,
    "to_bumper_m": 0.0,
    "height_error_m": 0.01,
    "pitch_error_deg": 0.2,
    "foot_error_px": 1.0,
    "foot_error_share": 0.03,
}


def ground_camera(**changes: Any) -> GroundCamera:
    """The camera of generated scenes over their road."""
    rest = {key: value for key, value in GEOMETRY.items() if not key.endswith("_px")}
    rest |= {key: GEOMETRY[key] for key in ("fx_px", "fy_px", "cx_px", "cy_px", "foot_error_px")}
    return GroundCamera(**({"size_px": SIZE} | rest | changes))


def boxed(*boxes: tuple[float, float, float, float], missed_frames: int = 0) -> list[Track]:
    """Tracks with these boxes; ids from 1."""
    return [
        Track(row + 1, box, 0.9, 0, 3, 4, missed_frames, 0, 0, math.inf, "boxes")
        for row, box in enumerate(boxes)
    ]


def distances(*boxes: tuple[float, float, float, float], **changes: Any) -> list[GroundDistance]:
    """The distances of objects with these boxes."""
    found = [
        track.distance
        for track in with_distances(boxed(*boxes), ground_camera(**changes), frame_size=SIZE)
    ]
    return [distance for distance in found if distance is not None]
