"""Paints trees with leaves or needles, with snow on them in snow."""

from __future__ import annotations

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air, Colour
from edge.scenes.painting.brush import Brush, shade
from edge.scenes.world import Camera

LEAVES: tuple[Colour, ...] = ((38, 92, 52), (44, 108, 74), (34, 76, 50), (52, 112, 96))
SNOWY: Colour = (232, 228, 224)


def pick(colours: tuple[Colour, ...], share: float) -> Colour:
    """The colour at a share, 0..1, of the tuple's length."""
    return colours[int(share * len(colours))]


def paint_tree(
    image: BgrImage, camera: Camera, air: Air, *, x: float, z: float, draw: tuple[float, ...],
    size: float = 1.0,
) -> None:  # fmt: skip
    """A fir or a leafy tree; `draw` holds numbers in 0..1 that shape it."""
    if z < 3.0:
        return
    brush = Brush(image, camera, air, x_m=x, z_m=z)
    tall = (4.2 + 3.0 * draw[5]) * size
    brush.shape(((-0.16, 0), (0.16, 0), (0.09, 0.6 * tall), (-0.09, 0.6 * tall)), (44, 62, 82))
    leaf = pick(LEAVES, draw[6])
    snowy = air.road_condition == "snow"
    if draw[7] < 0.35:  # a fir
        for tier in range(3):
            low, wide = tall * (0.18 + 0.25 * tier), tall * (0.26 - 0.06 * tier)
            brush.shape(
                ((-wide, low), (wide, low), (0, low + 0.42 * tall)), shade(leaf, 0.62 + 0.12 * tier)
            )
            if snowy:
                brush.shape(
                    (
                        (-0.5 * wide, low + 0.2 * tall),
                        (0.5 * wide, low + 0.2 * tall),
                        (0, low + 0.42 * tall),
                    ),
                    SNOWY,
                )
        return
    for blob in range(5):
        u = (draw[8 + blob] - 0.5) * 0.42 * tall
        h = tall * (0.58 + 0.30 * draw[13 + blob])
        radius = tall * (0.15 + 0.08 * draw[18])
        brush.disc(u, h, radius, shade(leaf, 0.6 + 0.08 * blob))
        brush.disc(u - 0.3 * radius, h + 0.3 * radius, 0.6 * radius,
                   SNOWY if snowy else shade(leaf, 0.78 + 0.1 * blob))  # fmt: skip
