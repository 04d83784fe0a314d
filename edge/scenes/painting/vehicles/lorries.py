"""Paints vehicles with upright ends: vans, lorries, buses."""

from __future__ import annotations

from edge.scenes.painting.atmosphere import Colour
from edge.scenes.painting.brush import Brush, mix, shade
from edge.scenes.painting.vehicles.parts import (
    GLASS,
    SKY_ON_GLASS,
    TYRE,
    lamps,
    plate,
    visible_side,
    wheel,
)
from edge.scenes.world import AWAY, BODY_TABLE, Actor


def _box_side(brush: Brush, actor: Actor, colour: Colour, side: float) -> None:
    length, tall = BODY_TABLE[actor.model].length_m, actor.height_m
    u, low = side * actor.width_m / 2.0, 0.16 * tall
    flank = shade(colour, 0.7)

    def quad(top: float, bottom: float, start: float, end: float, paint: Colour) -> None:
        brush.shape(((u, top, start), (u, top, end), (u, bottom, end), (u, bottom, start)), paint)

    quad(tall, low, 0.0, length, flank)
    quad(0.24 * tall, low, 0.0, length, (60, 58, 58))
    if actor.model == "bus":
        for pane in range(6):
            start = length * (0.03 + 0.16 * pane)
            quad(0.84 * tall, 0.48 * tall, start, start + 0.135 * length, GLASS)
    elif actor.model == "van":
        cab = (0.66, 0.9) if actor.facing == AWAY else (0.1, 0.34)
        quad(0.84 * tall, 0.56 * tall, cab[0] * length, cab[1] * length, GLASS)
    else:
        stripe = mix(flank, (200, 200, 200), 0.4)
        quad(0.70 * tall, 0.55 * tall, 0.05 * length, 0.72 * length, stripe)
    for at in (0.17, 0.80) if actor.model != "lorry" else (0.12, 0.26, 0.86):
        wheel(brush, u, at * length, 0.46 if actor.model != "van" else 0.36)


def box_end(brush: Brush, actor: Actor, colour: Colour) -> None:
    """Rear or front of a vehicle whose end is upright: van, lorry, bus."""
    half, tall, away = actor.width_m / 2.0, actor.height_m, actor.facing == AWAY
    side = visible_side(brush, half)
    if side:
        _box_side(brush, actor, colour, side)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.95 * half, edge * 0.66 * half))
        brush.panel(left, 0.28 * tall, right, 0.0, TYRE)
    brush.panel(-half, tall, half, 0.14 * tall, shade(colour, 0.95))
    brush.panel(-half, tall, half, 0.96 * tall, shade(colour, 0.75))
    brush.panel(-half, 0.24 * tall, half, 0.14 * tall, (52, 50, 50))
    if actor.model == "lorry" and away:
        brush.panel(-0.012 * tall, 0.95 * tall, 0.012 * tall, 0.26 * tall, shade(colour, 0.5))
        for edge in (-0.93, 0.93):
            brush.panel(
                edge * half - 0.03, 0.95 * tall, edge * half + 0.03, 0.26 * tall, shade(colour, 0.6)
            )
        for part in range(6):
            left = -half + part * 2.0 * half / 6.0
            stripe = (40, 40, 200) if part % 2 else (60, 200, 230)
            brush.panel(left, 0.245 * tall, left + 2.0 * half / 6.0, 0.215 * tall, stripe)
    elif actor.model == "lorry":
        brush.panel(-0.96 * half, 0.78 * tall, 0.96 * half, 0.14 * tall, shade(colour, 0.8))
        brush.panel(-0.86 * half, 0.72 * tall, 0.86 * half, 0.47 * tall, GLASS)
        brush.panel(
            -0.8 * half, 0.70 * tall, -0.2 * half, 0.58 * tall, mix(GLASS, SKY_ON_GLASS, 0.5)
        )
        brush.panel(-0.6 * half, 0.40 * tall, 0.6 * half, 0.24 * tall, (40, 40, 40))
    else:
        top, low = (0.90, 0.50) if actor.model == "bus" else (0.88, 0.56)
        brush.panel(-0.86 * half, top * tall, 0.86 * half, low * tall, GLASS)
        gleam = mix(GLASS, SKY_ON_GLASS, 0.5)
        brush.panel(-0.80 * half, (top - 0.03) * tall, -0.15 * half, (top - 0.2) * tall, gleam)
        if away and actor.model == "van":
            brush.panel(-0.03, 0.9 * tall, 0.03, 0.2 * tall, shade(colour, 0.6))
        if actor.model == "bus":
            brush.panel(-0.5 * half, 0.975 * tall, 0.5 * half, 0.915 * tall, (30, 32, 30))
    plate(brush, 0.0, 0.26 * tall)
    lamps(brush, actor, height_m=(0.31 if actor.model == "van" else 0.25) * tall, size_m=0.22)
