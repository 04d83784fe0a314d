"""Conditions and ground truth that come with road frames."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.dataset.frames.images import image_frames
from calibration.dataset.frames.scenes import scene_frames
from calibration.dataset.records.condition_aliases import own_words
from edge.perception.conditions import Conditions
from edge.scenes.still import still


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"weather": "Heavy Fog ", "rain": "1", "dawn_dusk": "0"}, "Heavy Fog, rain"),
        ({"dawn_dusk": "1", "width": "848"}, "dawn dusk"),
        ({"weather": "sandstorm"}, "sandstorm"),
        ({"weather": "undefined", "rain": ""}, ""),
    ],
)
def test_people_read_the_data_sets_own_words(row: dict[str, str], words: str) -> None:
    assert own_words(row) == words


def test_pictures_take_the_conditions_of_their_row(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    table = "file,drive,weather,rain,dawn_dusk\na.png,1,heavy fog,0,1\nb.png,2,cloudy,1,0\n"
    (tmp_path / "labels.csv").write_text(table)
    first, second = image_frames(tmp_path, table="labels.csv", group="drive")
    assert (first.group, first.conditions) == ("1", Conditions("fog", "dusk"))
    assert (second.conditions, second.words) == (Conditions("rain", "day"), "cloudy, rain")
    assert first.truth() is None
    plain = image_frames(tmp_path, table=None, group=None)
    assert [frame.conditions for frame in plain] == [Conditions()] * 2


def test_every_real_road_scene_has_known_weather_and_light(shared_data: Path) -> None:
    frames = image_frames(shared_data / "road_scenes", table="labels.csv", group="drive")
    weathers = Counter(frame.conditions.weather for frame in frames)
    assert weathers == {"clear": 60, "cloudy": 40, "rain": 54, "fog": 80}
    assert Counter(frame.conditions.light for frame in frames) == {"day": 215, "dusk": 19}


def test_truth_of_a_scene_speaks_the_missions_labels() -> None:
    def truth(*labels: str) -> list[str] | None:
        (frame,) = scene_frames(1, seed=3, width_px=320, height_px=192, labels=labels)
        found = frame.truth()
        return None if found is None else sorted(labels[label] for label in found.labels)

    whole = truth("pedestrian", "vehicle", "traffic sign")
    assert whole
    # Another order, labels that scenes do not paint, and one kind left out.
    assert truth("bird", "traffic sign", "vehicle", "pedestrian") == whole
    assert truth("vehicle") == [label for label in whole if label == "vehicle"]
    assert truth("bird") is None


def test_a_scene_tells_what_it_was_drawn_in() -> None:
    (frame,) = scene_frames(1, seed=3, width_px=320, height_px=192, labels=("vehicle",))
    drawn = still(frame.seed, width_px=320, height_px=192)
    assert frame.conditions == drawn.conditions
    assert None not in (drawn.conditions.weather, drawn.conditions.light, drawn.conditions.road)
