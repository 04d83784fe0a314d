"""Paints what stands beside a road: houses, lamps, hedges, rails, hills. Nothing here has a label.

Every object depends on its place along the road alone, so that it stays there while the camera
passes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air, Colour
from edge.scenes.painting.brush import Brush, Point, mix, shade
from edge.scenes.painting.plants import LEAVES, SNOWY, paint_tree, pick
from edge.scenes.painting.tunnel import paint_tunnel
from edge.scenes.world import ROAD_TABLE, Camera

_WALLS: tuple[Colour, ...] = (
    (150, 172, 190), (118, 138, 160), (96, 112, 150), (170, 180, 182), (120, 150, 180),
    (90, 92, 96),    (140, 120, 110), (160, 190, 205),
)  # fmt: skip
_LIT_WINDOW: Colour = (105, 190, 240)
_LAMP: Colour = (150, 215, 250)
_LAMP_HALO: Colour = (70, 130, 165)
BLOCK_M = 13.0
REACH = 9
"""Number of blocks that are painted, each BLOCK_M long."""


def lamp_places_m(air: Air, travelled_m: float) -> tuple[tuple[float, float], ...]:
    """Places of the lit street lamps, x and z."""
    gap, sides = {"city": (26.0, (-1, 1)), "highway": (52.0, (1,)), "rural": (0.0, ())}[
        air.conditions.road or "city"
    ]
    if not gap or air.conditions.light not in ("dusk", "night"):
        return ()
    road = ROAD_TABLE[air.conditions.road or "city"]
    first = gap - travelled_m % gap
    return tuple(
        ((road.left_m - 0.8 if side < 0 else road.right_m + 0.8), first + gap * row)
        for row in range(int(100.0 / gap))
        for side in sides
    )


def paint_surroundings(
    image: BgrImage, camera: Camera, air: Air, *, street: int, travelled_m: float
) -> None:
    """Everything beside the road, far objects first; `street` is the seed of the street."""
    if air.conditions.light == "tunnel":
        paint_tunnel(image, camera, air, travelled_m=travelled_m)
        return
    road = air.conditions.road or "city"
    if road != "city":
        _hills(image, camera, air, street=street)
    block = int(travelled_m // BLOCK_M)
    for row in range(block + REACH, block - 1, -1):
        z = row * BLOCK_M - travelled_m
        for side in (-1, 1):
            _ROADSIDES[road](image, camera, air, street=street, row=row, side=side, z=z)
    if road == "highway":
        _rails(image, camera, air, travelled_m=travelled_m)


@lru_cache(maxsize=512)
def _draws(street: int, row: int, side: int) -> tuple[float, ...]:
    """Numbers in 0..1 that belong to a place along a street."""
    random = np.random.default_rng([street, row + 1_000_000, side + 1])
    return tuple(float(value) for value in random.random(24))


def _city(
    image: BgrImage, camera: Camera, air: Air, *, street: int, row: int, side: int, z: float
) -> None:
    draw, road = _draws(street, row, side), ROAD_TABLE["city"]
    kerb = road.left_m if side < 0 else road.right_m
    if draw[0] < 0.84:
        x = kerb + side * (3.6 + 1.2 * draw[1])
        _house(Brush(image, camera, air, x_m=x, z_m=z), draw, side=side)
    else:
        paint_tree(image, camera, air, x=kerb + side * 5.0, z=z + 6.0, draw=draw)
    if draw[2] < 0.35:
        paint_tree(image, camera, air, x=kerb + side * 2.6, z=z + 4.0, draw=draw, size=0.6)
    if row % 2 == 0:
        _lamp(image, camera, air, x=kerb + side * 0.8, z=z, side=side, height=6.5)


def _house(brush: Brush, draw: tuple[float, ...], *, side: int) -> None:
    """A block: its gable across the road, its front along it with rows of windows."""
    air = brush.air
    wall = pick(_WALLS, draw[3])
    floors, storey = 2 + int(draw[4] * 3.99), 3.0
    length, height = BLOCK_M - 0.6, 0.6 + storey * (2 + int(draw[4] * 3.99))
    deep = side * 9.0
    if brush.z_m > 2.0:
        brush.shape(((0, 0), (0, height), (deep, height), (deep, 0)), shade(wall, 0.9))
    start = max(0.0, 2.2 - brush.z_m)
    if start >= length:
        return
    middle = Brush(
        brush.image, brush.camera, air, x_m=brush.x_m, z_m=max(brush.z_m + length / 2.0, 3.0)
    )
    offset = brush.z_m - middle.z_m

    def quad(low: float, top: float, span: tuple[float, float], colour: Colour) -> None:
        corners: list[Point] = [
            (0.0, low, offset + span[0]), (0.0, top, offset + span[0]),
            (0.0, top, offset + span[1]), (0.0, low, offset + span[1]),
        ]  # fmt: skip
        (middle.lamp if colour is _LIT_WINDOW else middle.shape)(corners, colour)

    quad(0.0, height, (start, length), wall)
    quad(0.0, 0.5, (start, length), shade(wall, 0.6))
    lit = air.conditions.light in ("dusk", "night")
    glass = mix(shade(wall, 0.35), (120, 100, 90), 0.4)
    for floor in range(floors):
        for pane in range(4):
            near = 1.0 + 3.0 * pane
            if near < start:
                continue
            low = 0.9 + storey * floor
            here = int(draw[8 + pane] * 97 + floor * 31) % 10
            bright = lit and here < 4
            quad(low, low + 1.5, (near, near + 1.3), _LIT_WINDOW if bright else glass)
    cap = SNOWY if air.road_condition == "snow" else shade(wall, 0.55)
    quad(height, height + 0.35, (start, length), cap)


def _lamp(
    image: BgrImage, camera: Camera, air: Air, *, x: float, z: float, side: int, height: float
) -> None:
    if z < 3.0:
        return
    brush = Brush(image, camera, air, x_m=x, z_m=z)
    steel: Colour = (96, 98, 98)
    brush.panel(-0.07, height, 0.07, 0.0, steel)
    arm = -side * 1.4
    brush.shape(((0, height), (0, height - 0.1), (arm, height + 0.12), (arm, height + 0.22)), steel)
    head = (
        (arm * 0.75, height + 0.2),
        (arm, height + 0.25),
        (arm, height + 0.1),
        (arm * 0.75, height + 0.05),
    )
    if air.conditions.light in ("dusk", "night"):
        brush.lamp(head, _LAMP)
        brush.glow(arm * 0.88, height + 0.1, 1.7, _LAMP_HALO)
    else:
        brush.shape(head, (200, 200, 200))


def _rural(
    image: BgrImage, camera: Camera, air: Air, *, street: int, row: int, side: int, z: float
) -> None:
    draw, road = _draws(street, row, side), ROAD_TABLE["rural"]
    verge = road.left_m if side < 0 else road.right_m
    if draw[0] < 0.75:
        paint_tree(
            image,
            camera,
            air,
            x=verge + side * (3.4 + 9.0 * draw[1]),
            z=z + 13.0 * draw[2],
            draw=draw,
            size=1.3,
        )
    if draw[3] < 0.5:
        paint_tree(
            image,
            camera,
            air,
            x=verge + side * (8.0 + 12.0 * draw[4]),
            z=z + 9.0 * draw[1],
            draw=draw[1:] + draw[:1],
            size=1.5,
        )
    if z > 3.0 and draw[19] < 0.4:  # a hedge
        brush = Brush(image, camera, air, x_m=verge + side * 2.9, z_m=z)
        leaf = mix(pick(LEAVES, draw[6]), SNOWY, 0.5 if air.road_condition == "snow" else 0.0)
        brush.shape(((0, 0), (0, 1.1), (0, 1.1, 9.0), (0, 0, 9.0)), shade(leaf, 0.75))
        brush.shape(((0, 0), (0, 1.1), (side * 1.2, 1.1), (side * 1.2, 0)), shade(leaf, 0.9))
    if z > 3.0 and row % 2 == 0:  # a marker post: white, with a reflector
        brush = Brush(image, camera, air, x_m=verge + side * 0.7, z_m=z)
        brush.panel(-0.06, 1.0, 0.06, 0.0, (230, 230, 230))
        brush.panel(-0.06, 0.85, 0.06, 0.72, (40, 40, 40))
        brush.fill(
            [brush.place(p) for p in ((-0.03, 0.84), (0.03, 0.84), (0.03, 0.74), (-0.03, 0.74))],
            brush.lit((80, 120, 220), returns=6.0),
        )


def _highway(
    image: BgrImage, camera: Camera, air: Air, *, street: int, row: int, side: int, z: float
) -> None:
    draw, road = _draws(street, row, side), ROAD_TABLE["highway"]
    edge = road.left_m if side < 0 else road.right_m
    if draw[0] < 0.6:
        paint_tree(
            image,
            camera,
            air,
            x=edge + side * (6.0 + 12.0 * draw[1]),
            z=z + 10.0 * draw[2],
            draw=draw,
            size=1.5,
        )
    if side > 0 and z > 3.0 and street % 3 == 0:  # a noise wall
        brush = Brush(image, camera, air, x_m=edge + 3.2, z_m=z)
        colour = (118, 138, 128) if row % 2 else (110, 130, 120)
        brush.shape(((0, 0), (0, 3.4), (0, 3.4, BLOCK_M), (0, 0, BLOCK_M)), colour)
    if side > 0 and row % 4 == 0:
        _lamp(image, camera, air, x=edge + 1.6, z=z, side=side, height=9.5)


def _rails(image: BgrImage, camera: Camera, air: Air, *, travelled_m: float) -> None:
    """Crash barriers along both edges of a highway: posts and a beam of two ribs."""
    road = ROAD_TABLE["highway"]
    for x in (road.left_m - 0.5, road.right_m + 0.7):
        for row in range(11, -1, -1):
            z = 8.0 * row - travelled_m % 8.0
            near, far = max(z, 2.0), z + 8.0
            if far <= near:
                continue
            brush = Brush(image, camera, air, x_m=x, z_m=near)
            brush.panel(-0.05, 0.7, 0.05, 0.0, (110, 112, 112))
            ahead = far - near
            for low, top, colour in (
                (0.45, 0.78, (150, 152, 154)), (0.58, 0.65, (104, 106, 108)),
                (0.74, 0.78, (196, 198, 200)),
            ):  # fmt: skip
                brush.shape(((0, low), (0, top), (0, top, ahead), (0, low, ahead)), colour)


def _hills(image: BgrImage, camera: Camera, air: Air, *, street: int) -> None:
    """Ridges on the horizon, pale with distance."""
    random = np.random.default_rng([street, 0x417])
    for distance, tall, colour in ((900.0, 75.0, (120, 128, 112)), (350.0, 18.0, (62, 96, 76))):
        brush = Brush(image, camera, air, x_m=0.0, z_m=distance)
        white = 0.6 if air.road_condition == "snow" else 0.0
        wide = 0.62 * distance
        steps = np.linspace(-wide, wide, 15)
        tops = tall * (0.35 + 0.65 * random.random(15))
        lit_colour = brush.lit(mix(colour, SNOWY, white))
        for part in range(14):
            a, b = float(steps[part]), float(steps[part + 1])
            brush.fill(
                [
                    brush.place(p)
                    for p in ((a, -3.0), (a, tops[part]), (b, tops[part + 1]), (b, -3.0))
                ],
                lit_colour,
            )


_ROADSIDES = {"city": _city, "rural": _rural, "highway": _highway}
