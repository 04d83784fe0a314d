"""The words for what a road frame looks like: weather, light, kind of road, and how it is to
drive on. One vocabulary for scenes, data sets, evaluation and the device.

Holds words; measures and maps nothing.
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
"""How a condition may be asked for: by its word, or with its axis before it."""

ROAD_CONDITIONS = ("dry", "wet", "snow", "fog")
"""What lowers the speed that is safe, in the order of RoadNet's condition head."""


@dataclass(frozen=True)
class Conditions:
    """What one frame was taken in; None where it is not known.

    Attributes:
        weather: one of WEATHERS.
        light: one of LIGHTS.
        road: one of ROADS.
    """

    weather: str | None = None
    light: str | None = None
    road: str | None = None
