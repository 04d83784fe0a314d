"""Paints flat shapes, given in metres, into a picture, in their colours through the air.

Records the extent of its marks, so that a label's box is where something was painted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage
from edge.scenes.painting.atmosphere import Air, Colour
from edge.scenes.world import CAMERA_HEIGHT_M, Camera

Point = tuple[float, float] | tuple[float, float, float]
"""Metres: to the right of the brush's place, above the road, and behind the place where given."""

_SHIFT = 4
_SUBPIXEL = float(1 << _SHIFT)
NEAR_M = 1.2
"""Nothing nearer than this is painted: the bonnet would hide it."""


class Brush:
    """Paints one object at one place: `x_m` right of the lane's middle, `z_m` ahead."""

    def __init__(self, image: BgrImage, camera: Camera, air: Air, *, x_m: float, z_m: float):
        self.image, self.camera, self.air = image, camera, air
        self.x_m, self.z_m = x_m, z_m
        self._clear = air.clear_share(z_m)
        self._beam = air.beam_at(x_m, z_m)
        self._focal = camera.focal_px
        self._centre = camera.width_px / 2.0
        self.start_reach()

    def start_reach(self) -> None:
        """Resets the reach: it covers only what is painted from now on."""
        self._reach = [math.inf, math.inf, -math.inf, -math.inf]

    @property
    def reach(self) -> NDArray[np.float32]:
        """x1 y1 x2 y2 of everything painted since `start_reach`, in pixels, not clipped."""
        return np.array(self._reach, np.float32)

    @property
    def px_per_m(self) -> float:
        """Pixels of one metre at the place."""
        return self._focal / self.z_m

    def place(self, point: Point) -> tuple[float, float]:
        """Pixels of a point; pixel (0, 0) covers 0..1."""
        z = max(self.z_m + (point[2] if len(point) == 3 else 0.0), NEAR_M)
        scale = self._focal / z
        return (
            self._centre + scale * (self.x_m + point[0]),
            self.camera.horizon_px + scale * (CAMERA_HEIGHT_M - point[1]),
        )

    def lit(self, colour: Colour, *, returns: float = 1.0) -> Colour:
        """A painted colour as the camera sees it; `returns` over 1 is a reflector."""
        air, clear, beam = self.air, self._clear, self._beam * returns
        blue, green, red = (
            round(min(c * (lit + beam), 255.0) * clear + veil * (1.0 - clear))
            for c, lit, veil in zip(colour, air.ambient, air.airlight, strict=True)
        )
        return blue, green, red

    def light_matrix(self, returns: float) -> NDArray[np.float64]:
        """`lit` as a 3 x 4 matrix for whole pictures; saturation comes only after the fog."""
        air, clear = self.air, self._clear
        matrix = np.zeros((3, 4))
        for row, (lit, veil) in enumerate(zip(air.ambient, air.airlight, strict=True)):
            matrix[row, row] = (lit + self._beam * returns) * clear
            matrix[row, 3] = veil * (1.0 - clear)
        return matrix

    def shape(self, points: Iterable[Point], colour: Colour) -> None:
        """A convex polygon in a painted colour."""
        self.fill([self.place(point) for point in points], self.lit(colour))

    def lamp(self, points: Iterable[Point], colour: Colour) -> None:
        """A convex polygon that shines by itself."""
        self.fill([self.place(point) for point in points], self.air.lamp_colour(colour, self.z_m))

    def panel(self, left: float, top: float, right: float, low: float, colour: Colour) -> None:
        """An upright rectangle across the line of sight, in metres."""
        self.shape(((left, top), (right, top), (right, low), (left, low)), colour)

    def disc(self, x_m: float, height_m: float, radius_m: float, colour: Colour) -> None:
        """A round patch in a painted colour."""
        self.round(self.place((x_m, height_m)), radius_m, self.lit(colour))

    def round(self, centre: tuple[float, float], radius_m: float, colour: Colour) -> None:
        """A round patch at a pixel, in its final colour."""
        radius = max(radius_m * self.px_per_m, 0.5)
        x, y = centre
        self.extend_reach(x - radius, y - radius, x + radius, y + radius)
        point = (round((x - 0.5) * _SUBPIXEL), round((y - 0.5) * _SUBPIXEL))
        size = max(round((radius - 0.25) * _SUBPIXEL), 4)
        cv2.circle(self.image, point, size, colour, -1, cv2.LINE_AA, _SHIFT)

    def limb(self, joints: Sequence[Point], width_m: float, colour: Colour) -> None:
        """A bent limb: a thick line with round joints."""
        lit_colour, half = self.lit(colour), width_m / 2.0
        for start, end in itertools.pairwise(joints):
            along = math.hypot(end[0] - start[0], end[1] - start[1]) or 1.0
            dx = -(end[1] - start[1]) / along * half
            dy = (end[0] - start[0]) / along * half
            corners = (
                (start[0] + dx, start[1] + dy),
                (end[0] + dx, end[1] + dy),
                (end[0] - dx, end[1] - dy),
                (start[0] - dx, start[1] - dy),
            )
            self.fill([self.place(corner) for corner in corners], lit_colour)
        if half * self.px_per_m > 1.5:
            for joint in joints[:-1]:
                self.round(self.place(joint), half, lit_colour)

    def fill(self, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A convex polygon of pixels in its final colour."""
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        self.extend_reach(min(xs), min(ys), max(xs), max(ys))
        points = np.array(
            [(round((x - 0.5) * _SUBPIXEL), round((y - 0.5) * _SUBPIXEL)) for x, y in corners],
            np.int32,
        )
        cv2.fillConvexPoly(self.image, points, colour, cv2.LINE_AA, _SHIFT)

    def glow(self, x_m: float, height_m: float, radius_m: float, colour: Colour) -> None:
        """The halo of a lamp: light added around it. Not a part of the reach."""
        x, y = self.place((x_m, height_m))
        radius = round(min(max(radius_m * self.px_per_m, 3.0), 90.0))
        left, top = round(x) - radius, round(y) - radius
        spot = halo(radius)
        x1, y1 = max(left, 0), max(top, 0)
        x2 = min(left + 2 * radius + 1, self.camera.width_px)
        y2 = min(top + 2 * radius + 1, self.camera.height_px)
        if x2 <= x1 or y2 <= y1:
            return
        part = spot[y1 - top : y2 - top, x1 - left : x2 - left]
        share = [self._clear * value / 255.0 for value in colour]
        light = cv2.merge([cv2.convertScaleAbs(part, alpha=value) for value in share])
        patch = self.image[y1:y2, x1:x2]
        cv2.add(patch, light, dst=patch)

    def extend_reach(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Extends the reach by this box, in pixels."""
        reach = self._reach
        reach[0], reach[1] = min(reach[0], x1), min(reach[1], y1)
        reach[2], reach[3] = max(reach[2], x2), max(reach[3], y2)


@lru_cache(maxsize=128)
def halo(radius: int) -> NDArray[np.uint8]:
    """A soft round spot, (2 r + 1) squared, brightest in the middle, 0 at the rim."""
    away = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) / (radius + 0.5)
    return np.asarray(255.0 * np.clip(1.0 - away, 0.0, 1.0) ** 2.2, np.uint8)


def shade(colour: Colour, share: float) -> Colour:
    """A darker colour, or for a share over 1 a lighter one."""
    blue, green, red = (min(255, round(value * share)) for value in colour)
    return blue, green, red


def mix(colour: Colour, other: Colour, share: float) -> Colour:
    """`colour` with `share` of `other` in it."""
    blue, green, red = (
        round(a * (1.0 - share) + b * share) for a, b in zip(colour, other, strict=True)
    )
    return blue, green, red
