"""Paints the parts that vehicles share: wheels, number plates, lamps with their halos, snow."""

from __future__ import annotations

import math

from edge.scenes.painting.atmosphere import Colour
from edge.scenes.painting.brush import Brush, Point
from edge.scenes.world import AWAY, BODY_TABLE, LEFTWARDS, RIGHTWARDS, TOWARDS, Actor

PAINTS: tuple[Colour, ...] = (
    (228, 228, 228), (190, 190, 192), (120, 118, 116), (38, 36, 35), (140, 70, 30), (90, 40, 25),
    (38, 36, 160), (30, 60, 110), (60, 95, 45), (40, 140, 200), (170, 190, 205), (150, 140, 60),
)  # fmt: skip
LOADS: tuple[Colour, ...] = ((225, 225, 222), (190, 120, 50), (50, 60, 170), (70, 130, 70))
GLASS: Colour = (58, 50, 44)
TYRE: Colour = (26, 25, 25)
RED_LAMP, RED_SHINING, BRAKE = (34, 30, 150), (50, 45, 235), (90, 80, 255)
CLEAR_LAMP, CLEAR_SHINING = (205, 208, 208), (235, 250, 255)
BRAKE_HALO, TAIL_HALO, HEAD_HALO = (30, 30, 200), (12, 12, 90), (150, 170, 185)
SKY_ON_GLASS = (150, 135, 120)


def visible_side(brush: Brush, half: float) -> float:
    """Which side the camera sees: -1 the left one, 1 the right one, 0 none, straight ahead."""
    if brush.x_m - half > 0.0:
        return -1.0
    return 1.0 if brush.x_m + half < 0.0 else 0.0


def wheel(brush: Brush, u: float, d: float, radius: float) -> None:
    """A wheel seen from the side, in the plane along the road."""
    angles = [2.0 * math.pi * step / 14 for step in range(14)]
    for share, colour in ((1.0, TYRE), (0.6, (140, 140, 140)), (0.25, (60, 60, 60))):
        ring: list[Point] = [
            (u, radius + share * radius * math.sin(a), d + share * radius * math.cos(a))
            for a in angles
        ]
        brush.shape(ring, colour)


def rectangle(left: float, top: float, right: float, low: float) -> tuple[Point, ...]:
    """Corners of an upright rectangle."""
    return (left, top), (right, top), (right, low), (left, low)


def plate(brush: Brush, u: float, height_m: float) -> None:
    """A number plate."""
    brush.panel(u - 0.26, height_m + 0.055, u + 0.26, height_m - 0.055, (225, 228, 230))


def lamps(brush: Brush, actor: Actor, *, height_m: float, size_m: float) -> None:
    """The pair of lamps of the visible end, and their halos where they shine."""
    half, away = actor.width_m / 2.0, actor.facing == AWAY
    lamp_colour = brush.air.lamps or (away and actor.braking)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.97 * half, edge * (0.97 * half - 1.5 * size_m)))
        shape = rectangle(left, height_m + size_m / 2.0, right, height_m - size_m / 2.0)
        if not lamp_colour:
            brush.shape(shape, RED_LAMP if away else CLEAR_LAMP)
            continue
        middle = (left + right) / 2.0
        if away:
            brush.lamp(shape, BRAKE if actor.braking else RED_SHINING)
            brush.glow(
                middle, height_m, 0.75 if actor.braking else 0.4,
                BRAKE_HALO if actor.braking else TAIL_HALO,
            )  # fmt: skip
        else:
            brush.shape(shape, CLEAR_LAMP)
            brush.round(
                brush.place((middle, height_m)),
                size_m * 0.62,
                brush.air.lamp_colour(CLEAR_SHINING, brush.z_m),
            )
            dark = brush.air.conditions.light in ("night", "tunnel")
            brush.glow(middle, height_m, 1.5 if dark else 0.6, HEAD_HALO)


def snow_on_top(brush: Brush, actor: Actor) -> None:
    """Snow on the roof, inside the vehicle's outline."""
    if brush.air.road_condition == "snow" and brush.air.conditions.light != "tunnel":
        tall = actor.height_m
        share = 1.0 if actor.model in ("van", "lorry", "bus") else 0.6
        if actor.facing in (LEFTWARDS, RIGHTWARDS):
            share *= 0.3
        half = share * actor.width_m / 2.0
        lean = (
            0.0
            if actor.facing != TOWARDS or share == 1.0
            else 0.22 * BODY_TABLE[actor.model].length_m
        )
        white: Colour = (238, 234, 230)
        brush.shape(
            (
                (-half, tall, lean),
                (half, tall, lean),
                (half, 0.955 * tall, lean),
                (-half, 0.955 * tall, lean),
            ),
            white,
        )
