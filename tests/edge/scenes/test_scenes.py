"""Generated roads: the same for a seed, with correct ground truth."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from checkout import ROOT
from patience import PATIENCE_S

from edge.contract.artifact import read_json
from edge.contract.mission.sections.device import Camera as MissionCamera
from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions
from edge.perception.values import Frame
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import SourceEnd
from edge.scenes import world
from edge.scenes.clips import clip, clip_frame, write_clip
from edge.scenes.dataset import write_dataset
from edge.scenes.painting import sign_faces
from edge.scenes.painting.atmosphere import KOSCHMIEDER, air_of
from edge.scenes.painting.sign_faces import FACES
from edge.scenes.still import (
    CALIBRATION,
    DATA_SET,
    TRAINING,
    UNSEEN,
    LabelledScene,
    render,
    seed_of,
    still,
)
from edge.scenes.stories import FPS, STEPS_OUT_AT_S, STORIES
from firmware_bridge.errors import UsageError


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
    outside[:, :x1] &= thing.lift_m == 0.0  # type: ignore[attr-defined] # an Actor
    if thing.lift_m == 0.0:  # type: ignore[attr-defined] # an Actor; a sign has a pole below its box
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


@pytest.mark.parametrize("number", range(len(STORIES)), ids=list(STORIES))
def test_a_clip_keeps_ids_and_its_time_to_contact_is_distance_over_speed(number: int) -> None:
    """In another weather and on another road for every story."""
    conditions = Conditions(WEATHERS[number % 5], "day", ROADS[number % 3])
    story = list(STORIES)[number]
    frames = list(clip(story, conditions=conditions, width_px=160, height_px=96))
    kinds: dict[int, set[int]] = {}
    checked = 0
    for before, frame, after in zip(frames, frames[1:], frames[2:], strict=False):
        for row, thing in enumerate(frame.ids):
            kinds.setdefault(int(thing), set()).add(int(frame.labels[row]))
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
                checked += 1
    assert checked > 20
    assert all(len(labels) == 1 for labels in kinds.values())


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


def brakepoint(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_pixels_do_not_depend_on_process_or_threads() -> None:
    """Two processes, one and four OpenCV threads: the same digests of stills and of a clip."""
    code = """
import hashlib, itertools, sys, cv2
cv2.setNumThreads(int(sys.argv[1]))
from edge.perception.conditions import LIGHTS, WEATHERS, Conditions
from edge.scenes.clips import clip_frame
from edge.scenes.still import still
sha = hashlib.sha256()
for seed, (weather, light) in enumerate(itertools.product(WEATHERS, LIGHTS)):
    scene = still(seed, conditions=Conditions(weather, light))
    sha.update(scene.image.tobytes() + scene.boxes.tobytes() + scene.distance_m.tobytes())
sha.update(clip_frame("vehicle_cuts_in", 70, seed=3).image.tobytes())
print(sha.hexdigest())
"""
    digests = {
        subprocess.run(
            [sys.executable, "-c", code, threads], capture_output=True, text=True, check=True
        ).stdout
        for threads in ("1", "4")
    }
    assert len(digests) == 1


@pytest.mark.parametrize("face", world.SIGN_FACES)
def test_every_sign_face_is_distinct(face: str) -> None:
    assert set(FACES) == set(world.SIGN_FACES)
    mine = sign_faces.face(face).astype(int)
    for other in set(FACES) - {face}:
        assert np.abs(mine - sign_faces.face(other)).mean() > 2.0, other


def lone(thing: world.Actor, conditions: Conditions, seed: int = 3) -> tuple[LabelledScene, float]:
    """The scene with one thing, and the mean difference that the thing makes inside its box."""
    camera = world.Camera(640, 384, 170.0)
    empty = render(camera, [], look_seed=seed, travelled_m=0.0, conditions=conditions)
    scene = render(camera, [thing], look_seed=seed, travelled_m=0.0, conditions=conditions)
    change = np.abs(scene.image.astype(int) - empty.image).max(axis=2)
    x1, y1, x2, y2 = np.round(thing.box_px(camera)).astype(int)
    return scene, float(change[y1:y2, x1:x2].mean())


@pytest.mark.parametrize("model", world.BODY_TABLE)
@pytest.mark.parametrize("facing", [world.AWAY, world.TOWARDS, world.RIGHTWARDS])
@pytest.mark.parametrize("x_m", [-3.5, 0.0, 4.0])
def test_a_vehicles_box_is_tight(model: str, facing: str, x_m: float) -> None:
    camera = world.Camera(640, 384, 170.0)
    thing = world.vehicle(x_m, 16.0, look=4, model=model, facing=facing)
    empty = render(camera, [], look_seed=5, travelled_m=0.0).image.astype(int)
    scene = render(camera, [thing], look_seed=5, travelled_m=0.0)
    x1, y1, x2, y2 = np.round(scene.boxes[0]).astype(int)
    changed = np.abs(scene.image.astype(int) - empty).max(axis=2) > 30
    changed[round(y2 - 0.1 * (y2 - y1)) :] = False  # where its shadow lies
    rows, columns = np.nonzero(changed)
    assert abs(columns.min() - x1) <= 3
    assert abs(columns.max() + 1 - x2) <= 3
    assert abs(rows.min() - y1) <= 3


def test_fog_hides_what_is_far_and_then_it_carries_no_label() -> None:
    fog = Conditions("fog", "day", "rural")
    contrast = []
    for distance in (8.0, 16.0, 24.0, 32.0):
        scene, seen = lone(world.vehicle(0.0, distance, look=1), fog)
        contrast.append(seen)
        assert scene.labels.tolist() == [1]
    assert contrast == sorted(contrast, reverse=True)
    air = air_of(fog, np.random.default_rng(3))
    visibility = KOSCHMIEDER / air.extinction
    # A contrast of 2 % of black and white: nobody sees that in a noisy picture.
    far, _ = lone(replace(world.vehicle(0.0, visibility, look=1), height_m=9.0, width_m=9.0), fog)
    assert not len(far.labels)
    clear, _ = lone(world.vehicle(0.0, visibility, look=1), Conditions("clear", "day", "rural"))
    assert far.image.shape == clear.image.shape


def test_conditions_differ_measurably() -> None:
    def mean(weather: str, light: str) -> float:
        rows = [
            still(s, conditions=Conditions(weather, light, "rural")).image.mean() for s in range(6)
        ]
        return float(np.mean(rows))

    assert mean("clear", "night") < mean("clear", "tunnel") < mean("clear", "day")
    assert mean("clear", "night") < mean("clear", "dusk") < mean("clear", "day")
    assert mean("rain", "day") < mean("clear", "day")
    assert mean("clear", "glare") > mean("clear", "day")

    def ground(weather: str) -> float:
        rows = [still(s, conditions=Conditions(weather, "day")).image[260:] for s in range(6)]
        return float(np.mean(rows))

    assert ground("rain") < 0.75 * ground("clear")
    assert ground("snow") > 1.3 * ground("clear")

    def contrast(weather: str) -> float:
        band = [
            still(s, conditions=Conditions(weather, "day")).image[150:200].std() for s in range(6)
        ]
        return float(np.mean(band))

    assert contrast("fog") < 0.8 * contrast("clear")


def test_a_data_set_is_read_by_coco_and_by_its_table(tmp_path: Path) -> None:
    coco_module = pytest.importorskip("pycocotools.coco")
    folder = tmp_path / "set"
    done = brakepoint("scenes", str(folder), "--stills", "6", "--weather", "rain", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO(str(folder / "annotations.json"))
    assert len(coco.getImgIds()) == facts["stills"] == 6
    assert len(coco.getAnnIds()) == sum(facts["objects"].values()) > 0
    assert {row["name"] for row in coco.loadCats(coco.getCatIds())} == set(world.SCENE_LABELS)
    for row in coco.loadAnns(coco.getAnnIds()):
        assert row["distance_m"] > 0.0
    with (folder / "labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file"] for row in rows] == [f"images/{n:06d}.png" for n in range(6)]
    assert {row["weather"] for row in rows} == {"rain"}
    assert {row["road_condition"] for row in rows} == {"wet"}
    assert len({row["group"] for row in rows}) == 6
    image = cv2.imread(str(folder / rows[2]["file"]))
    again = still(seed_of(DATA_SET, 2), conditions=Conditions(weather="rain"))
    np.testing.assert_array_equal(image, again.image)
    # Ours is replaced; what is not ours is left alone.
    assert brakepoint("scenes", str(folder), "--stills", "2").returncode == 0
    assert len(list((folder / "images").iterdir())) == 2
    (folder / "mine.txt").write_text("keep")
    refused = brakepoint("scenes", str(folder), "--stills", "2")
    assert refused.returncode == 2
    assert "choose another folder" in refused.stderr
    assert (folder / "mine.txt").read_text() == "keep"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_data_set_that_cannot_be_finished_leaves_the_former_one(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    write_dataset(folder, 1)
    before = (folder / "annotations.json").read_bytes()

    def stop(_what: str, done: int, _of: int) -> None:
        if done == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_dataset(folder, 3, progress=stop)
    assert (folder / "annotations.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_clip_comes_with_its_truth(tmp_path: Path) -> None:
    clip_path, truth_path = tmp_path / "c.mp4", tmp_path / "c.json"
    done = brakepoint(
        "scenes", str(clip_path), "--story", "leaving", "--light", "night", "--seed", "4",
        "--truth", str(truth_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = read_json(truth_path, "brakepoint.scene_truth/1")
    assert told["conditions"] == {"weather": "clear", "light": "night", "road": "city"}
    frames = list(clip("leaving", seed=4, conditions=Conditions("clear", "night", "city")))
    assert len(told["frames"]) == len(frames)
    for row, frame in zip(told["frames"], frames, strict=True):
        assert [o["id"] for o in row["objects"]] == frame.ids.tolist()
        assert all(o["time_to_contact_s"] is None for o in row["objects"])


@pytest.mark.parametrize(
    "options",
    [
        ("--story", "none"),
        ("--weather", "hail"),
        ("--stills", "2", "--story", "leaving"),
        ("--stills", "2", "--format", "gif"),
        ("--format", "jpg"),
        ("--truth", "out.mp4"),
    ],
)
def test_a_wrong_option_is_one_message(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = brakepoint("scenes", str(tmp_path / "out.mp4"), *options, cwd=tmp_path)
    assert done.returncode == 2
    assert "expected:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_scenes_are_a_source_of_the_runtime() -> None:
    camera = MissionCamera(width_px=320, height_px=192, fps=25.0, assumed_speed_mps=8.0)
    now_ns = [0]

    def pause(seconds: float) -> None:
        now_ns[0] += round(seconds * 1e9)

    given = "scenes:approach_sign?weather=rain&light=dusk&road=rural&seed=3"
    source = open_source(given, camera, lambda: now_ns[0])
    assert (source.info.kind, source.info.fps, source.info.frames) == ("scenes", 25.0, 150)
    first, second = source.read(pause), source.read(pause)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert second.captured_ns - first.captured_ns == 40_000_000
    expected = clip_frame(
        "approach_sign", 1, seed=3, conditions=Conditions("rain", "dusk", "rural"),
        width_px=320, height_px=192,
    )  # fmt: skip
    np.testing.assert_array_equal(second.image, expected.image)
    now_ns[0] += 10_000_000_000
    assert isinstance(source.read(pause), SourceEnd)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("scenes:nowhere", "pedestrian_steps_out"),
        ("scenes:leaving?weather=hail", "one of: clear"),
        ("scenes:leaving?wether=rain", "weather, light, road or seed"),
        ("scenes:leaving?seed=-1", "whole number"),
        ("scenes:leaving?rain", "KEY=VALUE"),
    ],
)
def test_unknown_scenes_are_refused_with_what_there_is(given: str, words: str) -> None:
    camera = MissionCamera(width_px=320, height_px=192, fps=25.0, assumed_speed_mps=8.0)
    with pytest.raises(UsageError) as refused:
        open_source(given, camera, lambda: 0)
    assert words in str(refused.value)
