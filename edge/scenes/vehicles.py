"""Paints vehicles as bodies with a near end and a side, in perspective: cars, vans, lorries, buses.

Which end is seen follows from where the vehicle heads; lamps shine when the air says so.
"""

from __future__ import annotations

import math

import numpy as np

from edge.scenes.air import Colour
from edge.scenes.brush import Brush, Point, mix, shade
from edge.scenes.world import AWAY, BODY_TABLE, LEFTWARDS, RIGHTWARDS, TOWARDS, Thing

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
_SKY_ON_GLASS = (150, 135, 120)


def paint_vehicle(brush: Brush, thing: Thing) -> None:
    """A vehicle that stands on the road with its wheels at height 0."""
    draw = np.random.default_rng(thing.look)
    colour = PAINTS[int(draw.integers(0, len(PAINTS)))]
    if thing.model in ("lorry", "bus", "van"):
        colour = LOADS[int(draw.integers(0, len(LOADS)))] if thing.model != "van" else colour
    if thing.facing in (LEFTWARDS, RIGHTWARDS):
        _across(brush, thing, colour)
        return
    if thing.model in ("lorry", "bus", "van"):
        _box_end(brush, thing, colour)
    else:
        _car_end(brush, thing, colour)
    _snow_on_top(brush, thing)


def _visible_side(brush: Brush, half: float) -> float:
    """-1: its left side is seen, 1: its right one, 0: neither, since it is straight ahead."""
    if brush.x_m - half > 0.0:
        return -1.0
    return 1.0 if brush.x_m + half < 0.0 else 0.0


def _wheel(brush: Brush, u: float, d: float, radius: float) -> None:
    """A wheel seen from the side, in the plane along the road."""
    angles = [2.0 * math.pi * step / 14 for step in range(14)]
    for share, colour in ((1.0, TYRE), (0.6, (140, 140, 140)), (0.25, (60, 60, 60))):
        ring: list[Point] = [
            (u, radius + share * radius * math.sin(a), d + share * radius * math.cos(a))
            for a in angles
        ]
        brush.shape(ring, colour)


def _car_side(brush: Brush, thing: Thing, colour: Colour, side: float) -> None:
    """The flank of a car: body, cabin, windows, wheels. `front` is where its bonnet lies."""
    length, tall = BODY_TABLE[thing.model].length_m, thing.height_m
    u, flank = side * thing.width_m / 2.0, shade(colour, 0.72)

    def d(share: float) -> float:
        return length * (share if thing.facing == AWAY else 1.0 - share)

    rear_roof = {"hatchback": 0.06, "estate": 0.05}.get(thing.model, 0.20)
    body: list[Point] = [
        (u, 0.16 * tall, d(0.0)), (u, 0.60 * tall, d(0.0)), (u, 0.62 * tall, d(0.7)),
        (u, 0.50 * tall, d(1.0)), (u, 0.16 * tall, d(1.0)),
    ]  # fmt: skip
    cabin: list[Point] = [
        (0.96 * u, 0.60 * tall, d(0.01)), (0.8 * u, 0.97 * tall, d(rear_roof)),
        (0.8 * u, tall * 0.99, d(0.5)), (0.96 * u, 0.61 * tall, d(0.74)),
    ]  # fmt: skip
    pane: list[Point] = [
        (0.95 * u, 0.64 * tall, d(0.07)), (0.82 * u, 0.92 * tall, d(rear_roof + 0.03)),
        (0.82 * u, 0.93 * tall, d(0.49)), (0.95 * u, 0.64 * tall, d(0.68)),
    ]  # fmt: skip
    brush.shape(cabin, shade(colour, 0.8))
    brush.shape(pane, GLASS)
    pillar: list[Point] = [
        (0.95 * u, 0.63 * tall, d(0.36)), (0.82 * u, 0.94 * tall, d(0.36)),
        (0.82 * u, 0.94 * tall, d(0.39)), (0.95 * u, 0.63 * tall, d(0.39)),
    ]  # fmt: skip
    brush.shape(pillar, flank)
    brush.shape(body, flank)
    brush.shape([(u, 0.30 * tall, 0.0), (u, 0.30 * tall, length), (u, 0.16 * tall, length),
                 (u, 0.16 * tall, 0.0)], shade(colour, 0.5))  # fmt: skip
    for at in (0.19, 0.80):
        _wheel(brush, u, d(at), 0.22 * tall)


def _car_end(brush: Brush, thing: Thing, colour: Colour) -> None:
    half, tall = thing.width_m / 2.0, thing.height_m
    side = _visible_side(brush, half)
    if side:
        _car_side(brush, thing, colour, side)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.97 * half, edge * 0.70 * half))
        brush.panel(left, 0.26 * tall, right, 0.0, TYRE)
    away = thing.facing == AWAY
    depth = 0.0 if away else 0.22 * BODY_TABLE[thing.model].length_m
    lean = depth + (0.35 if thing.model == "saloon" or not away else 0.12)
    base, roof = 0.60 * tall, tall
    cabin: list[Point] = [
        (-0.94 * half, base, depth), (-0.74 * half, 0.965 * roof, lean),
        (-0.62 * half, roof, lean), (0.62 * half, roof, lean),
        (0.74 * half, 0.965 * roof, lean), (0.94 * half, base, depth),
    ]  # fmt: skip
    brush.shape(cabin, shade(colour, 0.95))
    # The labelled height is that of the near end, so the roof is lifted to where it would be.
    glass: list[Point] = [
        (-0.80 * half, base + 0.04 * tall, depth), (-0.66 * half, 0.935 * roof, lean),
        (0.66 * half, 0.935 * roof, lean), (0.80 * half, base + 0.04 * tall, depth),
    ]  # fmt: skip
    brush.shape(glass, GLASS)
    gleam: list[Point] = [
        (-0.70 * half, base + 0.2 * tall, depth), (-0.65 * half, 0.93 * roof, lean),
        (-0.1 * half, 0.93 * roof, lean), (-0.35 * half, base + 0.2 * tall, depth),
    ]  # fmt: skip
    brush.shape(gleam, mix(GLASS, _SKY_ON_GLASS, 0.55))
    if not away:
        bonnet: list[Point] = [
            (-0.97 * half, 0.54 * tall, 0.0), (-0.93 * half, 0.62 * tall, depth),
            (0.93 * half, 0.62 * tall, depth), (0.97 * half, 0.54 * tall, 0.0),
        ]  # fmt: skip
        brush.shape(bonnet, shade(colour, 1.12))
    top = 0.62 * tall if away else 0.55 * tall
    brush.shape(
        ((-0.96 * half, top), (0.96 * half, top), (half, 0.44 * tall), (-half, 0.44 * tall)),
        shade(colour, 1.05),
    )
    brush.panel(-half, 0.45 * tall, half, 0.27 * tall, shade(colour, 0.88))
    brush.shape(
        (
            (-half, 0.28 * tall),
            (half, 0.28 * tall),
            (0.92 * half, 0.12 * tall),
            (-0.92 * half, 0.12 * tall),
        ),
        shade(colour, 0.6) if thing.look % 3 else (48, 48, 48),
    )
    if away:
        _plate(brush, 0.0, 0.36 * tall)
    else:
        brush.panel(-0.5 * half, 0.45 * tall, 0.5 * half, 0.30 * tall, (32, 30, 30))
        brush.panel(-0.45 * half, 0.41 * tall, 0.45 * half, 0.39 * tall, (150, 150, 150))
        _plate(brush, 0.0, 0.24 * tall)
    _lamps(brush, thing, height_m=(0.44 if away else 0.42) * tall, size_m=0.20)
    if away and thing.braking:
        brush.lamp(_rectangle(-0.22, 0.935 * tall, 0.22, 0.90 * tall), BRAKE)


def _rectangle(left: float, top: float, right: float, low: float) -> tuple[Point, ...]:
    return (left, top), (right, top), (right, low), (left, low)


def _plate(brush: Brush, u: float, height_m: float) -> None:
    brush.panel(u - 0.26, height_m + 0.055, u + 0.26, height_m - 0.055, (225, 228, 230))


def _lamps(brush: Brush, thing: Thing, *, height_m: float, size_m: float) -> None:
    """The pair of lamps of the end that is seen, and their halos where they shine."""
    half, away = thing.width_m / 2.0, thing.facing == AWAY
    shining = brush.air.lamps or (away and thing.braking)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.97 * half, edge * (0.97 * half - 1.5 * size_m)))
        shape = _rectangle(left, height_m + size_m / 2.0, right, height_m - size_m / 2.0)
        if not shining:
            brush.shape(shape, RED_LAMP if away else CLEAR_LAMP)
            continue
        middle = (left + right) / 2.0
        if away:
            brush.lamp(shape, BRAKE if thing.braking else RED_SHINING)
            brush.glow(
                middle, height_m, 0.75 if thing.braking else 0.4,
                BRAKE_HALO if thing.braking else TAIL_HALO,
            )  # fmt: skip
        else:
            brush.shape(shape, CLEAR_LAMP)
            brush.round(
                brush.place((middle, height_m)),
                size_m * 0.62,
                brush.air.shining(CLEAR_SHINING, brush.z_m),
            )
            dark = brush.air.conditions.light in ("night", "tunnel")
            brush.glow(middle, height_m, 1.5 if dark else 0.6, HEAD_HALO)


def _box_side(brush: Brush, thing: Thing, colour: Colour, side: float) -> None:
    length, tall = BODY_TABLE[thing.model].length_m, thing.height_m
    u, low = side * thing.width_m / 2.0, 0.16 * tall
    flank = shade(colour, 0.7)

    def quad(top: float, bottom: float, start: float, end: float, paint: Colour) -> None:
        brush.shape(((u, top, start), (u, top, end), (u, bottom, end), (u, bottom, start)), paint)

    quad(tall, low, 0.0, length, flank)
    quad(0.24 * tall, low, 0.0, length, (60, 58, 58))
    if thing.model == "bus":
        for pane in range(6):
            start = length * (0.03 + 0.16 * pane)
            quad(0.84 * tall, 0.48 * tall, start, start + 0.135 * length, GLASS)
    elif thing.model == "van":
        cab = (0.66, 0.9) if thing.facing == AWAY else (0.1, 0.34)
        quad(0.84 * tall, 0.56 * tall, cab[0] * length, cab[1] * length, GLASS)
    else:
        stripe = mix(flank, (200, 200, 200), 0.4)
        quad(0.70 * tall, 0.55 * tall, 0.05 * length, 0.72 * length, stripe)
    for at in (0.17, 0.80) if thing.model != "lorry" else (0.12, 0.26, 0.86):
        _wheel(brush, u, at * length, 0.46 if thing.model != "van" else 0.36)


def _box_end(brush: Brush, thing: Thing, colour: Colour) -> None:
    """Rear or front of a vehicle whose end is upright: van, lorry, bus."""
    half, tall, away = thing.width_m / 2.0, thing.height_m, thing.facing == AWAY
    side = _visible_side(brush, half)
    if side:
        _box_side(brush, thing, colour, side)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.95 * half, edge * 0.66 * half))
        brush.panel(left, 0.28 * tall, right, 0.0, TYRE)
    brush.panel(-half, tall, half, 0.14 * tall, shade(colour, 0.95))
    brush.panel(-half, tall, half, 0.96 * tall, shade(colour, 0.75))
    brush.panel(-half, 0.24 * tall, half, 0.14 * tall, (52, 50, 50))
    if thing.model == "lorry" and away:
        brush.panel(-0.012 * tall, 0.95 * tall, 0.012 * tall, 0.26 * tall, shade(colour, 0.5))
        for edge in (-0.93, 0.93):
            brush.panel(
                edge * half - 0.03, 0.95 * tall, edge * half + 0.03, 0.26 * tall, shade(colour, 0.6)
            )
        for part in range(6):
            left = -half + part * 2.0 * half / 6.0
            stripe = (40, 40, 200) if part % 2 else (60, 200, 230)
            brush.panel(left, 0.245 * tall, left + 2.0 * half / 6.0, 0.215 * tall, stripe)
    elif thing.model == "lorry":
        brush.panel(-0.96 * half, 0.78 * tall, 0.96 * half, 0.14 * tall, shade(colour, 0.8))
        brush.panel(-0.86 * half, 0.72 * tall, 0.86 * half, 0.47 * tall, GLASS)
        brush.panel(
            -0.8 * half, 0.70 * tall, -0.2 * half, 0.58 * tall, mix(GLASS, _SKY_ON_GLASS, 0.5)
        )
        brush.panel(-0.6 * half, 0.40 * tall, 0.6 * half, 0.24 * tall, (40, 40, 40))
    else:
        top, low = (0.90, 0.50) if thing.model == "bus" else (0.88, 0.56)
        brush.panel(-0.86 * half, top * tall, 0.86 * half, low * tall, GLASS)
        gleam = mix(GLASS, _SKY_ON_GLASS, 0.5)
        brush.panel(-0.80 * half, (top - 0.03) * tall, -0.15 * half, (top - 0.2) * tall, gleam)
        if away and thing.model == "van":
            brush.panel(-0.03, 0.9 * tall, 0.03, 0.2 * tall, shade(colour, 0.6))
        if thing.model == "bus":
            brush.panel(-0.5 * half, 0.975 * tall, 0.5 * half, 0.915 * tall, (30, 32, 30))
    _plate(brush, 0.0, 0.26 * tall)
    _lamps(brush, thing, height_m=(0.31 if thing.model == "van" else 0.25) * tall, size_m=0.22)


def _across(brush: Brush, thing: Thing, colour: Colour) -> None:
    """A vehicle that crosses: its flank, bonnet to where it heads."""
    half, tall = thing.width_m / 2.0, thing.height_m
    ahead = 1.0 if thing.facing == RIGHTWARDS else -1.0

    def points(*pairs: tuple[float, float]) -> list[Point]:
        return [(ahead * half * u, tall * h) for u, h in pairs]

    if thing.model in ("van", "lorry", "bus"):
        brush.shape(points((-1, 1), (0.92, 1), (1, 0.55), (1, 0.14), (-1, 0.14)), colour)
        brush.shape(points((-1, 0.24), (1, 0.24), (1, 0.14), (-1, 0.14)), (58, 56, 56))
        brush.shape(points((0.62, 0.88), (0.9, 0.88), (0.95, 0.55), (0.62, 0.55)), GLASS)
        if thing.model == "bus":
            for pane in range(5):
                left = -0.94 + 0.3 * pane
                brush.shape(
                    points((left, 0.86), (left + 0.26, 0.86), (left + 0.26, 0.5), (left, 0.5)),
                    GLASS,
                )
    else:
        brush.shape(points((-0.86, 0.6), (-0.56, 1), (0.16, 1), (0.52, 0.6)), shade(colour, 0.95))
        brush.shape(points((-0.74, 0.64), (-0.5, 0.94), (-0.2, 0.94), (-0.2, 0.64)), GLASS)
        brush.shape(points((-0.14, 0.64), (-0.14, 0.94), (0.13, 0.94), (0.4, 0.64)), GLASS)
        brush.shape(points((-0.97, 0.62), (0.5, 0.62), (0.96, 0.5), (1, 0.18), (-1, 0.18)), colour)
        brush.shape(points((-1, 0.32), (1, 0.32), (0.98, 0.18), (-0.98, 0.18)), shade(colour, 0.7))
        brush.shape(
            points((-0.14, 0.56), (-0.02, 0.56), (-0.02, 0.52), (-0.14, 0.52)), shade(colour, 0.5)
        )
    front = points((0.9, 0.45), (1.0, 0.43), (1.0, 0.36), (0.9, 0.38))
    rear = points((-1.0, 0.52), (-0.94, 0.52), (-0.94, 0.38), (-1.0, 0.38))
    if brush.air.lamps:
        brush.lamp(front, CLEAR_SHINING)
        brush.lamp(rear, RED_SHINING)
        brush.glow(ahead * 0.96 * half, 0.41 * tall, 0.6, HEAD_HALO)
    else:
        brush.shape(front, CLEAR_LAMP)
        brush.shape(rear, RED_LAMP)
    radius = 0.22 * tall if thing.model not in ("van", "lorry", "bus") else 0.42
    for u in (-0.62, 0.64):
        for share, paint in ((1.0, TYRE), (0.6, (150, 150, 150)), (0.2, (60, 60, 60))):
            brush.disc(ahead * u * half, radius, share * radius, paint)
    _snow_on_top(brush, thing)


def _snow_on_top(brush: Brush, thing: Thing) -> None:
    """Snow lies on roofs, inside of the vehicle's outline."""
    if brush.air.road_condition == "snow" and brush.air.conditions.light != "tunnel":
        tall = thing.height_m
        share = 1.0 if thing.model in ("van", "lorry", "bus") else 0.6
        if thing.facing in (LEFTWARDS, RIGHTWARDS):
            share *= 0.3
        half = share * thing.width_m / 2.0
        lean = (
            0.0
            if thing.facing != TOWARDS or share == 1.0
            else 0.22 * BODY_TABLE[thing.model].length_m
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
