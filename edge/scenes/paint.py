"""Draws a road and what stands on it with OpenCV. Same inputs, same pixels; no ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from edge.contract.perception import BgrImage
from edge.scenes.world import CAMERA_HEIGHT_M, ROAD_LEFT_M, ROAD_RIGHT_M, Camera, Thing

Colour = tuple[int, int, int]
NEAR_M, FAR_M = 2.2, 200.0


def _point(camera: Camera, x_m: float, height_m: float, z_m: float) -> tuple[int, int]:
    return round(camera.column_px(x_m, z_m)), round(camera.row_px(height_m, z_m))


def _ground_strip(
    image: BgrImage,
    camera: Camera,
    *,
    sides_m: tuple[float, float],
    span_m: tuple[float, float],
    colour: Colour,
) -> None:
    left_m, right_m = sides_m
    near, far = max(span_m[0], NEAR_M), span_m[1]
    if far <= near:
        return
    corners = [
        _point(camera, left_m, 0.0, near),
        _point(camera, left_m, 0.0, far),
        _point(camera, right_m, 0.0, far),
        _point(camera, right_m, 0.0, near),
    ]
    cv2.fillConvexPoly(image, np.array(corners, np.int32), colour, cv2.LINE_AA)


def road(image: BgrImage, camera: Camera, *, look: np.random.Generator, travelled_m: float) -> None:
    """Sky, ground, road, lane marks and clutter; `travelled_m` moves the marks and the clutter."""
    horizon = round(camera.horizon_px)
    sky = np.linspace(look.uniform(0.6, 1.0), 1.0, max(horizon, 1))[:, None]
    tint = np.array([look.uniform(200, 250), look.uniform(180, 230), look.uniform(150, 220)])
    image[:horizon] = (sky * tint)[:, None, :].astype(np.uint8)
    image[horizon:] = np.array(
        [look.uniform(40, 110), look.uniform(90, 140), look.uniform(70, 120)], np.uint8
    )
    asphalt = int(look.uniform(70, 125))
    _clutter(image, camera, look=look, travelled_m=travelled_m)
    whole = (NEAR_M, FAR_M)
    kerb = (asphalt + 50, asphalt + 55, asphalt + 55)
    pavement = (ROAD_RIGHT_M, ROAD_RIGHT_M + 2.0)
    _ground_strip(image, camera, sides_m=pavement, span_m=whole, colour=kerb)
    grey = (asphalt, asphalt, asphalt)
    _ground_strip(image, camera, sides_m=(ROAD_LEFT_M, ROAD_RIGHT_M), span_m=whole, colour=grey)
    white = (215, 220, 220)
    for left in (ROAD_LEFT_M + 0.15, ROAD_RIGHT_M - 0.35):
        _ground_strip(image, camera, sides_m=(left, left + 0.15), span_m=whole, colour=white)
    first = -(travelled_m % 9.0)
    for dash in range(14):
        start = first + 9.0 * dash
        span = (start, start + 4.0)
        _ground_strip(image, camera, sides_m=(-1.83, -1.68), span_m=span, colour=white)


def _clutter(
    image: BgrImage, camera: Camera, *, look: np.random.Generator, travelled_m: float
) -> None:
    """Buildings, trees and lamp posts beside the road, far ones first."""
    street = np.random.default_rng(int(look.integers(0, 1 << 31)))
    items = [
        (
            float(12.0 * row - travelled_m % 12.0 + street.uniform(4.0, 12.0)),
            float(side * street.uniform(8.0, 16.0)),
            int(street.integers(0, 3)),
            street.uniform(0.6, 1.4),
            street.integers(50, 190, 3),
        )
        for row in range(1, 8)
        for side in (-1, 1)
    ]
    for z, x, kind, size, shade in sorted(items, key=lambda item: -item[0]):
        if z <= NEAR_M:
            continue
        colour = (int(shade[0]), int(shade[1]), int(shade[2]))
        if kind == 0:
            a = _point(camera, x - 4.0 * size, 7.0 * size, z)
            cv2.rectangle(image, a, _point(camera, x + 4.0 * size, 0.0, z), colour, -1)
            for floor in (2.0, 4.5):
                for window in (-2.5, -0.7, 1.1):
                    b = _point(camera, x + window * size, floor * size + 1.2, z)
                    c = _point(camera, x + (window + 1.1) * size, floor * size, z)
                    cv2.rectangle(image, b, c, tuple(v // 2 for v in colour), -1)
        elif kind == 1:
            trunk = (40, 60, 80)
            cv2.rectangle(
                image, _point(camera, x - 0.2, 3.0, z), _point(camera, x + 0.2, 0.0, z), trunk, -1
            )
            radius = max(1, round(camera.focal_px * 1.6 * size / z))
            leaf = (30, 70 + colour[1] // 3, 40)
            cv2.circle(image, _point(camera, x, 4.0, z), radius, leaf, -1, cv2.LINE_AA)
        else:
            width = max(1, round(camera.focal_px * 0.12 / z))
            cv2.line(
                image, _point(camera, x, 0.0, z), _point(camera, x, 6.0, z), (90, 90, 90), width
            )


def _pedestrian(image: BgrImage, camera: Camera, thing: Thing) -> None:
    tone = np.random.default_rng(thing.look)
    shirt, trousers = (tuple(int(v) for v in tone.integers(20, 235, 3)) for _ in range(2))
    skin = (int(tone.integers(70, 170)), int(tone.integers(100, 190)), int(tone.integers(130, 225)))
    height, x, z = thing.height_m, thing.x_m, thing.z_m
    scale = camera.focal_px / z
    limb = max(1, round(0.15 * scale))
    hip = _point(camera, x, 0.48 * height, z)
    shoulder = _point(camera, x, 0.80 * height, z)
    swing = 0.22 * thing.stride
    for side in (-1, 1):
        foot = _point(camera, x + side * swing, 0.03, z)
        cv2.line(image, hip, foot, trousers, limb, cv2.LINE_AA)
        hand = _point(camera, x + 0.25 * side - side * swing * 0.3, 0.45 * height, z)
        cv2.line(image, shoulder, hand, shirt, max(1, limb * 2 // 3), cv2.LINE_AA)
    cv2.rectangle(
        image,
        _point(camera, x - 0.2, 0.84 * height, z),
        _point(camera, x + 0.2, 0.46 * height, z),
        shirt,
        -1,
    )
    head = max(1, round(0.115 * scale))
    cv2.circle(image, _point(camera, x, 0.93 * height, z), head, skin, -1, cv2.LINE_AA)


def _vehicle(image: BgrImage, camera: Camera, thing: Thing) -> None:
    tone = np.random.default_rng(thing.look)
    paint = tuple(int(v) for v in tone.integers(25, 235, 3))
    dark = (35, 32, 30)
    x, z, half, height = thing.x_m, thing.z_m, thing.width_m / 2.0, thing.height_m
    oncoming = thing.look % 3 == 0

    def panel(left: float, top: float, right: float, low: float, colour: Sequence[int]) -> None:
        a = _point(camera, x + left * half, top * height, z)
        b = _point(camera, x + right * half, low * height, z)
        cv2.rectangle(image, a, b, tuple(colour), -1)

    for side in (-0.95, 0.55):
        panel(side, 0.25, side + 0.4, 0.0, (20, 20, 20))
    panel(-1.0, 0.62, 1.0, 0.12, paint)
    cabin = [
        _point(camera, x - 0.95 * half, 0.6 * height, z),
        _point(camera, x - 0.72 * half, height, z),
        _point(camera, x + 0.72 * half, height, z),
        _point(camera, x + 0.95 * half, 0.6 * height, z),
    ]
    cv2.fillConvexPoly(image, np.array(cabin, np.int32), paint, cv2.LINE_AA)
    panel(-0.62, 0.93, 0.62, 0.64, dark if thing.look % 4 != 3 else paint)
    lamp = (210, 240, 250) if oncoming else (30, 30, 215)
    for side in (-0.95, 0.65):
        panel(side, 0.52, side + 0.3, 0.40, lamp)
    panel(-0.25, 0.36, 0.25, 0.26, (225, 225, 225))
    panel(-1.0, 0.18, 1.0, 0.12, dark)


def _sign(image: BgrImage, camera: Camera, thing: Thing) -> None:
    x, z = thing.x_m, thing.z_m
    middle = thing.lift_m + thing.height_m / 2.0
    radius = camera.focal_px * thing.height_m / 2.0 / z
    width = max(1, round(camera.focal_px * 0.08 / z))
    centre = _point(camera, x, middle, z)
    cv2.line(image, _point(camera, x, 0.0, z), centre, (120, 120, 120), width)
    red, white, blue = (40, 30, 205), (240, 240, 240), (190, 90, 20)

    def polygon(corners: int, turn: float, colour: Colour, share: float) -> None:
        angles = turn + 2.0 * np.pi * np.arange(corners) / corners
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius * share
        points = np.round(ring + centre).astype(np.int32)
        cv2.fillConvexPoly(image, points, colour, cv2.LINE_AA)

    faces: tuple[tuple[int, float, Colour, Colour], ...] = (
        (24, 0.0, red, white),
        (24, 0.0, blue, blue),
        (3, -np.pi / 2.0, red, white),
        (8, np.pi / 8.0, red, red),
    )
    corners, turn, rim, face = faces[thing.look % len(faces)]
    polygon(corners, turn, rim, 1.0)
    polygon(corners, turn, face, 0.68)
    mark = max(1, round(0.3 * radius))
    ink = white if face in (blue, red) else (20, 20, 20)
    cv2.line(image, (centre[0] - mark, centre[1]), (centre[0] + mark, centre[1]), ink, width)


PAINTERS: dict[str, Callable[[BgrImage, Camera, Thing], None]] = {
    "pedestrian": _pedestrian,
    "vehicle": _vehicle,
    "traffic sign": _sign,
}


def shadow(image: BgrImage, camera: Camera, thing: Thing) -> None:
    """A dark patch on the road under the thing, so that it stands instead of floating."""
    if thing.lift_m > 0.0:
        return
    centre = _point(camera, thing.x_m, 0.0, thing.z_m)
    half = round(camera.focal_px * thing.width_m * 0.6 / thing.z_m)
    flat = max(1, round(camera.focal_px * CAMERA_HEIGHT_M * 0.4 / thing.z_m**2 * 2.0))
    cv2.ellipse(image, centre, (max(1, half), flat), 0.0, 0.0, 360.0, (45, 45, 45), -1)
