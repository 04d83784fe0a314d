"""Time to contact against the truth of generated clips, with boxes that jitter as a detector's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.perception.boxes import iou_matrix
from edge.perception.values import Detections
from edge.runtime.tracking.time_to_contact import SizeHistory
from edge.runtime.tracking.tracker import Tracker
from edge.scenes.clips import clip
from edge.scenes.stories import FPS, STORIES
from edge.scenes.world import Actor, Camera, vehicle

MS = 1_000_000
FRAME = (640, 384)
CAMERA = Camera(*FRAME, 170.0)
STEP_S = 1.0 / FPS


@dataclass
class Jitter:
    """What a detector does to a true box: each edge moves by a share of the side, and keeps some of
    that from frame to frame."""

    share: float
    memory: float
    random: np.random.Generator
    state: np.ndarray | None = None

    def of(self, box: np.ndarray) -> np.ndarray:
        drawn = self.random.normal(size=4)
        kept = self.memory * self.state if self.state is not None else drawn
        self.state = kept + math.sqrt(1.0 - self.memory**2) * drawn
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        moved = box + self.share * sides * self.state / math.sqrt(2.0)  # two edges make a side
        return np.clip(moved, 0.0, np.array(FRAME * 2)).astype(np.float32)


def jittered(seed: int = 0, share: float = 0.03, memory: float = 0.5) -> Jitter:
    return Jitter(share, memory, np.random.default_rng(seed))


def of_story(story: str, seed: int) -> Iterator[tuple[float, float]]:
    """(true, estimated) time to contact of every labelled object of a clip that a track shows."""
    tracker, jitters = Tracker(), dict[int, Jitter]()
    for index, scene in enumerate(clip(story, seed=seed)):
        boxes = [
            jitters.setdefault(int(id_), jittered(1000 * seed + int(id_))).of(box)
            for id_, box in zip(scene.ids, scene.boxes, strict=True)
        ]
        found = Detections(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.full(len(boxes), 0.8, np.float32),
            scene.labels,
        )
        tracks = tracker.update(found, round(index * STEP_S * 1e9), frame_size=FRAME, image=None)
        shown = [track for track in tracks if track.missed_frames == 0]
        overlap = iou_matrix(
            found.boxes, np.array([t.box for t in shown], np.float32).reshape(-1, 4)
        )
        for row, true in enumerate(scene.time_to_contact_s):
            yield float(true), shown[int(overlap[row].argmax())].time_to_contact_s


def approach(distances_m: np.ndarray, jitter: Jitter | None = None) -> list[float]:
    """Estimates while a vehicle ahead goes through these distances, a frame each."""
    history, found = SizeHistory(), []
    for index, z in enumerate(distances_m):
        box = vehicle(0.0, float(z), look=1).box_px(CAMERA)
        moved = box if jitter is None else jitter.of(box)
        x1, y1, x2, y2 = (float(v) for v in moved)
        history.add((x1, y1, x2, y2), round(index * STEP_S * 1e9), frame_size=FRAME)
        found.append(history.time_to_contact_s(round(index * STEP_S * 1e9)))
    return found


def test_the_median_error_inside_three_seconds_is_under_a_fifth() -> None:
    """Over every story: what is not estimated yet counts as an error without bound."""
    errors = []
    for story in STORIES:
        for true, estimated in of_story(story, seed=0):
            if true < 3.0:
                errors.append(abs(estimated - true) / true)
    assert len(errors) > 50
    assert np.median(errors) < 0.20


@pytest.mark.parametrize("seed", range(3))
def test_a_vehicle_that_brakes_ahead_is_told_in_time(seed: int) -> None:
    """The truth is below 2.5 s for one second only; speeds change all the while."""
    told = np.array(list(of_story("vehicle_brakes", seed)))
    near = told[:, 0] < 3.0
    errors = np.abs(told[near, 1] - told[near, 0]) / told[near, 0]
    assert np.median(errors) < 0.20
    assert np.mean(told[told[:, 0] < 2.5, 1] < 2.5) > 0.9
    # What does not come closer is not called near, but for a moment after both have stopped.
    assert np.mean(told[told[:, 0] > 10.0, 1] < 2.5) < 0.02


@pytest.mark.parametrize("speed_mps", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_steady_approach_is_told_well(speed_mps: float, seed: int) -> None:
    distances = np.arange(45.0, 3.0, -speed_mps * STEP_S)
    true = distances / speed_mps
    found = np.array(approach(distances, jittered(seed)))
    near = (true < 3.0) & (np.arange(len(true)) >= 10)
    errors = np.abs(found[near] - true[near]) / true[near]
    assert np.median(errors) < 0.15
    assert np.mean(errors < 0.5) > 0.9


def test_exact_boxes_give_the_exact_time() -> None:
    distances = np.arange(30.0, 6.0, -10.0 * STEP_S)
    found = approach(distances)
    assert found[-1] == pytest.approx(distances[-1] / 10.0, rel=1e-4)


@pytest.mark.parametrize("speed_mps", [0.0, -5.0], ids=["keeps its distance", "drives away"])
def test_what_does_not_come_closer_is_hardly_ever_called_closing(speed_mps: float) -> None:
    distances = 20.0 - speed_mps * STEP_S * np.arange(250)
    found = [t for seed in range(8) for t in approach(distances, jittered(seed))]
    assert np.mean(np.array(found) < 2.5) == 0.0
    assert np.mean(np.isfinite(found)) < 0.05


def test_closing_is_noticed_within_half_a_second() -> None:
    distances = np.concatenate([np.full(50, 18.0), np.arange(18.0, 9.0, -9.0 * STEP_S)])
    late = []
    for seed in range(10):
        found = np.array(approach(distances, jittered(seed)))
        late.append((np.flatnonzero(found < 3.0)[0] - 49) * STEP_S)
    assert 0.0 < min(late) <= max(late) <= 0.6
    assert np.median(late) <= 0.4


def test_a_few_frames_tell_nothing() -> None:
    assert np.isinf(approach(np.array([10.0, 9.0, 8.0, 7.0]))).all()


def test_one_wild_box_does_not_hide_a_vehicle_that_closes_in() -> None:
    history = SizeHistory()
    for index, z in enumerate(np.arange(25.0, 15.0, -10.0 * STEP_S)):
        height = 800.0 / z * (2.0 if index == 18 else 1.0)
        box = (200.0, 100.0, 200.0 + height, 100.0 + height)
        history.add(box, index * 40 * MS, frame_size=FRAME)
        if index >= 10:
            found = history.time_to_contact_s(index * 40 * MS)
            assert found == pytest.approx(z / 10.0, rel=0.05), index


def cut_off(thing: Actor) -> tuple[float, float, float, float]:
    """Its box as a camera sees it: what is outside of the picture is cut off."""
    box = np.clip(thing.box_px(CAMERA), 0.0, np.array(FRAME * 2))
    x1, y1, x2, y2 = (float(v) for v in box)
    return (x1, y1, x2, y2)


def test_a_side_that_the_frame_cuts_does_not_count() -> None:
    """Beside the lane: its left edge leaves the picture, so that it seems to get narrower."""
    history = SizeHistory()
    for index, z in enumerate(np.arange(14.0, 5.0, -8.0 * STEP_S)):
        history.add(cut_off(vehicle(-3.0, float(z), look=1)), index * 40 * MS, frame_size=FRAME)
    assert cut_off(vehicle(-3.0, float(z), look=1))[0] == 0.0
    assert history.time_to_contact_s(index * 40 * MS) == pytest.approx(z / 8.0, rel=0.02)


def test_what_fills_the_picture_coasts_for_a_moment_and_then_tells_nothing() -> None:
    history = SizeHistory()
    for index, z in enumerate(np.arange(10.0, 6.0, -8.0 * STEP_S)):
        history.add(cut_off(vehicle(0.0, float(z), look=1)), index * 40 * MS, frame_size=FRAME)
    whole = (0.0, 0.0, 640.0, 384.0)
    for later in range(1, 10):
        history.add(whole, (index + later) * 40 * MS, frame_size=FRAME)
        expected = (z - 8.0 * STEP_S * later) / 8.0
        now = history.time_to_contact_s((index + later) * 40 * MS)
        assert now == pytest.approx(max(expected, 0.001), abs=0.01), later
    history.add(whole, (index + 11) * 40 * MS, frame_size=FRAME)
    assert math.isinf(history.time_to_contact_s((index + 11) * 40 * MS))


def test_a_person_who_turns_sideways_does_not_come_closer() -> None:
    history = SizeHistory()
    for index in range(25):
        width = 30.0 + 1.2 * index
        box = (300.0, 100.0, 300.0 + width, 220.0)
        history.add(box, index * 40 * MS, frame_size=FRAME)
    assert math.isinf(history.time_to_contact_s(24 * 40 * MS))


def test_dropped_frames_cost_nothing_but_time() -> None:
    distances = np.arange(30.0, 6.0, -10.0 * STEP_S)
    history = SizeHistory()
    for index in (i for i in range(len(distances)) if i % 5 in (0, 2)):
        box = cut_off(vehicle(0.0, float(distances[index]), look=1))
        history.add(box, round(index * STEP_S * 1e9), frame_size=FRAME)
        last = index
    found = history.time_to_contact_s(round(last * STEP_S * 1e9))
    assert found == pytest.approx(distances[last] / 10.0, rel=1e-3)


@pytest.mark.parametrize("fps", [5.0, 10.0, 60.0])
def test_slow_and_fast_cameras_are_served(fps: float) -> None:
    distances = np.arange(30.0, 8.0, -8.0 / fps)
    history, jitter = SizeHistory(), jittered(4)
    for index, z in enumerate(distances):
        x1, y1, x2, y2 = (
            float(v) for v in jitter.of(vehicle(0.0, float(z), look=1).box_px(CAMERA))
        )
        history.add((x1, y1, x2, y2), round(index * 1e9 / fps), frame_size=FRAME)
    found = history.time_to_contact_s(round(index * 1e9 / fps))
    assert found == pytest.approx(float(distances[-1]) / 8.0, rel=0.25)


def test_frames_with_the_same_stamp_tell_nothing_and_break_nothing() -> None:
    history = SizeHistory()
    for at_ms in (0, 350, 350, 350, 350, 350, 350, 350, 350):
        history.add((100.0, 100.0, 150.0 + at_ms / 10, 150.0), at_ms * MS, frame_size=FRAME)
        assert math.isinf(history.time_to_contact_s(at_ms * MS))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 640.0), st.floats(0.0, 384.0), st.floats(0, 640), st.floats(0, 384)
        ),
        max_size=20,
    ),
    st.lists(st.sampled_from([0, 0, 1, 40, 200, 700]), min_size=20, max_size=20),
)
def test_whatever_boxes_come_the_time_is_above_zero(
    boxes: list[tuple[float, float, float, float]], gaps_ms: list[int]
) -> None:
    history, now_ns = SizeHistory(), 0
    for box, gap_ms in zip(boxes, gaps_ms, strict=False):
        now_ns += gap_ms * MS
        history.add(box, now_ns, frame_size=FRAME)
        assert history.time_to_contact_s(now_ns) > 0.0
