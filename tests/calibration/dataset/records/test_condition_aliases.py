"""Conditions of known data sets become this project's words; others are returned unchanged."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from calibration.dataset.records.condition_aliases import ALIASES, conditions_of
from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions


def test_every_alias_leads_to_a_word_of_the_vocabulary() -> None:
    axes = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}
    for field, words in ALIASES.items():
        for word, meant in words.items():
            assert word == word.lower(), field
            assert meant is None or meant[1] in axes[meant[0]], (field, word)


@pytest.mark.parametrize(
    ("metadata", "conditions"),
    [
        (
            {"weather": "partly cloudy", "scene": "city street", "timeofday": "dawn/dusk"},
            Conditions("cloudy", "dusk", "city"),
        ),
        ({"weather": "undefined", "scene": "tunnel"}, Conditions(None, "tunnel", None)),
        ({"timeofday": "night", "scene": "residential"}, Conditions(None, "night", "city")),
        ({"Weather": " Sunny ", "rain": "0", "dawn_dusk": "0"}, Conditions("clear", "day")),
        ({"weather": "cloudy", "rain": "1", "dawn_dusk": "1"}, Conditions("rain", "dusk")),
        ({"prefix": "mist"}, Conditions("fog")),
        ({"prefix": "sand"}, Conditions()),
        (
            {"weather": "snow", "light": "glare", "road": "rural"},
            Conditions("snow", "glare", "rural"),
        ),
        ({"speed": "10", "weather": ""}, Conditions()),
    ],
)
def test_known_words(metadata: dict[str, str], conditions: Conditions) -> None:
    named = conditions_of(metadata)
    assert named.conditions == conditions
    assert named.unknown == ()


def test_an_unknown_word_is_handed_back() -> None:
    named = conditions_of({"weather": "hail", "road": "city"})
    assert named.conditions == Conditions(road="city")
    assert named.unknown == ("weather 'hail'",)


def test_real_road_scenes_have_no_unknown_word(shared_data: Path) -> None:
    with (shared_data / "road_scenes" / "labels.csv").open(newline="") as stream:
        named = [conditions_of(row) for row in csv.DictReader(stream)]
    assert {word for found in named for word in found.unknown} == set()
    assert {found.conditions.weather for found in named} == {"clear", "cloudy", "rain", "fog"}
    assert {found.conditions.light for found in named} == {"day", "dusk"}
