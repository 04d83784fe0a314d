"""What a data set's table says about weather, light and road, in the project's words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.dataset.condition_words import ALIASES, FLAGS, conditions_of, words_of
from calibration.dataset.images import image_frames
from calibration.dataset.scenes import scene_frames
from edge.contract.conditions import LIGHTS, ROADS, WEATHERS, Conditions


def test_every_alias_and_flag_leads_to_a_word_of_the_vocabulary() -> None:
    words = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}
    for kind, aliases in ALIASES.items():
        assert set(aliases.values()) == set(words[kind])
    for kind, word in FLAGS.values():
        assert word in words[kind]


@pytest.mark.parametrize(
    ("row", "known", "words"),
    [
        ({"weather": "sunny"}, Conditions("clear"), "sunny"),
        ({"weather": "sunny+cloudy", "rain": "0"}, Conditions("cloudy"), "sunny+cloudy"),
        ({"weather": "cloudy", "rain": "1"}, Conditions("rain"), "cloudy, rain"),
        ({"weather": "Heavy Fog ", "rain": "1"}, Conditions("fog"), "Heavy Fog, rain"),
        ({"dawn_dusk": "1"}, Conditions(light="dusk"), "dawn dusk"),
        ({"dawn_dusk": "0"}, Conditions(light="day"), ""),
        # A table that tells nights too may leave a night's dawn_dusk at 0.
        ({"dawn_dusk": "0", "night": "1"}, Conditions(light="night"), "night"),
        ({"dawn_dusk": "0", "night": "0"}, Conditions(), ""),
        ({"dawn_dusk": ""}, Conditions(), ""),
        (
            {"weather": "overcast", "timeofday": "dawn/dusk", "scene": "city street"},
            Conditions("cloudy", "dusk", "city"),
            "overcast, dawn/dusk, city street",
        ),
        ({"weather": "sandstorm"}, Conditions(), "sandstorm"),
        ({"weather": None, "width": "848"}, Conditions(), ""),
    ],
)
def test_a_row_becomes_conditions(row: dict[str, str | None], known: object, words: str) -> None:
    assert conditions_of(row) == known
    assert words_of(row) == words


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
