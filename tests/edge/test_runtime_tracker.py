"""Tracks keep their ids through motion, growth, gaps and wavering labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.contract.perception import Detections
from edge.runtime.tracker import Tracker

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


def test_on_the_real_clip_one_car_keeps_one_id_for_three_seconds(
    shared_data: Path, root: Path
) -> None:
    """Every second frame only, as on a machine that is too slow for all of them."""
    import cv2

    from edge.backends.table import open_session
    from edge.contract.decode import perceive
    from edge.contract.loading import load_mission
    from edge.contract.perception import Known
    from edge.contract.preprocess import preprocess

    model = load_mission(root / "examples" / "yolox_nano" / "mission.toml").model
    session = open_session("onnxruntime", shared_data / "detectors" / "yolox_nano.onnx", threads=2)
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
