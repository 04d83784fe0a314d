"""Paints a tunnel: walls, ceiling and lamps in place of everything beside the road."""

from __future__ import annotations

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air
from edge.scenes.painting.brush import Brush, shade
from edge.scenes.world import ROAD_TABLE, Camera


def paint_tunnel(image: BgrImage, camera: Camera, air: Air, *, travelled_m: float) -> None:
    """Walls with a bright band, a ceiling, and two rows of lamps that light what is under them."""
    left, right = ROAD_TABLE[air.conditions.road or "city"].walls_m
    top, step = 5.4, 4.5
    image[: round(camera.horizon_px) + 1] = air.lamp_colour((30, 34, 36), 60.0)
    for row in range(22, -1, -1):
        z = step * row - travelled_m % (2.0 * step)
        near, ahead = max(z, 1.3), 0.0
        ahead = z + step - near
        if ahead <= 0.0:
            continue
        bright = 1.12 if row % 2 else 0.9
        brush = Brush(image, camera, air, x_m=0.0, z_m=near)
        for x, share in ((left, 0.92), (right, 1.0)):
            for low, high, wall in (
                (0.0, 3.2, (172, 184, 188)), (3.2, top, (120, 126, 128)),
                (0.0, 0.9, (96, 100, 102)),
            ):  # fmt: skip
                brush.shape(
                    ((x, low), (x, high), (x, high, ahead), (x, low, ahead)),
                    shade(wall, share * bright),
                )
        brush.shape(
            ((left, top), (right, top), (right, top, ahead), (left, top, ahead)),
            shade((92, 96, 98), bright),
        )
        if row % 2 == 1:
            middle = (left + right) / 2.0
            for x in (middle - 2.4, middle + 2.4):
                brush.lamp(
                    (
                        (x - 0.2, top - 0.05),
                        (x + 0.2, top - 0.05),
                        (x + 0.2, top - 0.05, 1.8),
                        (x - 0.2, top - 0.05, 1.8),
                    ),
                    (175, 228, 252),
                )
                if z > 3.0:
                    brush.glow(x, top - 0.1, 0.9, (60, 95, 115))
