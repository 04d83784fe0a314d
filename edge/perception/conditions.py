"""The names of road conditions: weather, light, kind of road, state of its surface.

One vocabulary for scenes, data sets, evaluation and the device. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass

WEATHERS = ("clear", "cloudy", "rain", "fog", "snow")
LIGHTS = ("day", "dusk", "night", "tunnel", "glare")
ROADS = ("city", "rural", "highway")

AXES = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}

CONDITION_NAMES = (
    *(word for words in AXES.values() for word in words),
    *(f"{axis} {word}" for axis, words in AXES.items() for word in (*words, "unknown")),
)
"""Names by which a condition may be given: its word, or its word after its axis."""

ROAD_CONDITIONS = ("dry", "wet", "snow", "fog")
"""Conditions that lower the safe speed, in the order of RoadNet's condition head."""


@dataclass(frozen=True)
class Conditions:
    """The conditions of one frame; None where one is not known.

    Attributes:
        weather: one of WEATHERS.
        light: one of LIGHTS.
        road: one of ROADS.
    """

    weather: str | None = None
    light: str | None = None
    road: str | None = None
