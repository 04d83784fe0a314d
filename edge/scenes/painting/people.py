"""Paints people: limbs, clothes, hair, and what they carry; the same look gives the same person."""

from __future__ import annotations

import numpy as np

from edge.scenes.painting.atmosphere import Colour
from edge.scenes.painting.brush import Brush, mix, shade
from edge.scenes.world import AWAY, Actor

SKINS: tuple[Colour, ...] = (
    (180, 205, 238), (150, 180, 225), (110, 148, 200), (80, 115, 165), (52, 76, 112), (38, 52, 78),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = ((28, 26, 30), (38, 52, 74), (60, 110, 160), (150, 152, 155))
SHOES: tuple[Colour, ...] = ((30, 30, 34), (40, 52, 84), (225, 225, 228))
TROUSERS: tuple[Colour, ...] = (
    (92, 60, 36), (48, 44, 42), (120, 100, 84), (70, 104, 134), (30, 28, 28), (140, 148, 152),
)  # fmt: skip


def paint_pedestrian(brush: Brush, actor: Actor) -> None:
    """A walking or standing person, the height of the actor from sole to crown."""
    draw = np.random.default_rng(actor.look)
    skin, hair = _one(draw, SKINS), _one(draw, HAIRS)
    shoe, trousers = _one(draw, SHOES), _one(draw, TROUSERS)
    blue, green, red = (int(value) for value in draw.integers(25, 235, 3))
    shirt: Colour = (blue, green, red)
    wears, carries, broad = (
        int(draw.integers(0, 4)),
        int(draw.integers(0, 5)),
        draw.uniform(0.9, 1.15),
    )
    tall = actor.height_m
    swing = 0.19 * tall * actor.stride
    _legs(brush, tall=tall, swing=swing, colours=(trousers, shoe), broad=broad)
    if carries == 0 and actor.facing != AWAY:
        _arm(brush, -1, tall=tall, swing=-0.7 * swing, sleeve=shade(shirt, 0.78), skin=skin)
    else:
        for side in (-1, 1):
            share = 0.78 if side == (1 if swing >= 0 else -1) else 0.92
            lean = -0.7 * swing * side
            _arm(brush, side, tall=tall, swing=lean, sleeve=shade(shirt, share), skin=skin)
    _trunk(brush, tall=tall, shirt=shirt, wears=wears, broad=broad)
    if carries == 1 and actor.facing == AWAY:
        pack = mix(shirt, (40, 40, 160), 0.7)
        brush.panel(-0.10 * tall, 0.79 * tall, 0.10 * tall, 0.56 * tall, pack)
    if carries == 2:
        hand = 0.155 * tall * broad
        brush.panel(hand, 0.40 * tall, hand + 0.12 * tall, 0.26 * tall, (50, 70, 110))
    _head(brush, actor, skin=skin, hair=hair, capped=carries == 3)


def _one(draw: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    return colours[int(draw.integers(0, len(colours)))]


def _legs(
    brush: Brush, *, tall: float, swing: float, colours: tuple[Colour, Colour], broad: float
) -> None:
    trousers, shoe = colours
    for side in (-1, 1):
        hip = 0.045 * tall * side * broad
        foot = hip + side * swing
        knee = (hip + foot) / 2.0 + 0.02 * tall * (1.0 if side * swing > 0 else 0.2)
        colour = shade(trousers, 0.74 if side < 0 else 1.0)
        joints = ((hip, 0.48 * tall), (knee, 0.27 * tall), (foot, 0.045 * tall))
        brush.limb(joints, 0.082 * tall * broad, colour)
        heel, toe = foot - 0.035 * tall, foot + 0.055 * tall
        sole = ((heel, 0.045 * tall), (foot + 0.02 * tall, 0.05 * tall), (toe, 0.0), (heel, 0.0))
        brush.shape(sole, shade(shoe, 0.8 if side < 0 else 1.0))


def _arm(
    brush: Brush, side: int, *, tall: float, swing: float, sleeve: Colour, skin: Colour
) -> None:
    shoulder = 0.115 * tall * side
    elbow = shoulder + 0.03 * tall * side + 0.4 * swing
    hand = elbow + 0.6 * swing
    joints = ((shoulder, 0.79 * tall), (elbow, 0.63 * tall), (hand, 0.48 * tall))
    brush.limb(joints, 0.06 * tall, sleeve)
    brush.disc(hand, 0.465 * tall, 0.026 * tall, skin)


def _trunk(brush: Brush, *, tall: float, shirt: Colour, wears: int, broad: float) -> None:
    """A shirt, a jacket, a coat or a skirt, lit from the upper left."""
    top, waist, hem = 0.83 * tall, 0.62 * tall, (0.46, 0.46, 0.33, 0.40)[wears] * tall
    wide, slim = 0.125 * tall * broad, 0.10 * tall * broad
    low = (0.10, 0.11, 0.125, 0.14)[wears] * tall * broad
    brush.shape(
        ((-wide * 0.8, top), (wide * 0.8, top), (wide, 0.79 * tall), (-wide, 0.79 * tall)), shirt
    )
    brush.shape(((-wide, 0.79 * tall), (wide, 0.79 * tall), (slim, waist), (-slim, waist)), shirt)
    brush.shape(((-slim, waist), (slim, waist), (low, hem), (-low, hem)), shade(shirt, 0.9))
    shadow = shade(shirt, 0.7)
    brush.shape(
        (
            (wide * 0.35, top),
            (wide * 0.8, top),
            (wide, 0.79 * tall),
            (slim, waist),
            (slim * 0.4, waist),
        ),
        shadow,
    )
    brush.shape(
        ((slim * 0.4, waist), (slim, waist), (low, hem), (low * 0.4, hem)), shade(shirt, 0.64)
    )
    if wears == 1:
        brush.panel(-0.008 * tall, top, 0.008 * tall, hem, shade(shirt, 0.45))


def _head(brush: Brush, actor: Actor, *, skin: Colour, hair: Colour, capped: bool) -> None:
    tall = actor.height_m
    radius = 0.062 * tall
    brush.panel(-0.028 * tall, 0.87 * tall, 0.028 * tall, 0.82 * tall, shade(skin, 0.8))
    middle = tall - radius
    brush.disc(0.0, middle, radius, hair)
    if actor.facing != AWAY:
        brush.disc(0.0, middle - 0.016 * tall, radius * 0.82, skin)
    if capped:
        cap = mix(hair, (60, 60, 200), 0.6)
        brush.shape(
            (
                (-radius, middle + 0.1 * radius),
                (-0.7 * radius, tall),
                (0.7 * radius, tall),
                (radius, middle + 0.1 * radius),
            ),
            cap,
        )
