"""Translates the words of data sets for weather, light and road, by one table of aliases.

In: metadata of a frame. Out: `Conditions`, and the words that the table does not know, which are
never guessed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions

Word = tuple[str, str] | None
"""(axis of `Conditions`, its word); None where the data set's word says nothing about an axis."""


def _own(axis: str, words: tuple[str, ...]) -> dict[str, Word]:
    return {word: (axis, word) for word in words}


_NO: dict[str, Word] = dict.fromkeys(("0", "no", "false", "undefined", "unknown"))

_WEATHER: dict[str, Word] = {
    **_own("weather", WEATHERS),
    # BDD100K, attribute `weather`
    "rainy": ("weather", "rain"),
    "snowy": ("weather", "snow"),
    "overcast": ("weather", "cloudy"),
    "partly cloudy": ("weather", "cloudy"),
    "foggy": ("weather", "fog"),
    "undefined": None,
    # CITS traffic alerts
    "sunny": ("weather", "clear"),
    "sunny+cloudy": ("weather", "cloudy"),
    "light fog": ("weather", "fog"),
    "moderate fog": ("weather", "fog"),
    "heavy fog": ("weather", "fog"),
    # DAWN, first word of a file name; we have no word for a sandstorm
    "haze": ("weather", "fog"),
    "mist": ("weather", "fog"),
    "sand": None,
    "unknown": None,
}

_LIGHT: dict[str, Word] = {
    **_own("light", LIGHTS),
    # BDD100K, attribute `timeofday`
    "daytime": ("light", "day"),
    "dawn/dusk": ("light", "dusk"),
    "dawn": ("light", "dusk"),
    "undefined": None,
    "unknown": None,
}

_ROAD: dict[str, Word] = {
    **_own("road", ROADS),
    # BDD100K, attribute `scene`; we count a tunnel as a light
    "city street": ("road", "city"),
    "residential": ("road", "city"),
    "parking lot": ("road", "city"),
    "gas stations": None,
    "tunnel": ("light", "tunnel"),
    "urban": ("road", "city"),
    "motorway": ("road", "highway"),
    "country": ("road", "rural"),
    "undefined": None,
    "unknown": None,
}

ALIASES: dict[str, dict[str, Word]] = {
    "weather": _WEATHER,
    "prefix": {word: _WEATHER[word] for word in ("foggy", "haze", "mist", "rain", "snow", "sand")},
    "dawn_dusk": {
        **_NO,
        "0": ("light", "day"),  # the only set that has this column has no night
        "1": ("light", "dusk"),
    },
    "timeofday": _LIGHT,
    "time_of_day": _LIGHT,
    "light": _LIGHT,
    "scene": _ROAD,
    "road": _ROAD,
    "road_type": _ROAD,
    "tunnel": {**_NO, **dict.fromkeys(("1", "yes", "true"), ("light", "tunnel"))},
    "rain": {**_NO, **dict.fromkeys(("1", "yes", "true"), ("weather", "rain"))},
    "snow": {**_NO, **dict.fromkeys(("1", "yes", "true"), ("weather", "snow"))},
    "fog": {**_NO, **dict.fromkeys(("1", "yes", "true"), ("weather", "fog"))},
}
"""Field of a data set's metadata -> its word, lower case -> (axis, our word). Later fields override
earlier ones: cloudy weather with rain is rain."""


@dataclass(frozen=True)
class MetadataConditions:
    """The conditions in the metadata of one frame.

    Attributes:
        conditions: in our words.
        unknown: "field 'word'" of every word that a field of ALIASES does not know.
    """

    conditions: Conditions
    unknown: tuple[str, ...] = ()


def conditions_of(metadata: Mapping[str, str]) -> MetadataConditions:
    """The conditions in a row of metadata (column or attribute -> word).

    Case and surrounding spaces do not matter; fields that are not in ALIASES and empty words are
    skipped.
    """
    said = {key.strip().lower(): str(value).strip().lower() for key, value in metadata.items()}
    found: dict[str, str] = {}
    unknown: list[str] = []
    for field, words in ALIASES.items():
        word = said.get(field, "")
        if not word:
            continue
        if word not in words:
            unknown.append(f"{field} '{word}'")
            continue
        if (meant := words[word]) is not None:
            found[meant[0]] = meant[1]
    return MetadataConditions(dataclasses.replace(Conditions(), **found), tuple(unknown))


def own_words(metadata: Mapping[str, str]) -> str:
    """The same fields in the data set's own words, for people: "heavy fog, rain"."""
    words = []
    for key, value in metadata.items():
        field, word = key.strip().lower(), str(value).strip()
        if field in ALIASES and word and word.lower() not in _NO:
            is_flag = word.lower() in ("1", "yes", "true")
            words.append(field.replace("_", " ") if is_flag else word)
    return ", ".join(words)
