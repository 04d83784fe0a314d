"""How well registration tracks the scale of a patch, on generated pictures and wrong boxes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.perception.boxes import iou_matrix
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage, Detections
from edge.runtime.tracking.closing_rate import closing_rates
from edge.runtime.tracking.patch_registration import Picture, Pose, Reference
from edge.runtime.tracking.scale_growth import ScaleTracker
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker, TrackerSettings
from edge.scenes.clips import clip
from edge.scenes.painting.atmosphere import CLEAR_DAY
from edge.scenes.still import LabelledScene, render
from edge.scenes.stories import FPS, WALK_MPS
from edge.scenes.world import AWAY, LEFTWARDS, Actor, Camera, pedestrian, vehicle

MS = 1_000_000
FRAME = (640, 384)
CAMERA = Camera(*FRAME, 172.8)
SMALL_PX, TOO_TALL = 60.0, 0.25


class Detector:
    """True boxes as a small network draws them: edges jitter by 5 % of a side and keep half of that
    from frame to frame, and objects of 20 pixels are drawn a quarter too large, those of 60 not."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._apart: dict[int, np.ndarray] = {}

    def see(self, scene: LabelledScene) -> Detections:
        boxes = [
            self._drawn(int(id_), box.astype(float))
            for id_, box in zip(scene.ids, scene.boxes, strict=True)
        ]
        found = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(found, np.full(len(boxes), 0.8, np.float32), scene.labels)

    def _drawn(self, id_: int, box: np.ndarray) -> np.ndarray:
        drawn = self._random.normal(size=4)
        before = self._apart.get(id_, drawn)
        self._apart[id_] = apart = 0.5 * before + math.sqrt(0.75) * drawn
        sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
        small = min(1.0, max(0.0, (SMALL_PX - sides[1]) / (SMALL_PX - 20.0)))
        larger = TOO_TALL * small * sides / 2.0 * np.array([-1.0, -1.0, 1.0, 1.0])
        return np.clip(
            box + larger + 0.05 * sides * apart / math.sqrt(2.0), 0.0, np.array(FRAME * 2)
        )


def told(
    scenes: Iterator[LabelledScene], *, seed: int, pictures: bool = True
) -> Iterator[tuple[float, Track]]:
    """True time to contact and track of every object that is tracked for ten frames."""
    tracker, detector = Tracker(), Detector(seed)
    for index, scene in enumerate(scenes):
        tracks = tracker.update(
            detector.see(scene),
            round(index / FPS * 1e9),
            frame_size=FRAME,
            image=scene.image if pictures else None,
        )
        shown = [track for track in tracks if track.missed_frames == 0]
        overlap = iou_matrix(
            scene.boxes, np.array([t.box for t in shown], np.float32).reshape(-1, 4)
        )
        for row, true in enumerate(scene.time_to_contact_s):
            track = shown[int(overlap[row].argmax())]
            if track.age_frames >= 10:
                yield float(true), track


def errors(story: str, *, pictures: bool) -> list[float]:
    """Relative errors where the true time is below 3 s; "not closing" counts as 9."""
    return [
        min(abs(track.time_to_contact_s - true) / true, 9.0)
        for true, track in told(clip(story, seed=1), seed=1, pictures=pictures)
        if true < 3.0
    ]


@pytest.mark.parametrize(
    ("story", "limit"),
    [
        ("vehicle_brakes", 0.10),
        ("oncoming", 0.10),
        ("approach_sign", 0.10),
        ("pedestrian_crosses_far", 0.35),
    ],
)
def test_the_time_is_told_well_by_boxes_that_are_too_large_while_objects_are_small(
    story: str, limit: float
) -> None:
    found = errors(story, pictures=True)
    assert len(found) > 20
    assert np.median(found) < limit


def test_boxes_alone_would_not_tell_it() -> None:
    """What the pixels are for; if this fails the detector above is too good to prove anything."""
    assert np.median(errors("approach_sign", pictures=False)) > 0.2


Scene = Callable[[float], Actor]
STAYS: dict[str, tuple[Scene, float]] = {
    "a vehicle 14 m ahead, both at 14 m/s": (lambda _: vehicle(0.1, 14.0, look=6), 14.0),
    "a vehicle 20 m ahead, both at 14 m/s": (lambda _: vehicle(0.1, 20.0, look=9), 14.0),
    "a lorry 14 m ahead, both at 20 m/s": (lambda _: vehicle(0.0, 14.0, look=7), 20.0),
    "a parked vehicle 14 m ahead": (lambda _: vehicle(0.1, 14.0, look=1), 0.0),
    "a person who walks ahead at 14 m": (
        lambda t: pedestrian(0.3, 14.0, look=12, stride=_stride(t), facing=AWAY),
        WALK_MPS,
    ),
}


def _stride(time_s: float) -> float:
    return math.sin(2.0 * math.pi * 0.9 * time_s)


RAIN_AT_DUSK = Conditions(weather="rain", light="dusk", road="city")


def times_of_what_stays(at: Scene, speed_mps: float, conditions: Conditions) -> list[float]:
    """The times that three seconds of it are given."""
    scenes = (
        render(
            CAMERA,
            [at(index / FPS)],
            look_seed=3,
            travelled_m=speed_mps * index / FPS,
            conditions=conditions,
            noise_seed=index,
        )
        for index in range(75)
    )
    return [track.time_to_contact_s for _, track in told(scenes, seed=2)]


@pytest.mark.parametrize("conditions", [CLEAR_DAY, RAIN_AT_DUSK], ids=["clear day", "rain at dusk"])
@pytest.mark.parametrize("what", STAYS)
def test_what_stays_where_it_is_is_not_called_near(what: str, conditions: Conditions) -> None:
    """The road flows by, rain falls, boxes jitter: the distance stays."""
    found = times_of_what_stays(*STAYS[what], conditions)
    assert len(found) > 50
    assert min(found) > 2.5


def test_who_crosses_at_the_same_distance_is_hardly_ever_called_near() -> None:
    """Arms and legs swing before a background that flows by: the hardest of all."""
    found = [
        time_s
        for distance_m in (10.0, 14.0, 20.0)
        for conditions in (CLEAR_DAY, RAIN_AT_DUSK)
        for time_s in times_of_what_stays(_crossing(distance_m), 0.0, conditions)
    ]
    assert np.mean(np.array(found) < 2.5) < 0.05


def _crossing(distance_m: float) -> Scene:
    return lambda time_s: pedestrian(
        1.7 - WALK_MPS * time_s,
        distance_m,
        look=21,
        stride=_stride(time_s),
        facing=LEFTWARDS,
    )


def test_a_track_says_what_its_time_was_measured_from() -> None:
    def spoken(*, pictures: bool) -> list[str]:
        scenes = islice(clip("vehicle_brakes", seed=1), 30)
        return [track.contact_from for _, track in told(scenes, seed=1, pictures=pictures)]

    assert spoken(pictures=True).count("boxes") == 0
    assert set(spoken(pictures=False)) == {"boxes"}


# A picture that is known exactly.


def noise(seed: int = 0) -> BgrImage:
    """Soft blotches of all sizes, so that a patch is like no other."""
    random = np.random.default_rng(seed)
    blotches = np.zeros((FRAME[1], FRAME[0]))
    for size in (3, 6, 12, 24):
        small = random.normal(size=(FRAME[1] // size + 2, FRAME[0] // size + 2))
        blotches += cv2.resize(small, FRAME, interpolation=cv2.INTER_CUBIC)
    grey = np.clip(128.0 + 25.0 * blotches, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def zoomed(
    image: BgrImage, factor: float, about: tuple[float, float], shift: tuple[float, float]
) -> BgrImage:
    """The picture enlarged about a point, which then lies `shift` further."""
    turn = np.array(
        [
            [factor, 0.0, about[0] * (1.0 - factor) + shift[0]],
            [0.0, factor, about[1] * (1.0 - factor) + shift[1]],
        ]
    )
    return np.asarray(cv2.warpAffine(image, turn, FRAME, borderMode=cv2.BORDER_REFLECT), np.uint8)


@pytest.mark.parametrize("side", [24.0, 60.0, 160.0])
@pytest.mark.parametrize("factor", [0.93, 1.0, 1.02, 1.12])
def test_scale_and_place_are_found_to_a_fraction_of_a_pixel(side: float, factor: float) -> None:
    image, half = noise(), side / 2.0
    reference = Reference(Picture(image), (300.0 - half, 190.0 - half, 300.0 + half, 190.0 + half))
    moved = zoomed(image, factor, (300.0, 190.0), (1.7, -0.9))
    darker = np.clip(0.7 * moved + 9.0, 0, 255).astype(np.uint8)
    found = reference.find(Picture(darker), Pose(300.0, 190.0, 0.0))
    assert found is not None
    assert math.exp(found.pose.log_size) == pytest.approx(factor, rel=0.004)
    assert found.pose.x == pytest.approx(301.7, abs=0.15)
    assert found.pose.y == pytest.approx(189.1, abs=0.15)
    assert found.likeness > 0.9


def test_a_patch_that_another_picture_does_not_hold_is_not_believed() -> None:
    growth = ScaleTracker()
    box = (280.0, 170.0, 320.0, 210.0)
    for index in range(8):
        growth.add(Picture(noise()), box, index * 40 * MS)
    assert len(growth.history.sizes) == 8
    growth.add(Picture(noise(1)), box, 8 * 40 * MS)
    assert len(growth.history.sizes) == 1  # anew, from here on
    assert closing_rates([growth.history], 8 * 0.04) == [None]


def test_a_patch_of_one_colour_says_nothing() -> None:
    growth, grey = ScaleTracker(), np.full((FRAME[1], FRAME[0], 3), 90, np.uint8)
    for index in range(10):
        growth.add(Picture(grey), (280.0, 170.0, 320.0, 210.0), index * 40 * MS)
    assert closing_rates([growth.history], 0.36) == [None]


@pytest.mark.parametrize("fps", [8.0, 25.0, 60.0])
def test_a_steady_approach_is_told_at_any_rate_of_frames(fps: float) -> None:
    image, growth = noise(), ScaleTracker()
    for index, z in enumerate(np.arange(30.0, 12.0, -8.0 / fps)):
        factor = 30.0 / float(z)
        half = 15.0 * factor * (1.05 if index % 2 else 0.95)  # the box is off, the pixels are not
        box = (300.0 - half, 190.0 - half, 300.0 + half, 190.0 + half)
        shown = zoomed(image, factor, (300.0, 190.0), (0.0, 0.0))
        growth.add(Picture(shown), box, round(index * 1e9 / fps))
    (rate,) = closing_rates([growth.history], round(index * 1e9 / fps) / 1e9)
    assert rate is not None
    assert 1.0 / rate.value == pytest.approx(float(z) / 8.0, rel=0.05)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 640.0), st.floats(0.0, 384.0), st.floats(0, 640), st.floats(0, 384)
        ),
        max_size=12,
    ),
    st.lists(st.sampled_from([0, 1, 40, 200, 700]), min_size=12, max_size=12),
)
def test_whatever_boxes_come_the_track_lives_and_its_time_is_above_zero(
    corners: list[tuple[float, float, float, float]], gaps_ms: list[int]
) -> None:
    image, tracker, now_ns = noise(), Tracker(), 0
    for (x1, y1, x2, y2), gap_ms in zip(corners, gaps_ms, strict=False):
        now_ns += gap_ms * MS
        box = np.array([[min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)]], np.float32)
        seen = Detections(box, np.array([0.8], np.float32), np.array([0]))
        for track in tracker.update(seen, now_ns, frame_size=FRAME, image=image):
            assert track.time_to_contact_s > 0.0


def test_a_crowd_costs_no_more_than_its_largest() -> None:
    most = TrackerSettings().measured_most
    corners = [20.0 + 90.0 * number for number in range(most + 2)]
    boxes = np.array([[x, 100, x + 60 - x / 20, 160 - x / 20] for x in corners], np.float32)
    seen = Detections(boxes, np.full(len(boxes), 0.8, np.float32), np.zeros(len(boxes), np.int64))
    tracker, image = Tracker(), noise()
    for index in range(10):
        tracks = tracker.update(seen, index * 40 * MS, frame_size=FRAME, image=image)
    spoke = [track.contact_from for track in tracks]
    assert spoke[most:] == ["boxes"] * 2
    assert "boxes" not in spoke[:most]
