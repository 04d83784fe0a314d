"""Paints vehicles in perspective: the near end and a side, or the flank of one that crosses.

`facing` decides which end the camera sees; the air decides whether lamps shine. lorries.py paints
the ends of vans, lorries and buses.
"""

from __future__ import annotations

import numpy as np

from edge.scenes.painting.atmosphere import Colour
from edge.scenes.painting.brush import Brush, Point, mix, shade
from edge.scenes.painting.vehicles.lorries import box_end
from edge.scenes.painting.vehicles.parts import (
    BRAKE,
    CLEAR_LAMP,
    CLEAR_SHINING,
    GLASS,
    HEAD_HALO,
    LOADS,
    PAINTS,
    RED_LAMP,
    RED_SHINING,
    SKY_ON_GLASS,
    TYRE,
    lamps,
    plate,
    rectangle,
    snow_on_top,
    visible_side,
    wheel,
)
from edge.scenes.world import AWAY, BODY_TABLE, LEFTWARDS, RIGHTWARDS, Actor


def paint_vehicle(brush: Brush, actor: Actor) -> None:
    """A vehicle that stands on the road with its wheels at height 0."""
    draw = np.random.default_rng(actor.look)
    colour = PAINTS[int(draw.integers(0, len(PAINTS)))]
    if actor.model in ("lorry", "bus", "van"):
        colour = LOADS[int(draw.integers(0, len(LOADS)))] if actor.model != "van" else colour
    if actor.facing in (LEFTWARDS, RIGHTWARDS):
        _across(brush, actor, colour)
        return
    if actor.model in ("lorry", "bus", "van"):
        box_end(brush, actor, colour)
    else:
        _car_end(brush, actor, colour)
    snow_on_top(brush, actor)


def _car_side(brush: Brush, actor: Actor, colour: Colour, side: float) -> None:
    """The flank of a car: body, cabin, windows, wheels."""
    length, tall = BODY_TABLE[actor.model].length_m, actor.height_m
    u, flank = side * actor.width_m / 2.0, shade(colour, 0.72)

    def d(share: float) -> float:
        return length * (share if actor.facing == AWAY else 1.0 - share)

    rear_roof = {"hatchback": 0.06, "estate": 0.05}.get(actor.model, 0.20)
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
        wheel(brush, u, d(at), 0.22 * tall)


def _car_end(brush: Brush, actor: Actor, colour: Colour) -> None:
    half, tall = actor.width_m / 2.0, actor.height_m
    side = visible_side(brush, half)
    if side:
        _car_side(brush, actor, colour, side)
    for edge in (-1.0, 1.0):
        left, right = sorted((edge * 0.97 * half, edge * 0.70 * half))
        brush.panel(left, 0.26 * tall, right, 0.0, TYRE)
    away = actor.facing == AWAY
    depth = 0.0 if away else 0.22 * BODY_TABLE[actor.model].length_m
    lean = depth + (0.35 if actor.model == "saloon" or not away else 0.12)
    base, roof = 0.60 * tall, tall
    cabin: list[Point] = [
        (-0.94 * half, base, depth), (-0.74 * half, 0.965 * roof, lean),
        (-0.62 * half, roof, lean), (0.62 * half, roof, lean),
        (0.74 * half, 0.965 * roof, lean), (0.94 * half, base, depth),
    ]  # fmt: skip
    brush.shape(cabin, shade(colour, 0.95))
    # The labelled height is that of the near end, so the roof is drawn at that height.
    glass: list[Point] = [
        (-0.80 * half, base + 0.04 * tall, depth), (-0.66 * half, 0.935 * roof, lean),
        (0.66 * half, 0.935 * roof, lean), (0.80 * half, base + 0.04 * tall, depth),
    ]  # fmt: skip
    brush.shape(glass, GLASS)
    gleam: list[Point] = [
        (-0.70 * half, base + 0.2 * tall, depth), (-0.65 * half, 0.93 * roof, lean),
        (-0.1 * half, 0.93 * roof, lean), (-0.35 * half, base + 0.2 * tall, depth),
    ]  # fmt: skip
    brush.shape(gleam, mix(GLASS, SKY_ON_GLASS, 0.55))
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
        shade(colour, 0.6) if actor.look % 3 else (48, 48, 48),
    )
    if away:
        plate(brush, 0.0, 0.36 * tall)
    else:
        brush.panel(-0.5 * half, 0.45 * tall, 0.5 * half, 0.30 * tall, (32, 30, 30))
        brush.panel(-0.45 * half, 0.41 * tall, 0.45 * half, 0.39 * tall, (150, 150, 150))
        plate(brush, 0.0, 0.24 * tall)
    lamps(brush, actor, height_m=(0.44 if away else 0.42) * tall, size_m=0.20)
    if away and actor.braking:
        brush.lamp(rectangle(-0.22, 0.935 * tall, 0.22, 0.90 * tall), BRAKE)


def _across(brush: Brush, actor: Actor, colour: Colour) -> None:
    """A vehicle that crosses: its flank, bonnet to where it heads."""
    half, tall = actor.width_m / 2.0, actor.height_m
    ahead = 1.0 if actor.facing == RIGHTWARDS else -1.0

    def points(*pairs: tuple[float, float]) -> list[Point]:
        return [(ahead * half * u, tall * h) for u, h in pairs]

    if actor.model in ("van", "lorry", "bus"):
        brush.shape(points((-1, 1), (0.92, 1), (1, 0.55), (1, 0.14), (-1, 0.14)), colour)
        brush.shape(points((-1, 0.24), (1, 0.24), (1, 0.14), (-1, 0.14)), (58, 56, 56))
        brush.shape(points((0.62, 0.88), (0.9, 0.88), (0.95, 0.55), (0.62, 0.55)), GLASS)
        if actor.model == "bus":
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
    radius = 0.22 * tall if actor.model not in ("van", "lorry", "bus") else 0.42
    for u in (-0.62, 0.64):
        for share, paint in ((1.0, TYRE), (0.6, (150, 150, 150)), (0.2, (60, 60, 60))):
            brush.disc(ahead * u * half, radius, share * radius, paint)
    snow_on_top(brush, actor)
