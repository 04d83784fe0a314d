"""Generated roads: the same for a seed, and true."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.contract.conditions import LIGHTS, ROADS, WEATHERS, Conditions
from edge.scenes import world
from edge.scenes.still import CALIBRATION, TRAINING, UNSEEN, render, seed_of, still
from edge.scenes.stories import FPS, STEPS_OUT_AT_S, STORIES, clip, write_clip


def test_a_seed_gives_the_same_pixels_and_another_seed_others() -> None:
    first, again, other = still(7), still(7), still(8)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.boxes, again.boxes)
    assert not np.array_equal(first.image, other.image)


def test_a_still_does_not_depend_on_what_was_drawn_before() -> None:
    still(1)
    np.testing.assert_array_equal(still(7).image, still(7).image)


def test_purposes_never_share_a_seed() -> None:
    seeds = [{seed_of(purpose, n) for n in (0, 5, 99_999_999)} for purpose in (0, 1, 2)]
    assert (TRAINING, CALIBRATION, UNSEEN) == (0, 1, 2)
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]


def test_boxes_lie_in_the_picture_and_every_label_occurs() -> None:
    scenes = [still(seed) for seed in range(40)]
    boxes = np.concatenate([scene.boxes for scene in scenes])
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0.0
    assert boxes[:, 2].max() <= 640
    assert boxes[:, 3].max() <= 384
    assert set(np.concatenate([scene.labels for scene in scenes])) == {0, 1, 2}
    assert any(len(scene.labels) == 0 for scene in scenes), "a clear road must occur"


@pytest.mark.parametrize("make", [world.pedestrian, world.vehicle, world.sign])
def test_a_box_is_where_the_picture_changes(make: object) -> None:
    camera = world.Camera(640, 384, 170.0)
    thing = make(0.5, 9.0, look=2)  # type: ignore[operator] # one of three functions alike
    empty = render(camera, [], look_seed=3, travelled_m=0.0).image.astype(int)
    scene = render(camera, [thing], look_seed=3, travelled_m=0.0)
    changed = np.abs(scene.image.astype(int) - empty).max(axis=2) > 25
    x1, y1, x2, y2 = np.round(scene.boxes[0]).astype(int)
    inside = changed[y1:y2, x1:x2]
    assert inside.mean() > 0.25
    rows, columns = np.nonzero(inside)
    tight = 0.12 * max(y2 - y1, x2 - x1) + 3
    assert rows.min() <= tight
    assert columns.min() <= tight + 0.15 * (x2 - x1)
    outside = changed.copy()
    outside[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = False
    outside[y2 - 12 :] = False  # the shadow under it
    outside[:, :x1] &= thing.lift_m == 0.0  # type: ignore[attr-defined] # a Thing
    if thing.lift_m == 0.0:  # type: ignore[attr-defined] # a Thing; a sign has a pole below its box
        assert outside.mean() < 0.002


ALL = [Conditions(*row) for row in itertools.product(WEATHERS, LIGHTS, ROADS)]


@pytest.mark.parametrize("conditions", ALL, ids=lambda c: f"{c.weather}-{c.light}-{c.road}")
def test_every_combination_of_conditions_is_drawn(conditions: Conditions) -> None:
    scene = still(11, conditions=conditions)
    again = still(11, conditions=conditions)
    np.testing.assert_array_equal(scene.image, again.image)
    assert scene.conditions == conditions
    expected = {"rain": "wet", "snow": "snow", "fog": "fog"}.get(conditions.weather or "", "dry")
    assert scene.road_condition == expected
    assert scene.image.std() > 5.0
    assert len(scene.ids) == len(set(scene.ids)) == len(scene.boxes)


def test_left_open_conditions_are_drawn_and_all_occur() -> None:
    seen = [still(seed, width_px=160, height_px=96).conditions for seed in range(150)]
    assert {c.weather for c in seen} == set(WEATHERS)
    assert {c.light for c in seen} == set(LIGHTS)
    assert {c.road for c in seen} == set(ROADS)
    wet = [still(seed, conditions=Conditions(weather="rain")) for seed in range(3)]
    assert {scene.road_condition for scene in wet} == {"wet"}


@pytest.mark.parametrize("story", STORIES)
def test_time_to_contact_is_distance_over_closing_speed(story: str) -> None:
    frames = list(clip(story, width_px=160, height_px=96))
    checked = 0
    for before, frame, after in zip(frames, frames[1:], frames[2:], strict=False):
        for row, thing in enumerate(frame.ids):
            if thing not in before.ids or thing not in after.ids:
                continue
            nearer = float(before.distance_m[before.ids == thing][0])
            speed = (nearer - float(after.distance_m[after.ids == thing][0])) * FPS / 2.0
            told = float(frame.time_to_contact_s[row])
            if speed > 0.3:
                assert told == pytest.approx(frame.distance_m[row] / speed, rel=0.05)
                checked += 1
            elif speed < -0.01:
                assert told == np.inf
    assert checked > 20


def test_a_hidden_object_carries_no_label() -> None:
    camera = world.Camera(640, 384, 170.0)
    hidden = world.pedestrian(0.0, 12.0, look=1)
    lorry = world.vehicle(0.0, 8.0, look=3)
    scene = render(camera, [hidden, lorry], look_seed=0, travelled_m=0.0)
    assert scene.labels.tolist() == [world.SCENE_LABELS.index("vehicle")]


def test_the_pedestrian_waits_steps_out_crosses_the_lane_and_leaves() -> None:
    frames = list(clip("pedestrian_steps_out"))
    assert len(frames) == round(STORIES["pedestrian_steps_out"].seconds * FPS)
    middle = []
    for frame in frames:
        boxes = frame.boxes[frame.labels == 0]
        middle.append(float(boxes[0, [0, 2]].mean()) if len(boxes) else None)
    waits = round(STEPS_OUT_AT_S * FPS)
    assert middle[waits] is not None
    assert middle[waits] > 400
    crossing = [x for x in middle if x is not None and abs(x - 320) < 40]
    assert len(crossing) > 10
    assert middle[-1] is None, "gone at the end"
    assert not any((frame.labels == 0).any() for frame in clip("clear_road"))


def test_a_written_clip_can_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    seen: list[int] = []
    frames = write_clip(path, "clear_road", progress=lambda _what, done, _of: seen.append(done))
    reader = cv2.VideoCapture(str(path))
    assert int(reader.get(cv2.CAP_PROP_FRAME_COUNT)) == frames == seen[-1]
    ok, image = reader.read()
    assert ok
    assert image.shape == (384, 640, 3)
    assert list(tmp_path.iterdir()) == [path]
