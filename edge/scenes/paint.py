"""Draws a road and what stands on it with OpenCV. Same inputs, same pixels; no ground truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np

from edge.contract.perception import BgrImage
from edge.scenes.air import Air, Colour
from edge.scenes.world import CAMERA_HEIGHT_M, ROAD_LEFT_M, ROAD_RIGHT_M, Camera, Thing

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


def road(
    image: BgrImage, camera: Camera, air: Air, *, look: np.random.Generator, travelled_m: float
) -> None:
    """Sky, ground, road, lane marks and clutter; `travelled_m` moves the marks and the clutter."""
    horizon = round(camera.horizon_px)
    _sky(image, air, horizon)
    ground = image[horizon:]
    snow = air.road_condition == "snow"
    ground[:] = (236, 230, 226) if snow else (look.uniform(40, 90), look.uniform(90, 130), 85)
    asphalt = int(look.uniform(70, 120)) - (25 if air.road_condition == "wet" else 0)
    whole = (NEAR_M, FAR_M)
    kerb = (asphalt + 50, asphalt + 55, asphalt + 55)
    pavement = (ROAD_RIGHT_M, ROAD_RIGHT_M + 2.0)
    if not snow:
        _ground_strip(image, camera, sides_m=pavement, span_m=whole, colour=kerb)
    grey = (asphalt, asphalt, asphalt)
    slush = (188, 184, 180)
    _ground_strip(
        image,
        camera,
        sides_m=(ROAD_LEFT_M, ROAD_RIGHT_M),
        span_m=whole,
        colour=slush if snow else grey,
    )
    white = (215, 220, 220)
    for left in () if snow else (ROAD_LEFT_M + 0.15, ROAD_RIGHT_M - 0.35):
        _ground_strip(image, camera, sides_m=(left, left + 0.15), span_m=whole, colour=white)
    for track in (-4.4, -2.9, -0.9, 0.6) if snow else ():
        sides = (track, track + 0.35)
        _ground_strip(image, camera, sides_m=sides, span_m=whole, colour=(120, 116, 112))
    first = -(travelled_m % 9.0)
    for dash in range(0 if snow else 14):
        start = first + 9.0 * dash
        span = (start, start + 4.0)
        _ground_strip(image, camera, sides_m=(-1.83, -1.68), span_m=span, colour=white)
    _light_ground(image, camera, air, horizon)
    if air.conditions.light == "tunnel":
        tunnel(image, camera, air, travelled_m=travelled_m)
    else:
        _clutter(image, camera, air, look=look, travelled_m=travelled_m)


def _sky(image: BgrImage, air: Air, horizon: int) -> None:
    if horizon <= 0:
        return
    fall = np.linspace(0.0, 1.0, horizon)[:, None] ** 2
    rows = np.array(air.zenith) * (1.0 - fall) + np.array(air.horizon) * fall
    veil = 1.0 - np.exp(-900.0 * air.extinction / (1.0 + 6.0 * (1.0 - fall)))
    rows = rows * (1.0 - veil) + np.array(air.airlight) * veil
    image[:horizon] = rows.astype(np.uint8)[:, None, :]


def _light_ground(image: BgrImage, camera: Camera, air: Air, horizon: int) -> None:
    """Ambient light, headlights and fog on the whole ground, by the distance of each row."""
    rows = np.arange(camera.height_px - horizon) + 0.5
    depth = camera.focal_px * CAMERA_HEIGHT_M / rows
    kept = np.exp(-air.extinction * depth)
    lit = np.array(air.ambient)[None, None, :] * kept[:, None, None]
    columns = np.linspace(0, camera.width_px - 1, 80)
    aside = (columns[None, :] - camera.width_px / 2.0) * depth[:, None] / camera.focal_px
    beam = air.beam * np.exp(-depth[:, None] / 30.0 - (aside / (1.6 + 0.16 * depth[:, None])) ** 2)
    share = np.minimum(lit + (beam * kept[:, None])[:, :, None], 1.0) * 255.0
    light = cv2.resize(share.astype(np.uint8), (camera.width_px, len(rows)))
    ground = cv2.multiply(image[horizon:], light, scale=1.0 / 255.0)
    veil = np.array(air.airlight)[None, :] * (1.0 - kept)[:, None]
    image[horizon:] = cv2.add(
        ground, np.repeat(veil.astype(np.uint8)[:, None, :], camera.width_px, 1)
    )


def _clutter(
    image: BgrImage, camera: Camera, air: Air, *, look: np.random.Generator, travelled_m: float
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
        paint = (int(shade[0]), int(shade[1]), int(shade[2]))
        colour = air.seen(paint, x, z)
        glass = air.seen((paint[0] // 2, paint[1] // 2, paint[2] // 2), x, z)
        if air.lamps and air.conditions.light in ("dusk", "night"):
            glass = air.shining((120, 200, 240), z)
        if kind == 0:
            a = _point(camera, x - 4.0 * size, 7.0 * size, z)
            cv2.rectangle(image, a, _point(camera, x + 4.0 * size, 0.0, z), colour, -1)
            for floor in (2.0, 4.5):
                for window in (-2.5, -0.7, 1.1):
                    b = _point(camera, x + window * size, floor * size + 1.2, z)
                    c = _point(camera, x + (window + 1.1) * size, floor * size, z)
                    cv2.rectangle(image, b, c, glass, -1)
        elif kind == 1:
            trunk = air.seen((40, 60, 80), x, z)
            cv2.rectangle(
                image, _point(camera, x - 0.2, 3.0, z), _point(camera, x + 0.2, 0.0, z), trunk, -1
            )
            radius = max(1, round(camera.focal_px * 1.6 * size / z))
            leaf = air.seen((30, 70 + paint[1] // 3, 40), x, z)
            cv2.circle(image, _point(camera, x, 4.0, z), radius, leaf, -1, cv2.LINE_AA)
        else:
            width = max(1, round(camera.focal_px * 0.12 / z))
            cv2.line(
                image,
                _point(camera, x, 0.0, z),
                _point(camera, x, 6.0, z),
                air.seen((90, 90, 90), x, z),
                width,
            )


def _pedestrian(image: BgrImage, camera: Camera, air: Air, thing: Thing) -> None:
    tone = np.random.default_rng(thing.look)
    shirt, trousers = (_drawn(tone, 20, 235) for _ in range(2))
    skin = (int(tone.integers(70, 170)), int(tone.integers(100, 190)), int(tone.integers(130, 225)))
    height, x, z = thing.height_m, thing.x_m, thing.z_m
    shirt, trousers, skin = (air.seen(colour, x, z) for colour in (shirt, trousers, skin))
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


def _vehicle(image: BgrImage, camera: Camera, air: Air, thing: Thing) -> None:
    tone = np.random.default_rng(thing.look)
    paint = _drawn(tone, 25, 235)
    dark = (35, 32, 30)
    x, z, half, height = thing.x_m, thing.z_m, thing.width_m / 2.0, thing.height_m
    oncoming = thing.look % 3 == 0

    def panel(left: float, top: float, right: float, low: float, colour: Colour) -> None:
        a = _point(camera, x + left * half, top * height, z)
        b = _point(camera, x + right * half, low * height, z)
        cv2.rectangle(image, a, b, air.seen(colour, x, z), -1)

    for side in (-0.95, 0.55):
        panel(side, 0.25, side + 0.4, 0.0, (20, 20, 20))
    panel(-1.0, 0.62, 1.0, 0.12, paint)
    cabin = [
        _point(camera, x - 0.95 * half, 0.6 * height, z),
        _point(camera, x - 0.72 * half, height, z),
        _point(camera, x + 0.72 * half, height, z),
        _point(camera, x + 0.95 * half, 0.6 * height, z),
    ]
    cv2.fillConvexPoly(image, np.array(cabin, np.int32), air.seen(paint, x, z), cv2.LINE_AA)
    panel(-0.62, 0.93, 0.62, 0.64, dark if thing.look % 4 != 3 else paint)
    lamp = (210, 240, 250) if oncoming else (30, 30, 215)
    for side in (-0.95, 0.65):
        panel(side, 0.52, side + 0.3, 0.40, lamp)
        if air.lamps:
            spot = _point(camera, x + (side + 0.15) * half, 0.46 * height, z)
            radius = max(1, round(camera.focal_px * 0.13 / z))
            cv2.circle(image, spot, radius, air.shining(lamp, z), -1, cv2.LINE_AA)
    panel(-0.25, 0.36, 0.25, 0.26, (225, 225, 225))
    panel(-1.0, 0.18, 1.0, 0.12, dark)


def _sign(image: BgrImage, camera: Camera, air: Air, thing: Thing) -> None:
    x, z = thing.x_m, thing.z_m
    middle = thing.lift_m + thing.height_m / 2.0
    radius = camera.focal_px * thing.height_m / 2.0 / z
    width = max(1, round(camera.focal_px * 0.08 / z))
    centre = _point(camera, x, middle, z)
    cv2.line(image, _point(camera, x, 0.0, z), centre, air.seen((120, 120, 120), x, z), width)
    red, white, blue = (40, 30, 205), (240, 240, 240), (190, 90, 20)

    def polygon(corners: int, turn: float, colour: Colour, share: float) -> None:
        angles = turn + 2.0 * np.pi * np.arange(corners) / corners
        ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius * share
        points = np.round(ring + centre).astype(np.int32)
        cv2.fillConvexPoly(image, points, air.seen(colour, x, z, returns=2.5), cv2.LINE_AA)

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
    cv2.line(
        image,
        (centre[0] - mark, centre[1]),
        (centre[0] + mark, centre[1]),
        air.seen(ink, x, z),
        width,
    )


def _drawn(tone: np.random.Generator, low: int, high: int) -> Colour:
    blue, green, red = (int(v) for v in tone.integers(low, high, 3))
    return blue, green, red


PAINTERS: dict[str, Callable[[BgrImage, Camera, Air, Thing], None]] = {
    "pedestrian": _pedestrian,
    "vehicle": _vehicle,
    "traffic sign": _sign,
}


def shadow(image: BgrImage, camera: Camera, air: Air, thing: Thing) -> None:
    """A dark patch on the road under the thing, so that it stands instead of floating."""
    if thing.lift_m > 0.0:
        return
    centre = _point(camera, thing.x_m, 0.0, thing.z_m)
    dark = air.seen((45, 45, 45), thing.x_m, thing.z_m)
    half = round(camera.focal_px * thing.width_m * 0.6 / thing.z_m)
    flat = max(1, round(camera.focal_px * CAMERA_HEIGHT_M * 0.4 / thing.z_m**2 * 2.0))
    cv2.ellipse(image, centre, (max(1, half), flat), 0.0, 0.0, 360.0, dark, -1)


def weather(image: BgrImage, air: Air, random: np.random.Generator) -> None:
    """Streaks of rain or flakes of snow between the camera and the road."""
    if air.conditions.light == "tunnel":
        return
    height, width = image.shape[:2]
    if air.conditions.weather == "rain":
        colour = air.shining((190, 190, 190), 12.0)
        veil = image.copy()
        for x, y in random.integers(0, (width, height), (130, 2)):
            cv2.line(veil, (int(x), int(y)), (int(x) - 2, int(y) + 14), colour, 1)
        cv2.addWeighted(image, 0.7, veil, 0.3, 0.0, dst=image)
    if air.conditions.weather == "snow":
        flake = tuple(min(255, v + 60) for v in air.airlight)
        for x, y, size in random.integers(0, (width, height, 3), (160, 3)):
            cv2.circle(image, (int(x), int(y)), int(size), flake, -1, cv2.LINE_AA)


def glare(image: BgrImage, air: Air, look: np.random.Generator) -> None:
    """A low sun ahead: a bright disc and a veil around it."""
    if air.conditions.light != "glare":
        return
    height, width = image.shape[:2]
    place = look.uniform(0.25, 0.75), look.uniform(0.15, 0.4)
    y, x = np.mgrid[0:24, 0:40].astype(np.float32)
    away = np.hypot((x / 40 - place[0]) * 1.6, y / 24 - place[1])
    veil = 150.0 * np.exp(-((away / 0.28) ** 1.2))
    big = cv2.resize(veil.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.add(image, cv2.cvtColor(big, cv2.COLOR_GRAY2BGR), dst=image)


def tunnel(image: BgrImage, camera: Camera, air: Air, *, travelled_m: float) -> None:
    """Walls, ceiling and lamps over everything beside the road."""
    left, right, top = ROAD_LEFT_M - 1.6, ROAD_RIGHT_M + 2.2, 5.2
    depths = (120.0, 70.0, 40.0, 24.0, 14.0, 8.0, 4.5, 2.4)
    for far, near in itertools.pairwise(depths):
        for x, shade in ((left, (96, 104, 108)), (right, (110, 118, 122))):
            wall = [(x, 0.0, near), (x, 0.0, far), (x, top, far), (x, top, near)]
            points = np.array([_point(camera, *corner) for corner in wall], np.int32)
            cv2.fillConvexPoly(image, points, air.seen(shade, x, (near + far) / 2.0))
        roof = [(left, top, near), (left, top, far), (right, top, far), (right, top, near)]
        points = np.array([_point(camera, *corner) for corner in roof], np.int32)
        cv2.fillConvexPoly(image, points, air.seen((74, 78, 80), 0.0, (near + far) / 2.0))
    for row in range(10, 0, -1):
        z = 9.0 * row - travelled_m % 9.0
        if z > NEAR_M:
            for x in (left + 1.4, right - 1.4):
                a, b = _point(camera, x - 0.15, top, z + 2.0), _point(camera, x + 0.15, top, z)
                cv2.rectangle(image, a, b, air.shining((170, 225, 250), z), -1)
