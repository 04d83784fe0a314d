"""Stops on a network's detections against stops on the ground truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_mission import MISSION, SIDE, write_mission

from calibration.evaluation.clips import open_clip
from calibration.evaluation.stops import Episode, PolicyOnClip, StopFigures, true_perception
from converters.conversion.convert import convert
from edge.contract.artifact import write_json
from edge.contract.clip_truth import TRUTH_SCHEMA
from edge.contract.mission.loading import load_mission
from edge.contract.mission.sections.data import Clip
from edge.perception.values import Detections, Known
from firmware_bridge.errors import NotTrusted, UsageError

FPS = 25.0
FRAMES = 100
CELL = (16.0, 32.0, 32.0, 48.0)  # its lower edge stands in the corridor
ROAD, RED = 90, (0, 0, 255)


def write_clip(
    folder: Path, name: str, *, shown: range, true: range, frames: int = FRAMES
) -> dict[str, str]:
    """A clip with a red cell (the network's pedestrian) in `shown` frames, and a truth with a
    pedestrian there in `true` ones; their names for the mission."""
    video = folder / f"{name}.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIDE, SIDE))
    x1, y1, x2, y2 = (int(value) for value in CELL)
    rows: list[dict[str, Any]] = []
    for index in range(frames):
        image = np.full((SIDE, SIDE, 3), ROAD, np.uint8)
        if index in shown:
            image[y1:y2, x1:x2] = RED
        writer.write(image)
        objects = [{"label": "person", "box": list(CELL)}] if index in true else []
        rows.append({"time_s": index / FPS, "objects": objects})
    writer.release()
    write_json(folder / f"{name}.json", TRUTH_SCHEMA, {"frames": rows})
    return {"video": f"{name}.mp4", "truth": f"{name}.json"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A conversion with three clips: a pedestrian seen, one missed, and none that is seen."""
    folder = tmp_path_factory.mktemp("clips")
    write_mission(folder)
    there, nowhere = range(25, 60), range(0)
    clips = [
        write_clip(folder, "seen", shown=there, true=there),
        write_clip(folder, "missed", shown=nowhere, true=there),
        write_clip(folder, "ghost", shown=there, true=nowhere),
    ]
    named = "".join(
        f'[[data.clips]]\nvideo = "{c["video"]}"\ntruth = "{c["truth"]}"\n\n' for c in clips
    )
    (folder / "mission.toml").write_text(MISSION.replace("[calibration]", named + "[calibration]"))
    convert(load_mission(folder / "mission.toml"), folder / "out", progress=lambda *_: None)
    document: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    document["page"] = (folder / "out" / "report.html").read_text()
    return document


def test_a_stop_made_one_missed_and_a_false_one_are_counted_for_each_network(
    report: dict[str, Any],
) -> None:
    stops = report["stops"]
    assert stops["state"] == "known"
    for name in ("float.onnx", "int8.onnx", "cpu.onnx"):
        row = stops["networks"][name]
        assert (row["needed"], row["made"], row["false"]) == (2, 1, 1)
        assert row["seconds"] == pytest.approx(12.0)
        assert row["false_per_hour"] == pytest.approx(300.0)
        assert abs(row["delay_worst_s"]) <= 0.2


def test_each_clip_tells_when_it_stopped(report: dict[str, Any]) -> None:
    clips = {clip["name"]: clip for clip in report["stops"]["clips"]}
    assert [len(clips[name]["stops"]) for name in ("seen.mp4", "missed.mp4", "ghost.mp4")] == [
        1,
        1,
        0,
    ]
    (true,) = clips["seen.mp4"]["stops"]
    assert 1.0 <= true["begin_s"] <= 1.4  # the third frame of five confirms
    assert len(clips["ghost.mp4"]["networks"]["float.onnx"]) == 1
    assert clips["missed.mp4"]["networks"]["float.onnx"] == []


def test_the_page_shows_them(report: dict[str, Any]) -> None:
    assert "Would the vehicle have stopped" in report["page"]
    assert "<b>1</b> of 2" in report["page"]
    assert "ghost.mp4" in report["page"]


def test_the_interval_of_a_rate_is_garwoods() -> None:
    """Exact Poisson limits as in his table: 0 -> 3.689, 3 -> 0.619 to 8.767."""
    none, three = (StopFigures(0, 0, (), count, 3600.0) for count in (0, 3))
    assert none.false_per_hour_95 == pytest.approx((0.0, 3.689), abs=1e-3)
    assert three.false_per_hour_95 == pytest.approx((0.619, 8.767), abs=1e-3)


def test_which_stop_answers_to_which() -> None:
    true = [Episode(10.0, 12.0), Episode(20.0, 21.0)]
    own = [Episode(2.0, 3.0), Episode(9.2, 9.5), Episode(11.0, 11.5), Episode(21.1, 22.0)]
    figures = StopFigures.of([(true, own, 30.0)])
    assert (figures.needed, figures.matched, figures.false) == (2, 1, 2)
    assert figures.delays_s == pytest.approx((-0.8,))
    assert StopFigures.of([([], [], 30.0)]).matched == 0


def test_stops_end_and_begin_again_and_the_stop_at_the_start_is_none(tmp_path: Path) -> None:
    write_mission(tmp_path)
    mission = load_mission(tmp_path / "mission.toml")
    policy = PolicyOnClip(mission, FPS)
    image = np.full((SIDE, SIDE, 3), ROAD, np.uint8)
    person = Detections(np.float32([CELL]), np.ones(1, np.float32), np.zeros(1, np.int64))
    for index in range(250):
        there = 25 <= index < 50 or 150 <= index < 175
        known = Known(person if there else Detections.empty())
        policy.add(known, image, index / FPS)
    first, second = policy.stops
    assert first.begin_s == pytest.approx(27 / FPS, abs=0.1)
    assert first.end_s < 4.0 < second.begin_s


def test_a_story_is_drawn_with_its_truth_and_an_unknown_one_is_refused() -> None:
    clip = open_clip(Clip(story="pedestrian_steps_out", weather="rain"))
    image, frame = next(clip.frames())
    assert image.ndim == 3
    assert frame.time_s == 0.0
    assert "rain" in clip.name
    assert "pedestrian" in clip.words
    with pytest.raises(UsageError, match="no_such"):
        open_clip(Clip(story="no_such"))


@pytest.mark.parametrize("frames", [FRAMES - 1, FRAMES + 1])
def test_a_truth_of_another_video_is_refused(tmp_path: Path, frames: int) -> None:
    write_clip(tmp_path, "short", shown=range(0), true=range(0), frames=frames)
    write_clip(tmp_path, "whole", shown=range(0), true=range(0))
    clip = open_clip(Clip(video=tmp_path / "short.mp4", truth=tmp_path / "whole.json"))
    with pytest.raises(NotTrusted, match="does not belong"):
        list(clip.frames())


def test_a_mission_names_a_story_or_a_video_with_its_truth(tmp_path: Path) -> None:
    write_mission(tmp_path)
    for given in ('video = "a.mp4"', 'truth = "a.json"', 'story = "a"\nvideo = "b.mp4"', ""):
        text = MISSION.replace("[calibration]", f"[[data.clips]]\n{given}\n\n[calibration]")
        (tmp_path / "mission.toml").write_text(text)
        with pytest.raises(UsageError, match="a story, or a video and its truth"):
            load_mission(tmp_path / "mission.toml")


def test_truth_in_other_words_is_the_models_label(tmp_path: Path) -> None:
    from calibration.evaluation.data.label_mapping import map_labels
    from edge.contract.clip_truth import TrueFrame, TrueObject

    frame = TrueFrame(0.0, (TrueObject("person", CELL), TrueObject("cat", CELL)))
    seen = true_perception(frame, map_labels(["person", "cat"], ("pedestrian", "vehicle")))
    assert seen.detections.labels.tolist() == [0]
    assert seen.detections.boxes.tolist() == [list(CELL)]


def test_a_frame_of_which_a_limit_left_detections_out_ends_no_stop(tmp_path: Path) -> None:
    write_mission(tmp_path)
    policy = PolicyOnClip(load_mission(tmp_path / "mission.toml"), FPS)
    image = np.full((SIDE, SIDE, 3), ROAD, np.uint8)
    person = Detections(np.float32([CELL]), np.ones(1, np.float32), np.zeros(1, np.int64))
    crowded = replace(Detections.empty(), left_out=1)
    for index in range(150):
        policy.add(Known(person if 25 <= index < 50 else crowded), image, index / FPS)
    (only,) = policy.stops
    assert only.end_s == pytest.approx(149 / FPS)
