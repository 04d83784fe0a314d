"""Light and weather: two tables, and the colours of things at a distance.

In: conditions and a random generator. Out: the `Air` of a picture. Fog follows Koschmieder (1924):
I = J e^(-beta d) + A (1 - e^(-beta d)), where the meteorological visibility is 3.912 / beta
(contrast of 2 %, WMO-No. 8). Never paints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions

Colour = tuple[int, int, int]
Bgr = tuple[float, float, float]
KOSCHMIEDER = 3.912
CLEAR_DAY = Conditions("clear", "day", "city")


@dataclass(frozen=True)
class Light:
    """One row: what shines.

    Attributes:
        ambient: share of full daylight on everything, BGR.
        zenith, horizon: colours of a clear sky.
        airlight: colour of light scattered in fog.
        beam: strength of the camera vehicle's headlights; 0 is off.
        lamps: whether vehicles, windows and street lamps are lit.
        exposure: least and largest factor of the camera's exposure.
    """

    ambient: Bgr
    zenith: Colour
    horizon: Colour
    airlight: Colour
    beam: float = 0.0
    lamps: bool = False
    exposure: tuple[float, float] = (0.8, 1.15)


LIGHT_TABLE: dict[str, Light] = {
    "day": Light((1.0, 1.0, 1.0), (225, 165, 105), (245, 225, 200), (212, 210, 206)),
    "dusk": Light(
        (0.56, 0.45, 0.46), (120, 78, 66), (95, 150, 235), (128, 122, 132), 0.35, lamps=True
    ),
    "night": Light((0.15, 0.11, 0.10), (26, 15, 11), (48, 34, 28), (50, 45, 42), 1.5, lamps=True),
    "tunnel": Light((0.26, 0.36, 0.40), (40, 50, 55), (60, 80, 90), (66, 88, 98), 0.3, lamps=True),
    "glare": Light(
        (0.66, 0.74, 0.80), (190, 160, 130), (205, 240, 255), (200, 228, 240), exposure=(0.9, 1.2)
    ),
}


@dataclass(frozen=True)
class Weather:
    """One row: what the sky does.

    Attributes:
        visibility_m: the least and the most meteorological visibility.
        overcast: share of the sky that cloud covers.
        dims: factor on the light.
        road_condition: one of ROAD_CONDITIONS.
    """

    visibility_m: tuple[float, float]
    overcast: float
    dims: float
    road_condition: str = "dry"


WEATHER_TABLE: dict[str, Weather] = {
    "clear": Weather((15_000.0, 30_000.0), 0.0, 1.0),
    "cloudy": Weather((8_000.0, 15_000.0), 0.85, 0.84),
    "rain": Weather((350.0, 1_200.0), 1.0, 0.66, "wet"),
    "fog": Weather((45.0, 130.0), 1.0, 0.9, "fog"),
    "snow": Weather((150.0, 500.0), 1.0, 0.92, "snow"),
}


@dataclass(frozen=True)
class Air:
    """Light and weather of one picture. Attributes as in Light; extinction in 1/m."""

    conditions: Conditions
    ambient: Bgr
    zenith: Colour
    horizon: Colour
    airlight: Colour
    beam: float
    lamps: bool
    extinction: float
    exposure: float

    @property
    def road_condition(self) -> str:
        """One of ROAD_CONDITIONS."""
        return WEATHER_TABLE[self.conditions.weather or "clear"].road_condition

    def clear_share(self, z_m: float) -> float:
        """e^(-beta d): the share of an object's own colour that reaches the camera."""
        return math.exp(-self.extinction * z_m)

    def beam_at(self, x_m: float, z_m: float) -> float:
        """Light of the headlights on an object: a cone that opens with distance and fades."""
        if not self.beam:
            return 0.0
        spread = 1.9 + 0.2 * z_m
        return self.beam * math.exp(-z_m / 30.0 - (x_m / spread) ** 2)

    def lamp_colour(self, colour: Colour, z_m: float) -> Colour:
        """The colour of a lamp as the camera sees it: fog changes it, other light does not."""
        clear = self.clear_share(z_m)
        mixed = [c * clear + v * (1.0 - clear) for c, v in zip(colour, self.airlight, strict=True)]
        return round(mixed[0]), round(mixed[1]), round(mixed[2])


def draw_conditions(random: np.random.Generator, given: Conditions | None) -> Conditions:
    """`given` with random values in place of None; common conditions are drawn more often."""
    given = given or Conditions()
    weather = str(random.choice(WEATHERS, p=(0.28, 0.14, 0.20, 0.18, 0.20)))
    light = str(random.choice(LIGHTS, p=(0.46, 0.14, 0.20, 0.08, 0.12)))
    road = str(random.choice(ROADS, p=(0.4, 0.3, 0.3)))
    return Conditions(given.weather or weather, given.light or light, given.road or road)


def air_of(conditions: Conditions, look: np.random.Generator) -> Air:
    """The air of conditions without None; `look` draws its visibility and exposure."""
    assert conditions.weather is not None
    assert conditions.light is not None
    weather, light = WEATHER_TABLE[conditions.weather], LIGHT_TABLE[conditions.light]
    visibility = float(np.exp(look.uniform(*np.log(weather.visibility_m))))
    exposure = float(look.uniform(*light.exposure))
    dims = 1.0 if conditions.light == "tunnel" else weather.dims
    lit = [value * dims for value in light.ambient]
    veil = [round(value * (dims + 1.0) / 2.0) for value in light.airlight]
    grey = [int(0.86 * value * dims) for value in light.airlight]
    cover = weather.overcast
    skies = [
        [round(a * (1.0 - cover) + g * cover) for a, g in zip(sky, grey, strict=True)]
        for sky in (light.zenith, light.horizon)
    ]
    return Air(
        conditions=conditions,
        ambient=(lit[0], lit[1], lit[2]),
        zenith=(skies[0][0], skies[0][1], skies[0][2]),
        horizon=(skies[1][0], skies[1][1], skies[1][2]),
        airlight=(veil[0], veil[1], veil[2]),
        beam=light.beam,
        lamps=light.lamps or conditions.weather in ("rain", "fog", "snow"),
        extinction=KOSCHMIEDER / visibility,
        exposure=exposure,
    )


def with_defaults(conditions: Conditions) -> Conditions:
    """`conditions` with those of CLEAR_DAY in place of None."""
    return Conditions(
        conditions.weather or CLEAR_DAY.weather,
        conditions.light or CLEAR_DAY.light,
        conditions.road or CLEAR_DAY.road,
    )
