"""Paints sky, ground and road with its marks, by weather and light.

Nothing upright. `travelled_m`, how far the camera has driven, moves marks and grain.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air, Colour
from edge.scenes.painting.brush import NEAR_M, shade
from edge.scenes.world import CAMERA_HEIGHT_M, ROAD_TABLE, Camera, Road

FAR_M = 220.0
Strip = Callable[..., None]
_TILE_PX, _TILE_M = 512, 16.0
_WHITE: Colour = (214, 220, 220)
_SNOW: Colour = (238, 232, 228)


def paint_sky(image: BgrImage, camera: Camera, air: Air, *, look: np.random.Generator) -> None:
    """A gradient from zenith to horizon, clouds, and fog that thickens towards the horizon."""
    rows_px = round(camera.horizon_px)
    cloud, shift = int(look.integers(0, 3)), int(look.integers(0, 512))
    if rows_px <= 0:
        return
    fall = (np.linspace(0.0, 1.0, rows_px)[:, None]) ** 2
    rows = np.array(air.zenith) * (1.0 - fall) + np.array(air.horizon) * fall
    veil = 1.0 - np.exp(-900.0 * air.extinction / (1.0 + 6.0 * (1.0 - fall)))
    rows = rows * (1.0 - veil) + np.array(air.airlight) * veil
    sky = image[:rows_px]
    sky[:] = rows.astype(np.uint8)[:, None, :]
    strength = {"clear": 0.22, "cloudy": 0.38, "rain": 0.25, "snow": 0.10, "fog": 0.0}
    share = strength[air.conditions.weather or "clear"]
    if share:
        bright = max(air.horizon) / 255.0
        soft = _clouds(cloud, camera.width_px, rows_px)
        soft = np.roll(soft, shift, axis=1)
        plain = cv2.convertScaleAbs(soft, alpha=share * bright)
        if air.conditions.weather == "clear":
            cv2.add(sky, cv2.merge([plain] * 3), dst=sky)
        else:
            cv2.subtract(sky, cv2.merge([plain] * 3), dst=sky)


@lru_cache(maxsize=16)
def _clouds(number: int, width_px: int, rows_px: int) -> NDArray[np.uint8]:
    """Soft cloud of several scales, flatter towards the horizon; 0 where the sky is free."""
    random = np.random.default_rng([number, 0xC10D])
    total = np.zeros((128, 512), np.float32)
    for scale in (4, 8, 16, 32):
        small = random.random((max(scale * 2, 2), scale * 2)).astype(np.float32)
        small[:, -1] = small[:, 0]
        grown = cv2.resize(small, (512, 128), interpolation=cv2.INTER_CUBIC)
        total += np.asarray(grown, np.float32) / np.float32(scale**0.8)
    total = (total - total.mean()) / total.std()
    squeezed = (np.linspace(0.0, 1.0, rows_px) ** 1.0 * 127).astype(np.int32)
    stretched = cv2.resize(total[squeezed], (width_px, rows_px), interpolation=cv2.INTER_LINEAR)
    fade = np.clip(np.linspace(1.4, 0.1, rows_px), 0.0, 1.0)[:, None]
    return np.asarray(np.clip(stretched * 90.0 + 10.0, 0.0, 255.0) * fade, np.uint8)


def paint_ground(
    image: BgrImage, camera: Camera, air: Air, *, look: np.random.Generator, travelled_m: float
) -> None:
    """Verges, road, marks, wheel tracks and crossings in full light; `light_ground` comes after."""
    road = ROAD_TABLE[air.conditions.road or "city"]
    grass: Colour = (
        int(look.uniform(35, 60)),
        int(look.uniform(92, 122)),
        int(look.uniform(70, 102)),
    )
    base, grain = int(look.uniform(78, 118)), look.uniform(0.10, 0.2)
    zebra = bool(look.random() < 0.3)
    asphalt: Colour = (base, base, base - 2)
    snow, tunnel = air.road_condition == "snow", air.conditions.light == "tunnel"
    if air.road_condition == "wet":
        asphalt = shade(asphalt, 0.62)
    image[round(camera.horizon_px) :] = _SNOW if snow and not tunnel else grass
    whole = (NEAR_M, FAR_M)

    def strip(left: float, right: float, colour: Colour, span: tuple[float, float] = whole) -> None:
        ground_strip(image, camera, sides_m=(left, right), span_m=span, colour=colour)

    _verges(air, road, strip, snow=snow and not tunnel)
    if snow and not tunnel:
        strip(road.left_m, road.right_m, (206, 201, 197))
        for lane in (*road.ours_m, *road.oncoming_m):
            for side in (-0.78, 0.78):
                strip(lane + side - 0.26, lane + side + 0.26, (150, 146, 142))
                strip(lane + side - 0.14, lane + side + 0.14, (118, 114, 110))
    else:
        strip(road.left_m, road.right_m, asphalt)
        for lane in (*road.ours_m, *road.oncoming_m):
            for side in (-0.8, 0.8):
                strip(lane + side - 0.25, lane + side + 0.25, shade(asphalt, 0.93))
        _marks(road, travelled_m, strip)
        if snow:  # what wheels carry into a tunnel
            for lane in (*road.ours_m, *road.oncoming_m):
                strip(lane - 0.5, lane + 0.5, (176, 172, 168))
                strip(lane + 1.15, lane + 1.6, (196, 192, 188))
        if zebra and not tunnel and air.conditions.road == "city":
            start = 30.0 - travelled_m % 70.0
            bars = np.arange(road.left_m + 0.3, road.right_m - 0.4, 1.0)
            for bar in bars:
                strip(float(bar), float(bar) + 0.5, _WHITE, (start, start + 3.0))
    _grain(image, camera, strength=grain, travelled_m=travelled_m)


def _verges(air: Air, road: Road, strip: Strip, *, snow: bool) -> None:
    """Pavements with kerbs in the city, gravel beside a country road."""
    if air.conditions.road == "city" or air.conditions.light == "tunnel":
        slab = (
            shade(_SNOW, 0.94)
            if snow
            else shade((168, 172, 174), 0.75 if air.road_condition == "wet" else 0.92)
        )
        for left, right in ((road.left_m - 3.4, road.left_m), (road.right_m, road.right_m + 3.4)):
            strip(left, right, slab)
            edge = road.left_m if right == road.left_m else road.right_m
            strip(edge - 0.1, edge + 0.1, shade(slab, 0.74))
    elif air.conditions.road == "rural" and not snow:
        for left, right in ((road.left_m - 0.9, road.left_m), (road.right_m, road.right_m + 0.9)):
            strip(left, right, shade((92, 118, 128), 0.8))


def _marks(road: Road, travelled_m: float, draw: Strip) -> None:
    for left in road.edges_m:
        draw(left, left + 0.14, _WHITE)
    period = road.dash_m + road.gap_m
    first = -(travelled_m % period)
    for dash in range(round(90.0 / period) + 1):
        start = first + period * dash
        for left in road.dashes_m:
            draw(left, left + 0.14, _WHITE, (start, start + road.dash_m))


def ground_strip(
    image: BgrImage,
    camera: Camera,
    *,
    sides_m: tuple[float, float],
    span_m: tuple[float, float],
    colour: Colour,
) -> None:
    """A flat rectangle on the ground between `sides_m` (left, right) and `span_m` (near, far)."""
    left, right = sides_m
    near, far = max(span_m[0], NEAR_M), span_m[1]
    if far <= near:
        return
    corners = [
        (camera.column_px(x, z) - 0.5, camera.row_px(0.0, z) - 0.5)
        for x, z in ((left, near), (left, far), (right, far), (right, near))
    ]
    points = np.round(np.array(corners) * 16.0).astype(np.int32)
    cv2.fillConvexPoly(image, points, colour, cv2.LINE_AA, 4)


@lru_cache(maxsize=1)
def _tile() -> NDArray[np.uint8]:
    """Grain of a road surface around 128, repeating without a seam."""
    random = np.random.default_rng(0x6A1)
    grain = random.normal(0.0, 1.0, (_TILE_PX, _TILE_PX)).astype(np.float32)
    wide = cv2.resize(grain[:32, :32], (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC)
    both = cv2.GaussianBlur(grain, (5, 5), 0, borderType=cv2.BORDER_REFLECT) * 90.0 + wide * 22.0
    return np.asarray(np.clip(both + 128.0, 0.0, 255.0), np.uint8)


def _grain(image: BgrImage, camera: Camera, *, strength: float, travelled_m: float) -> None:
    """Grain of the surface, in perspective."""
    horizon = round(camera.horizon_px)
    rows = camera.height_px - horizon
    per_m = _TILE_PX / _TILE_M
    # Ground point of picture point (u, v): z = f h / (v - horizon), x = (u - cx) z / f.
    reach = camera.focal_px * CAMERA_HEIGHT_M
    centre, lift = camera.width_px / 2.0, horizon - camera.horizon_px + 0.5
    to_tile = np.array(
        [
            [CAMERA_HEIGHT_M * per_m, 0.0, -CAMERA_HEIGHT_M * per_m * centre],
            [
                0.0,
                travelled_m % _TILE_M * per_m,
                reach * per_m + travelled_m % _TILE_M * per_m * lift,
            ],
            [0.0, 1.0, lift],
        ]
    )
    grain = cv2.warpPerspective(
        _tile(), to_tile, (camera.width_px, rows),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_WRAP,
    )  # fmt: skip
    ground = image[horizon:]
    cv2.addWeighted(ground, 1.0, cv2.merge([grain] * 3), strength, -128.0 * strength, dst=ground)


def light_ground(
    image: BgrImage, camera: Camera, air: Air, *, pools_m: tuple[tuple[float, float], ...]
) -> None:
    """Daylight, headlights, pools of street lamps and fog on the ground, by distance."""
    horizon = round(camera.horizon_px)
    rows = camera.height_px - horizon
    coarse = np.linspace(0.5, rows - 0.5, (rows + 3) // 4).astype(np.float32)
    depth = np.float32(camera.focal_px * CAMERA_HEIGHT_M) / coarse
    columns = np.linspace(0.5, camera.width_px - 0.5, 64).astype(np.float32)
    aside = (columns[None, :] - camera.width_px / 2.0) * depth[:, None] / camera.focal_px
    spread = 1.9 + 0.2 * depth[:, None]
    beam = air.beam * np.exp(-depth[:, None] / 30.0 - (aside / spread) ** 2)
    for x, z in pools_m:
        beam += 0.26 * np.exp(-(((aside - x) / 4.0) ** 2) - ((depth[:, None] - z) / 5.0) ** 2)
    share = np.minimum(np.array(air.ambient, np.float32) + beam[:, :, None], 1.0) * 255.0
    size = (camera.width_px, rows)
    light = cv2.resize(share.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    ground = image[horizon:]
    cv2.multiply(ground, light, dst=ground, scale=1.0 / 255.0)
    fine = camera.focal_px * CAMERA_HEIGHT_M / (np.arange(rows) + 0.5)
    clear = np.round(255.0 * np.exp(-air.extinction * fine)).astype(np.uint8)
    if clear.min() < 250:
        through = np.repeat(np.repeat(clear[:, None, None], camera.width_px, 1), 3, 2)
        cv2.multiply(ground, through, dst=ground, scale=1.0 / 255.0)
        veil = np.array(air.airlight)[None, :] * (1.0 - clear[:, None] / 255.0)
        cv2.add(
            ground, np.repeat(veil.astype(np.uint8)[:, None, :], camera.width_px, 1), dst=ground
        )


def mirror_surroundings(image: BgrImage, camera: Camera) -> None:
    """A wet road's reflection of what is far away: upside down, smeared, brighter towards the
    horizon."""
    horizon = round(camera.horizon_px)
    rows = min(horizon, camera.height_px - horizon)
    if rows < 8:
        return
    above = np.ascontiguousarray(image[horizon - rows : horizon][::-1])
    smeared = cv2.blur(above, (5, 31))
    fade = np.linspace(150.0, 40.0, rows).astype(np.uint8)
    share = np.repeat(np.repeat(fade[:, None, None], camera.width_px, 1), 3, 2)
    ground = image[horizon : horizon + rows]
    ours = cv2.multiply(smeared, share, scale=0.55 / 255.0)
    rest = cv2.multiply(ground, cv2.bitwise_not(share), scale=1.0 / 255.0)
    cv2.add(ours, rest, dst=ground)
