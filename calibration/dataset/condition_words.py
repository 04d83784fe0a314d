"""The words that road data sets use for weather, light and kind of road -> the project's own.

One table of aliases. A word that it does not know is kept and maps to nothing: not known is never
taken for clear or day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edge.contract.conditions import LIGHTS, ROADS, WEATHERS, Conditions

Kind = Literal["weather", "light", "road"]

COLUMNS: Mapping[str, Kind] = {
    "weather": "weather",
    "light": "light",
    "lighting": "light",
    "timeofday": "light",
    "time_of_day": "light",
    "road": "road",
    "road_type": "road",
    "scene": "road",
}
"""Column of a table -> what its words tell."""

ALIASES: Mapping[Kind, Mapping[str, str]] = {
    "weather": {
        **{word: word for word in WEATHERS},
        "sunny": "clear",
        "sunny+cloudy": "cloudy",
        "partly cloudy": "cloudy",
        "overcast": "cloudy",
        "rainy": "rain",
        "light rain": "rain",
        "heavy rain": "rain",
        "foggy": "fog",
        "haze": "fog",
        "light fog": "fog",
        "moderate fog": "fog",
        "heavy fog": "fog",
        "snowy": "snow",
    },
    "light": {
        **{word: word for word in LIGHTS},
        "daytime": "day",
        "dawn": "dusk",
        "dawn/dusk": "dusk",
        "twilight": "dusk",
    },
    "road": {
        **{word: word for word in ROADS},
        "city street": "city",
        "urban": "city",
        "residential": "city",
        "country": "rural",
        "motorway": "highway",
    },
}
"""Word of a data set -> the word of `edge.contract.conditions`."""

FLAGS: Mapping[str, tuple[Kind, str]] = {
    "rain": ("weather", "rain"),
    "snow": ("weather", "snow"),
    "fog": ("weather", "fog"),
    "night": ("light", "night"),
    "dawn_dusk": ("light", "dusk"),
    "tunnel": ("light", "tunnel"),
    "glare": ("light", "glare"),
}
"""Column that says yes (1) or no (0) -> what a yes tells."""

YES, NO = ("1", "true", "yes"), ("0", "false", "no")

DRY_SKIES = (None, "clear", "cloudy")
"""Weathers that a flag overrides: a wet sky is cloudy too, but fog in the rain stays fog."""


def conditions_of(row: Mapping[str, str | None]) -> Conditions:
    """What one row of a data set's table says, in the project's words.

    A table that marks dawn and dusk and nothing else of light tells day from dusk: its no is day.
    """
    given = {name.strip().lower(): (word or "").strip().lower() for name, word in row.items()}
    known: dict[Kind, str | None] = {"weather": None, "light": None, "road": None}
    for column, kind in COLUMNS.items():
        if word := given.get(column):
            known[kind] = known[kind] or ALIASES[kind].get(word)
    for column, (kind, word) in FLAGS.items():
        if given.get(column) in YES and (kind == "light" or known[kind] in DRY_SKIES):
            known[kind] = word
    light_columns = {column for column in (*COLUMNS, *FLAGS) if _kind(column) == "light"}
    if light_columns & given.keys() == {"dawn_dusk"} and given["dawn_dusk"] in NO:
        known["light"] = "day"
    return Conditions(**known)


def words_of(row: Mapping[str, str | None]) -> str:
    """The same in the data set's own words, for people: "heavy fog, rain"; "" where it has none."""
    words = []
    for name, word in row.items():
        column, value = name.strip().lower(), (word or "").strip()
        if column in COLUMNS and value:
            words.append(value)
        elif column in FLAGS and value.lower() in YES:
            words.append(column.replace("_", " "))
    return ", ".join(words)


def _kind(column: str) -> Kind:
    return COLUMNS[column] if column in COLUMNS else FLAGS[column][0]
