"""Distances on a flat road against generated scenes, whose distances are known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
import pytest

from edge.perception.values import Detections
from edge.runtime.tracking.ground_plane import GroundCamera, GroundDistance
from edge.runtime.tracking.object_distance import with_distances
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from edge.scenes.clips import clip_frame
from edge.scenes.stories import FPS, STORIES
from edge.scenes.world import CAMERA_HEIGHT_M, Actor, Camera

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


BOTTOM = float(SIZE[1])


def standing(story: str, step: int = 5) -> list[tuple[float, Actor]]:
    """Actors of a story that stand on the road, with their feet in the picture."""
    row = STORIES[story]
    return [
        (time_s, actor)
        for time_s in np.arange(0.0, row.seconds, step / FPS)
        for actor in row.at(float(time_s), 0).actors
        if actor.lift_m == 0.0 and SEEN.row_px(0.0, actor.z_m) < BOTTOM - 2.0
    ]


def foot_box(
    z_m: float, *, x_m: float = 0.0, height_m: float = 1.7
) -> tuple[float, float, float, float]:
    x1, top, x2, bottom = Actor("pedestrian", x_m, z_m, 0.6, height_m, 0.0, 0).box_px(SEEN).tolist()
    return x1, top, x2, bottom


@pytest.mark.parametrize("story", STORIES)
def test_boxes_as_they_are_give_the_distances_of_the_story(story: str) -> None:
    for _, actor in standing(story):
        (found,) = distances(tuple(actor.box_px(SEEN).tolist()))
        if found.ahead_m is None:
            continue
        assert found.ahead_m == pytest.approx(actor.z_m, rel=1e-3)
        if 0.0 <= SEEN.column_px(actor.x_m, actor.z_m) <= SIZE[0]:
            assert found.aside_m == pytest.approx(actor.x_m, abs=0.02)


def test_every_story_has_distances_below_40_m() -> None:
    near = [
        found
        for story in STORIES
        for _, actor in standing(story)
        if actor.z_m < 40.0
        for found in distances(tuple(actor.box_px(SEEN).tolist()))
    ]
    assert len(near) > 200
    assert all(found.ahead_m is not None for found in near)


def test_tracks_of_drawn_pictures_are_where_the_truth_says() -> None:
    """Boxes as the pictures show them, followed by the tracker."""
    tracker, camera = Tracker(), ground_camera()
    errors = []
    for index in range(0, 60, 6):
        scene = clip_frame("vehicle_brakes", index, seed=1)
        found = Detections(scene.boxes, np.full(len(scene.ids), 0.9, np.float32), scene.labels)
        at_ns = round(index / FPS * 1e9)
        tracks = tracker.update(found, at_ns, frame_size=SIZE, image=None)
        for track in with_distances(tracks, camera, frame_size=SIZE):
            far_off = np.abs(scene.boxes - np.array(track.box)).sum(axis=1)
            true_m = float(scene.distance_m[int(np.argmin(far_off))])
            if track.missed_frames == 0 and track.distance and track.distance.ahead_m:
                errors.append(abs(track.distance.ahead_m / true_m - 1.0))
    assert len(errors) >= 10
    assert max(errors) < 0.02


@pytest.mark.requirement("R-RUN-151")
def test_near_and_far_end_hold_the_truth_as_often_as_they_say() -> None:
    """Boxes and pitch wrong by their stated errors: 95 of 100 truths lie between the ends."""
    random = np.random.default_rng(0)
    nearer = farther = count = 0
    for story in STORIES:
        for _, actor in standing(story):
            x1, top, x2, bottom = actor.box_px(SEEN).tolist()
            wrong_px = random.normal() * math.hypot(1.0, 0.03 * (bottom - top))
            bottom += wrong_px
            if bottom >= BOTTOM - 2.0:
                continue
            (found,) = distances((x1, top, x2, bottom), pitch_deg=random.normal() * 0.2)
            count += 1
            nearer += found.near_m is not None and found.near_m > actor.z_m
            farther += found.far_m is not None and found.far_m < actor.z_m
    assert count > 300
    assert nearer / count < 0.035
    assert farther / count < 0.035
    assert nearer + farther > 0  # ends that hold everything would say nothing


@pytest.mark.requirement("R-RUN-150")
def test_no_distance_is_infinite_near_the_horizon() -> None:
    for row in np.arange(SEEN.horizon_px - 60.0, SEEN.horizon_px + 60.0, 0.5):
        (found,) = distances((310.0, float(row) - 30.0, 330.0, float(row)))
        ends = [found.near_m, found.ahead_m, found.far_m]
        assert all(end is None or math.isfinite(end) for end in ends)
        assert (found.ahead_m is None) == (found.far_m is None) == bool(found.unknown)
        if row <= SEEN.horizon_px:
            assert found.ahead_m is None
        if found.ahead_m is not None:
            assert found.near_m is not None
            assert found.far_m is not None
            assert found.near_m < found.ahead_m < found.far_m
    (high,) = distances((310.0, 50.0, 330.0, 90.0))
    assert (high.near_m, high.unknown) == (None, "above the horizon")


@pytest.mark.requirement("R-RUN-152")
def test_a_foot_below_the_picture_is_at_the_bumper() -> None:
    (found,) = distances((200.0, 100.0, 400.0, BOTTOM))
    assert (found.near_m, found.ahead_m) == (0.0, None)
    assert found.far_m is not None
    assert found.far_m < 5.0


@pytest.mark.requirement("R-RUN-152")
def test_an_object_behind_another_may_be_as_near_as_that() -> None:
    car = foot_box(8.0, height_m=1.5)
    x1, top, x2, _ = foot_box(20.0)
    hidden = (x1, top, x2, (top + foot_box(20.0)[3]) / 2.0)  # of the person only head and chest
    (alone,) = distances(hidden)
    front, behind = distances(car, hidden)
    assert alone.near_m is None or alone.near_m > 20.0
    assert front.ahead_m == pytest.approx(8.0, rel=1e-3)
    assert behind.near_m is not None
    assert behind.near_m == front.near_m
    assert behind.ahead_m is None


def test_distances_count_from_the_bumper() -> None:
    lens, bumper = (distances(foot_box(10.0), to_bumper_m=metres)[0] for metres in (0.0, 1.5))
    for end in ("near_m", "ahead_m", "far_m"):
        assert getattr(lens, end) - getattr(bumper, end) == pytest.approx(1.5)
    (touching,) = distances(foot_box(4.0), to_bumper_m=5.0)
    assert touching.near_m == touching.ahead_m == 0.0


def test_a_lens_that_distorts_and_looks_down_gives_the_same_distance() -> None:
    lens = (-0.28, 0.07, 0.001, -0.0005, 0.0)
    down = math.radians(8.0)
    camera = ground_camera(distortion=lens, pitch_deg=8.0, cy_px=192.0)
    for x_m, z_m in ((0.0, 6.0), (-2.5, 9.0), (3.0, 15.0), (1.0, 30.0)):
        y = 1.3 * math.cos(down) - z_m * math.sin(down)
        depth = 1.3 * math.sin(down) + z_m * math.cos(down)
        point = np.array([[[x_m, y, depth]]])
        ((column, row),) = cv2.projectPoints(
            point, np.zeros(3), np.zeros(3), camera.matrix, np.array(lens)
        )[0].reshape(1, 2)
        found = camera.distance(float(column), float(row), box_height_px=50.0)
        assert found.ahead_m == pytest.approx(z_m, rel=1e-3)
        assert found.aside_m == pytest.approx(x_m, abs=0.01)


def test_outside_of_what_the_distortion_describes_nothing_is_known() -> None:
    # A strong barrel folds back: no direction leads to the picture's corner.
    camera = ground_camera(distortion=(-0.9, 0.0, 0.0, 0.0, 0.0), fx_px=300.0, fy_px=300.0)
    found = camera.distance(639.0, 380.0, box_height_px=50.0)
    assert found.near_m is None
    assert "distortion" in found.unknown


@pytest.mark.parametrize(
    "wider", [{"pitch_error_deg": 1.0}, {"foot_error_px": 5.0}, {"height_error_m": 0.2}]
)
def test_a_larger_error_only_ever_widens(wider: dict[str, Any]) -> None:
    (usual,) = distances(foot_box(15.0))
    (wide,) = distances(foot_box(15.0), **wider)
    assert usual.near_m is not None
    assert usual.far_m is not None
    assert wide.near_m is not None
    assert wide.near_m < usual.near_m
    assert wide.far_m is None or wide.far_m > usual.far_m


def test_only_what_a_frame_of_this_camera_shows_is_measured() -> None:
    (missed,) = with_distances(
        boxed((310.0, 200.0, 330.0, 260.0), missed_frames=1), ground_camera(), frame_size=SIZE
    )
    (other,) = with_distances(
        boxed((310.0, 200.0, 330.0, 260.0)), ground_camera(), frame_size=(1280, 720)
    )
    for track in (missed, other):
        assert track.distance is not None
        assert track.distance.near_m is None
        assert dataclasses.replace(track.distance, unknown="").ahead_m is None
