"""Gives each track its distance: the foot of its box on a flat road.

In: tracks of one frame and the camera over the road. Out: the same tracks with a `GroundDistance`.
A foot that the picture cuts off, or that a nearer object hides, leaves only a near end. Never
measures an object that the frame does not show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.runtime.tracking.ground_plane import GroundCamera, GroundDistance
from edge.runtime.tracking.track import Track

_CUT_WITHIN_PX = 1.0
"""A box that ends so near to the picture's lower edge may go on below it."""

NOT_SHOWN = GroundDistance(unknown="not detected in this frame")


def with_distances(
    tracks: Sequence[Track], camera: GroundCamera, *, frame_size: tuple[int, int]
) -> tuple[Track, ...]:
    """The tracks of a frame of `frame_size` (width_px, height_px), each with its distance."""
    if frame_size != camera.size_px:
        other = GroundDistance(unknown=f"measured for pictures of {_size(camera.size_px)}")
        return tuple(replace(track, distance=other) for track in tracks)
    shown = [track for track in tracks if track.missed_frames == 0]
    alone = {track.id: _distance(track, camera) for track in shown}
    found = {track.id: _behind(track, shown, alone) for track in shown}
    return tuple(replace(track, distance=found.get(track.id, NOT_SHOWN)) for track in tracks)


def _distance(track: Track, camera: GroundCamera) -> GroundDistance:
    x1, top, x2, bottom = track.box
    width, height = camera.size_px
    column = min(max((x1 + x2) / 2.0, 0.0), float(width))
    cut = bottom >= height - _CUT_WITHIN_PX
    row = min(bottom, float(height))
    found = camera.distance(column, row, box_height_px=bottom - top)
    if cut:
        return GroundDistance(0.0, far_m=found.far_m, unknown="its foot is below the picture")
    return found


def _behind(
    track: Track, shown: Sequence[Track], alone: dict[int, GroundDistance]
) -> GroundDistance:
    """The track's distance; where another object covers its foot, the box ends at what is seen of
    it: it then stands behind that object, and not farther than its own box says."""
    own = alone[track.id]
    before = [other for other in shown if _covers_foot(other, track)]
    if not before:
        return own
    ends = [alone[other.id].near_m for other in before] + [own.near_m]
    near_m = min((end for end in ends if end is not None), default=None)
    return GroundDistance(near_m, far_m=own.far_m, unknown="another object may hide its foot")


def _covers_foot(other: Track, track: Track) -> bool:
    x, foot = (track.box[0] + track.box[2]) / 2.0, track.box[3]
    x1, top, x2, bottom = other.box
    return other.id != track.id and x1 <= x <= x2 and top <= foot < bottom


def _size(size_px: tuple[int, int]) -> str:
    return f"{size_px[0]} x {size_px[1]} pixels, this one is of another size"
