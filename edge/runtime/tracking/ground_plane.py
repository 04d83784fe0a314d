"""The distance of a point on a flat road from its place in the picture, with its uncertainty.

In: where the camera is and how it sees (`GroundCamera`), and a point of the picture in which
something stands on the road. Out: a `GroundDistance`. A point at or above the horizon has no
distance: never infinity, never a large number instead. Knows nothing of hills.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge.contract.mission.sections.geometry import Geometry

DEVIATIONS = 2.0
"""Near and far end are so many standard deviations away: 95 % of a normal distribution."""

_UNDISTORT_STEPS = 40
"""Fixed-point steps from the distorted to the true direction, as OpenCV makes them."""

_LEAST_RADIAL = 0.05

_ROUND_TRIP_PX = 0.1
"""A point that distortion does not lead back to within so much has no known direction."""


@dataclass(frozen=True)
class GroundDistance:
    """Metres along the road from the front bumper to an object's foot.

    Attributes:
        near_m: it is not nearer; None: nothing is known.
        ahead_m, far_m: the estimate, and what it is not farther than; None: not known.
        aside_m: of the estimate, to the right of the camera.
        unknown: why the estimate is not known; empty where it is.
    """

    near_m: float | None = None
    ahead_m: float | None = None
    far_m: float | None = None
    aside_m: float | None = None
    unknown: str = ""


@dataclass(frozen=True, kw_only=True)
class GroundCamera:
    """A camera over a flat road: OpenCV's pinhole model, looking ahead, not rolled.

    Attributes:
        size_px: width and height of the pictures that all of this holds for.
        fx_px, fy_px, cx_px, cy_px: focal lengths and principal point.
        distortion: k1 k2 p1 p2 k3, zeros where there is none.
        height_m: of the lens above the road.
        pitch_deg: how far it looks down.
        to_bumper_m: from the lens ahead to the vehicle's foremost point.
        height_error_m, pitch_error_deg, foot_error_px, foot_error_share: standard deviations: of
            the height; of the pitch, with the vehicle's nodding; of the row of an object's foot in
            pixels, and as a share of the height of its box.
    """

    size_px: tuple[int, int]
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...]
    height_m: float
    pitch_deg: float
    to_bumper_m: float
    height_error_m: float
    pitch_error_deg: float
    foot_error_px: float
    foot_error_share: float

    @staticmethod
    def of(geometry: Geometry) -> GroundCamera:
        """The camera that a mission describes."""
        values = geometry.model_dump(exclude={"width_px", "height_px"})
        return GroundCamera(size_px=(geometry.width_px, geometry.height_px), **values)

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3): the camera matrix."""
        return np.array([[self.fx_px, 0, self.cx_px], [0, self.fy_px, self.cy_px], [0, 0, 1.0]])

    @property
    def horizon_px(self) -> float:
        """Row of the horizon in the middle of an undistorted picture."""
        return self.cy_px - self.fy_px * math.tan(math.radians(self.pitch_deg))

    def distance(self, column_px: float, row_px: float, *, box_height_px: float) -> GroundDistance:
        """The distance of what stands at this point of the picture (see docs/distance.md).

        `box_height_px` is the height of the object's box, by which the error of its foot grows.
        """
        rays = self._rays(column_px, row_px)
        if rays is None:
            return GroundDistance(unknown="outside of what the lens's distortion describes")
        (x, y), (_, y_below) = rays
        pitch = math.radians(self.pitch_deg)
        angle = math.atan(y) + pitch
        row_error_px = math.hypot(self.foot_error_px, self.foot_error_share * box_height_px)
        angle_error = DEVIATIONS * math.hypot(
            (math.atan(y_below) - math.atan(y)) * row_error_px, math.radians(self.pitch_error_deg)
        )
        height_error_m = DEVIATIONS * self.height_error_m
        steepest = min(angle + angle_error, math.pi / 2.0)
        if steepest <= 0.0:
            return GroundDistance(unknown="above the horizon")
        near_m = max(0.0, self.height_m - height_error_m) / math.tan(steepest)
        near_m = max(0.0, near_m - self.to_bumper_m)
        if angle - angle_error <= 0.0:
            return GroundDistance(near_m=near_m, unknown="as near to the horizon as its error")
        far_m = (self.height_m + height_error_m) / math.tan(angle - angle_error)
        depth_m = self.height_m / (y * math.cos(pitch) + math.sin(pitch))
        return GroundDistance(
            near_m=near_m,
            ahead_m=max(0.0, self.height_m / math.tan(angle) - self.to_bumper_m),
            far_m=max(0.0, far_m - self.to_bumper_m),
            aside_m=x * depth_m,
        )

    def _rays(self, column_px: float, row_px: float) -> NDArray[np.float64] | None:
        """(2, 2): directions x, y at depth 1 of the point and of the point one row below; None
        where distortion does not lead back to them."""
        points = np.array([[column_px, row_px], [column_px, row_px + 1.0]])
        focal, middle = np.array([self.fx_px, self.fy_px]), np.array([self.cx_px, self.cy_px])
        seen = (points - middle) / focal
        rays = seen
        for _ in range(_UNDISTORT_STEPS):
            radial, shift = self._distortion(rays)
            if not (radial > _LEAST_RADIAL).all():
                return None
            rays = (seen - shift) / radial
        radial, shift = self._distortion(rays)
        missed_px = np.abs(rays * radial + shift - seen) * focal
        return rays if missed_px.max() <= _ROUND_TRIP_PX else None

    def _distortion(
        self, rays: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of OpenCV's model at directions (N, 2): radial factor (N, 1), tangential shift (N, 2)."""
        k1, k2, p1, p2, k3 = self.distortion
        x, y = rays[:, :1], rays[:, 1:]
        square = x * x + y * y
        radial = 1.0 + square * (k1 + square * (k2 + square * k3))
        shift = np.concatenate(
            [
                2.0 * p1 * x * y + p2 * (square + 2.0 * x * x),
                p1 * (square + 2.0 * y * y) + 2.0 * p2 * x * y,
            ],
            axis=1,
        )
        return radial, shift
