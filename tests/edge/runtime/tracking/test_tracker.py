"""Tracks keep their ids through motion, growth, gaps and changing labels; no frame, box or time
costs more than bounded work or raises.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edge.perception.values import BgrImage, Detections
from edge.perception.work_limits import MOST_DETECTIONS
from edge.runtime.tracking.tracker import Tracker, TrackerSettings

MS = 1_000_000
FRAME = (640, 384)


def seen(*rows: tuple[float, float, float, float, int]) -> Detections:
    boxes = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    labels = np.array([row[4] for row in rows], np.int64)
    return Detections(boxes, np.full(len(rows), 0.8, np.float32), labels)


def car(x: float, size: float = 60.0, label: int = 2) -> tuple[float, float, float, float, int]:
    return (x, 100.0, x + size, 100.0 + size, label)


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_moving_growing_car_keeps_its_id_when_frames_are_dropped(step: int) -> None:
    tracker = Tracker()
    for frame in range(0, 75, step):
        (track,) = tracker.update(
            seen(car(10 + 6 * frame, 40 + frame)), frame * 40 * MS, frame_size=FRAME, image=None
        )
    assert track.id == 1
    assert track.hits == len(range(0, 75, step))
    assert track.last_ns - track.first_ns == (75 - 1) // step * step * 40 * MS


def test_a_fast_car_is_found_where_it_is_expected_after_missed_frames() -> None:
    tracker = Tracker()
    for frame in range(10):
        tracker.update(seen(car(20.0 * frame)), frame * 40 * MS, frame_size=FRAME, image=None)
    for frame in range(10, 18):
        (track,) = tracker.update(seen(), frame * 40 * MS, frame_size=FRAME, image=None)
        assert track.missed_frames == frame - 9
    # Eight missed frames at 20 px each: without prediction the boxes would not touch.
    (track,) = tracker.update(seen(car(20.0 * 18)), 18 * 40 * MS, frame_size=FRAME, image=None)
    assert (track.id, track.missed_frames) == (1, 0)


def test_a_car_that_is_gone_too_long_is_another_one() -> None:
    tracker = Tracker()
    tracker.update(seen(car(0.0)), 0, frame_size=FRAME, image=None)
    assert tracker.update(seen(), 700 * MS, frame_size=FRAME, image=None) == ()
    (track,) = tracker.update(seen(car(0.0)), 740 * MS, frame_size=FRAME, image=None)
    assert track.id == 2


def test_crossing_neighbours_keep_their_ids() -> None:
    tracker = Tracker()
    for frame in range(30):
        near = (100 + 4.0 * frame, 200.0, 180 + 4.0 * frame, 300.0, 2)
        far = (300 - 4.0 * frame, 150.0, 340 - 4.0 * frame, 200.0, 2)
        tracks = tracker.update(seen(near, far), frame * 40 * MS, frame_size=FRAME, image=None)
    assert {t.id: t.box[3] for t in tracks} == pytest.approx({1: 300.0, 2: 200.0}, abs=1.0)


def test_a_wavering_label_neither_breaks_the_track_nor_renames_it() -> None:
    tracker = Tracker()
    for frame in range(20):
        label = 7 if frame % 4 == 3 else 2
        (track,) = tracker.update(
            seen(car(5.0 * frame, label=label)), frame * 40 * MS, frame_size=FRAME, image=None
        )
    assert (track.id, track.label) == (1, 2)


def test_two_objects_in_one_frame_never_share_a_track() -> None:
    tracker = Tracker()
    tracker.update(seen(car(0.0)), 0, frame_size=FRAME, image=None)
    tracks = tracker.update(seen(car(2.0), car(4.0)), 40 * MS, frame_size=FRAME, image=None)
    assert sorted(t.id for t in tracks) == [1, 2]


def test_an_empty_frame_ends_nothing_at_once() -> None:
    tracker = Tracker()
    tracker.update(seen(car(0.0), car(300.0)), 0, frame_size=FRAME, image=None)
    tracks = tracker.update(seen(), 40 * MS, frame_size=FRAME, image=None)
    assert [t.id for t in tracks] == [1, 2]
    assert all(t.missed_frames == 1 for t in tracks)


def scored(label: int, score: float, *, shift: float = 0.0) -> Detections:
    """One object at one place, as one frame names it."""
    boxes = np.array([[100.0 + shift, 100.0, 160.0 + shift, 220.0]], np.float32)
    return Detections(boxes, np.array([score], np.float32), np.array([label], np.int64))


@pytest.mark.requirement("R-RUN-15")
@pytest.mark.parametrize("before", [0, 1, 5, 125, 1000])
def test_a_change_of_label_takes_five_frames_whatever_came_before(before: int) -> None:
    """5 s of "vehicle" outvoted a pedestrian of 0.95 for 4.8 s."""
    tracker, now_ns = Tracker(), 0
    for _ in range(before):
        now_ns += 40 * MS
        tracker.update(scored(1, 0.99), now_ns, frame_size=FRAME, image=None)
    names = []
    for _ in range(5):
        now_ns += 40 * MS
        (track,) = tracker.update(scored(0, 0.19), now_ns, frame_size=FRAME, image=None)
        assert track.id == 1
        assert track.label_now == 0
        assert set(track.labels) == {0, track.label}
        names.append(track.label)
    assert names == [1 if before else 0] * (4 if before else 0) + [0] * (1 if before else 5)


@pytest.mark.requirement("R-RUN-15")
def test_equally_sure_names_give_way_to_the_newer_one() -> None:
    tracker = Tracker()
    tracker.update(scored(1, 0.5), 0, frame_size=FRAME, image=None)
    (track,) = tracker.update(scored(0, 0.5), 40 * MS, frame_size=FRAME, image=None)
    assert (track.label, track.label_now) == (0, 0)
    (track,) = tracker.update(scored(1, 0.4), 80 * MS, frame_size=FRAME, image=None)
    assert (track.label, track.label_now) == (1, 1)
    assert track.score == pytest.approx(0.4)


def test_a_track_keeps_to_its_label_where_another_one_overlaps_more() -> None:
    """A person walks in front of a car: the car's box is still there, a bit aside."""
    tracker = Tracker()
    tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
    tracks = tracker.update(
        seen(car(101.0, label=0), car(112.0)), 40 * MS, frame_size=FRAME, image=None
    )
    assert [(t.id, t.label_now) for t in tracks] == [(1, 2), (2, 0)]


def test_another_label_takes_over_a_track_only_where_the_boxes_nearly_agree() -> None:
    for aside, ids in ((10.0, [1]), (30.0, [1, 2])):
        tracker = Tracker()
        tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
        tracks = tracker.update(
            seen(car(100.0 + aside, label=0)), 40 * MS, frame_size=FRAME, image=None
        )
        assert [t.id for t in tracks] == ids
        tracker = Tracker()
        tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
        tracks = tracker.update(seen(car(100.0 + aside)), 40 * MS, frame_size=FRAME, image=None)
        assert [t.id for t in tracks] == [1]


def test_overlaps_of_a_fifth_and_of_a_half_are_enough() -> None:
    """Of 60 pixels: 40 aside is a fifth, 20 aside is a half."""
    for label, aside, hits in ((2, 40.0, 2), (2, 41.0, 1), (0, 20.0, 2), (0, 21.0, 1)):
        tracker = Tracker()
        tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
        tracks = tracker.update(
            seen(car(100.0 + aside, label=label)), 40 * MS, frame_size=FRAME, image=None
        )
        assert tracks[-1].hits == hits


def test_one_detection_goes_on_with_one_track_only() -> None:
    tracker = Tracker()
    tracker.update(seen(car(100.0), car(110.0)), 0, frame_size=FRAME, image=None)
    tracks = tracker.update(seen(car(108.0)), 40 * MS, frame_size=FRAME, image=None)
    assert [(track.id, track.hits, track.missed_frames) for track in tracks] == [
        (1, 1, 1),
        (2, 2, 0),
    ]


def test_two_places_at_one_time_are_no_speed() -> None:
    tracker = Tracker()
    for x in (100.0, 120.0):
        tracker.update(seen(car(x)), 0, frame_size=FRAME, image=None)
    (track,) = tracker.update(seen(), 40 * MS, frame_size=FRAME, image=None)
    assert track.box[0] == pytest.approx(120.0)


def test_a_single_wild_box_is_no_speed() -> None:
    """One detection 20 pixels off: where it is expected next is not far from where it stood."""
    tracker = Tracker()
    for frame in range(20):
        tracker.update(seen(car(100.0)), frame * 40 * MS, frame_size=FRAME, image=None)
    tracker.update(seen(car(120.0)), 800 * MS, frame_size=FRAME, image=None)
    (track,) = tracker.update(seen(), 840 * MS, frame_size=FRAME, image=None)
    assert track.box[0] == pytest.approx(126.0, abs=0.5)  # three tenths of 20 pixels a frame


def test_of_two_detections_half_of_what_they_show_is_the_speed() -> None:
    tracker = Tracker()
    for frame, x in enumerate((100.0, 120.0)):
        tracker.update(seen(car(x)), frame * 40 * MS, frame_size=FRAME, image=None)
    (track,) = tracker.update(seen(), 80 * MS, frame_size=FRAME, image=None)
    assert track.box[0] == pytest.approx(130.0)


def test_no_speed_of_growing_or_shrinking_makes_a_predicted_box_vanish_or_overflow() -> None:
    sizes = {(600.0, 300.0): 0.5, (300.0, 600.0): 1e5}
    for (first, second), limit in sizes.items():
        tracker = Tracker(TrackerSettings(iou_min=0.1))
        for frame, size in enumerate((first, second)):
            box = (320 - size / 2, 192 - size / 2, 320 + size / 2, 192 + size / 2, 2)
            tracker.update(seen(box), frame * MS, frame_size=FRAME, image=None)
        (track,) = tracker.update(seen(), 560 * MS, frame_size=FRAME, image=None)
        assert track.box[2] - track.box[0] == pytest.approx(limit, rel=0.02)
        assert track.box[3] - track.box[1] == pytest.approx(limit, rel=0.02)


def test_a_box_without_a_side_is_a_pixel() -> None:
    (track,) = Tracker().update(seen((50.0, 60.0, 50.0, 60.0, 2)), 0, frame_size=FRAME, image=None)
    assert track.box == pytest.approx((49.5, 59.5, 50.5, 60.5))


def test_a_track_counts_its_frames_and_what_of_them_it_was_seen_in() -> None:
    tracker = Tracker()
    found = [
        tracker.update(seen(*[car(100.0)] * shown), at * 40 * MS, frame_size=FRAME, image=None)[0]
        for at, shown in enumerate((1, 1, 0, 0, 1))
    ]
    assert [track.age_frames for track in found] == [0, 1, 2, 3, 4]
    assert [track.hits for track in found] == [1, 2, 2, 2, 3]
    assert [track.missed_frames for track in found] == [0, 0, 1, 2, 0]


def test_only_the_four_largest_objects_are_measured_from_pixels() -> None:
    """Following one costs 0.6 ms of a frame; the rest is measured from boxes."""
    tracker = Tracker()
    for frame in range(30):
        # The largest lie left, so that it is not their place that counts.
        cars = [car(90.0 * (5 - at), 30.0 + 8 * at + frame / 4) for at in range(6)]
        tracks = tracker.update(
            seen(*cars), frame * 40 * MS, frame_size=FRAME, image=textured(frame % 2)
        )
    by_boxes = [track.id for track in tracks if track.contact_from == "boxes"]
    assert by_boxes[:2] == [1, 2]
    still = Tracker()
    for frame in range(30):
        tracks = still.update(seen(*cars), frame * 40 * MS, frame_size=FRAME, image=textured())
    assert [track.contact_from == "boxes" for track in tracks] == [True] * 2 + [False] * 4


def textured(shift: int = 0) -> BgrImage:
    noise = np.random.default_rng(0).integers(0, 255, (384, 640, 3)).astype(np.uint8)
    return np.asarray(np.roll(noise, shift, axis=1), np.uint8)


@pytest.mark.requirement("R-RUN-28")
@pytest.mark.parametrize("apart_ns", [0, 1, 1_000, 100_000, 499_999])
def test_frames_a_moment_apart_end_nothing_and_are_no_speed(apart_ns: int) -> None:
    """A microsecond made a twentieth of a pixel a speed that no number could hold."""
    tracker, now_ns = Tracker(), 0
    for frame in range(60):
        now_ns += apart_ns if frame % 2 else 40 * MS
        jitter = 0.4 * (frame % 3)
        (track,) = tracker.update(
            seen(car(100.0 + jitter, 60.0 + jitter)),
            now_ns,
            frame_size=FRAME,
            image=textured(frame % 2),
        )
    assert track.id == 1
    assert track.time_to_contact_s > 3.0
    # Where it is expected one missed frame later is still where it stands.
    (track,) = tracker.update(seen(), now_ns + 40 * MS, frame_size=FRAME, image=None)
    assert abs(track.box[0] - 100.0) < 30.0


@pytest.mark.requirement("R-RUN-28")
@pytest.mark.parametrize("back_ms", [100, 10_000])
def test_times_that_go_back_begin_a_new_history(back_ms: int) -> None:
    tracker = Tracker()
    for frame in range(40):
        now_ns = (20_000 + 40 * frame - (back_ms if frame >= 20 else 0)) * MS
        (track,) = tracker.update(
            seen(car(100.0, 60.0 + frame)), now_ns, frame_size=FRAME, image=textured()
        )
    assert track.id == (2 if back_ms > 600 else 1)
    assert track.last_ns == now_ns
    assert track.time_to_contact_s > 1.0


@pytest.mark.requirement("R-RUN-24")
def test_an_object_is_not_joined_to_a_track_from_before_a_gap() -> None:
    tracker = Tracker()
    tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
    (track,) = tracker.update(seen(car(100.0)), 600 * MS, frame_size=FRAME, image=None)
    assert track.id == 1
    (track,) = tracker.update(seen(car(100.0)), 1201 * MS, frame_size=FRAME, image=None)
    assert (track.id, track.hits) == (2, 1)
    (track,) = tracker.update(seen(car(100.0)), 2**62, frame_size=FRAME, image=None)
    assert track.id == 3


ODD_BOXES = {
    "empty": (100.0, 100.0, 100.0, 100.0),
    "inside out": (160.0, 220.0, 100.0, 100.0),
    "left of the picture": (-300.0, 100.0, -200.0, 200.0),
    "below the picture": (100.0, 5000.0, 200.0, 5200.0),
    "a thousand pictures": (-5e5, -5e5, 5e5, 5e5),
    "a line": (0.0, 100.0, 640.0, 100.5),
    "half a pixel": (100.0, 100.0, 100.5, 100.5),
}


@pytest.mark.requirement("R-RUN-28")
@pytest.mark.parametrize("name", ODD_BOXES)
def test_no_box_ends_the_tracker(name: str) -> None:
    tracker = Tracker()
    for frame in range(20):
        tracks = tracker.update(
            seen((*ODD_BOXES[name], 2), car(300.0)),
            frame * 40 * MS,
            frame_size=FRAME,
            image=textured(frame) if frame % 5 else np.full((384, 640, 3), 90, np.uint8),
        )
        assert all(math.isfinite(value) for track in tracks for value in track.box)
    assert max(track.hits for track in tracks) == 20


@pytest.mark.requirement("R-RUN-28")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_boxes_that_are_no_numbers_are_refused(value: float) -> None:
    tracker = Tracker()
    tracker.update(seen(car(100.0)), 0, frame_size=FRAME, image=None)
    for odd in (seen((100.0, value, 160.0, 200.0, 2)), scored(2, value)):
        with pytest.raises(ValueError, match="NaN or Inf"):
            tracker.update(odd, 1, frame_size=FRAME, image=None)
    (track,) = tracker.update(seen(car(100.0)), 40 * MS, frame_size=FRAME, image=None)
    assert (track.id, track.hits, track.missed_frames) == (1, 2, 0)


def crowd(count: int, *, shift: float = 0.0) -> Detections:
    """Boxes in a grid, none of which touches another, best first."""
    places = [(12.0 * (at % 50) + shift, 12.0 * (at // 50)) for at in range(count)]
    boxes = np.array([(x, y, x + 10.0, y + 10.0) for x, y in places], np.float32)
    scores = np.linspace(0.9, 0.5, count, dtype=np.float32)
    return Detections(boxes, scores, np.zeros(count, np.int64))


@pytest.mark.requirement("R-RUN-24")
def test_a_crowd_is_followed_up_to_a_limit_and_nobody_of_it_is_lost() -> None:
    tracker = Tracker()
    for frame in range(3):
        tracks = tracker.update(crowd(3000), frame * 40 * MS, frame_size=FRAME, image=None)
        assert len(tracks) == 3000
        assert len({track.id for track in tracks}) == 3000
        assert all(track.missed_frames == 0 for track in tracks)
    followed = [track for track in tracks if track.hits == 3]
    assert len(followed) == MOST_DETECTIONS
    assert min(track.score for track in followed) >= max(
        track.score for track in tracks if track.hits == 1
    )


def test_what_is_beyond_the_limit_is_still_a_track_of_the_frame() -> None:
    tracker = Tracker(TrackerSettings(followed_most=2))
    for frame in range(2):
        tracks = tracker.update(
            seen(car(100.0), car(300.0), car(500.0)), frame * 40 * MS, frame_size=FRAME, image=None
        )
    assert [(track.hits, track.box[0], track.label) for track in tracks] == [
        (2, pytest.approx(100.0), 2),
        (2, pytest.approx(300.0), 2),
        (1, pytest.approx(500.0), 2),
    ]
    assert tracker.update(seen(), 80 * MS, frame_size=FRAME, image=None)[-1].id == 2


@pytest.mark.requirement("R-RUN-24")
def test_a_crowd_that_flickers_leaves_no_more_tracks_than_may_be_kept() -> None:
    tracker = Tracker()
    for frame in range(14):  # each time other places: nothing is found again within 560 ms
        tracks = tracker.update(
            crowd(300, shift=700.0 * frame), frame * 40 * MS, frame_size=FRAME, image=None
        )
    missed = [track for track in tracks if track.missed_frames]
    assert len(missed) == MOST_DETECTIONS
    assert {track.missed_frames for track in missed} == {1}


def test_on_the_real_clip_one_car_keeps_one_id_for_three_seconds(
    shared_data: Path, root: Path
) -> None:
    """Every second frame only, as on a machine that is too slow for all of them."""
    import cv2

    from edge.backends.options import SessionOptions
    from edge.backends.table import open_session
    from edge.contract.mission.loading import load_mission
    from edge.perception.decode import perceive
    from edge.perception.preprocess import preprocess
    from edge.perception.values import Known

    model = load_mission(root / "examples" / "yolox_nano" / "mission.toml").model
    session = open_session(
        "onnxruntime",
        shared_data / "detectors" / "yolox_nano.onnx",
        options=SessionOptions(threads=2),
    )
    video = cv2.VideoCapture(str(shared_data / "video" / "day_highway.mp4"))
    tracker, lives = Tracker(), {}
    for frame in range(100):
        good, image = video.read()
        assert good
        if frame % 2:
            continue
        tensor, placement = preprocess(image, model.preprocess_spec)
        known = perceive(
            session.infer(tensor),
            model.network_spec,
            placement=placement,
            input_size=(416, 416),
            frame_size=(960, 540),
        )
        assert isinstance(known, Known)
        for track in tracker.update(
            known.detections, frame * 40 * MS, frame_size=(960, 540), image=None
        ):
            lives[track.id] = track
    cars = [t for t in lives.values() if model.labels[t.label] == "car"]
    longest = max(cars, key=lambda t: t.last_ns - t.first_ns)
    assert longest.last_ns - longest.first_ns >= 3_000 * MS
    assert longest.hits >= 30
