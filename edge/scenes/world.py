"""What stands on a generated road and where it lands in the picture: a pinhole camera over a plane.

Numbers only; drawing is in `paint.py`. Metres: x to the right of the lane's middle, z ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCENE_LABELS = ("pedestrian", "vehicle", "traffic sign")
"""The labels of every generated scene, in the order of their indices."""

CAMERA_HEIGHT_M = 1.3
LANE_HALF_WIDTH_M = 1.75
ROAD_LEFT_M = -1.75 - 3.5
ROAD_RIGHT_M = 1.75 + 0.5


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera.

    Attributes:
        width_px, height_px: picture size.
        horizon_px: row of the horizon.
    """

    width_px: int
    height_px: int
    horizon_px: float

    @property
    def focal_px(self) -> float:
        """Focal length: a horizontal field of view of 58 degrees, common for road cameras."""
        return 0.9 * self.width_px

    def column_px(self, x_m: float, z_m: float) -> float:
        """Picture column of a point `x_m` to the right, `z_m` ahead."""
        return self.width_px / 2.0 + self.focal_px * x_m / z_m

    def row_px(self, height_m: float, z_m: float) -> float:
        """Picture row of a point `height_m` above the road, `z_m` ahead."""
        return self.horizon_px + self.focal_px * (CAMERA_HEIGHT_M - height_m) / z_m


@dataclass(frozen=True)
class Thing:
    """An object on the road.

    Attributes:
        kind: one of SCENE_LABELS.
        x_m, z_m: place of its foot.
        width_m, height_m: size of the labelled part.
        lift_m: height of the labelled part's lower edge (a sign's plate stands on a pole).
        look: number that chooses colours and details.
        stride: -1..1, how far the legs are apart.
        id: the same in every frame of a clip; unique among the things of a frame.
    """

    kind: str
    x_m: float
    z_m: float
    width_m: float
    height_m: float
    lift_m: float
    look: int
    stride: float = 0.0
    id: int = 0

    def box_px(self, camera: Camera) -> NDArray[np.float32]:
        """x1 y1 x2 y2 in the picture, not clipped."""
        return np.array(
            [
                camera.column_px(self.x_m - self.width_m / 2.0, self.z_m),
                camera.row_px(self.lift_m + self.height_m, self.z_m),
                camera.column_px(self.x_m + self.width_m / 2.0, self.z_m),
                camera.row_px(self.lift_m, self.z_m),
            ],
            np.float32,
        )


def pedestrian(x_m: float, z_m: float, *, look: int, stride: float = 0.0) -> Thing:
    """A person of 1.55 to 1.9 m."""
    return Thing("pedestrian", x_m, z_m, 0.62, 1.55 + 0.05 * (look % 8), 0.0, look, stride)


def vehicle(x_m: float, z_m: float, *, look: int) -> Thing:
    """A car, or for every fourth look a van or lorry, seen from behind or in front."""
    if look % 4 == 3:
        return Thing("vehicle", x_m, z_m, 2.2, 2.6 + 0.1 * (look % 5), 0.0, look)
    return Thing("vehicle", x_m, z_m, 1.8, 1.4 + 0.05 * (look % 5), 0.0, look)


def sign(x_m: float, z_m: float, *, look: int) -> Thing:
    """A plate of 0.75 m on a pole."""
    return Thing("traffic sign", x_m, z_m, 0.75, 0.75, 1.7, look)


def random_things(random: np.random.Generator) -> list[Thing]:
    """A road with up to four vehicles, three pedestrians and two signs, sometimes none at all."""
    things: list[Thing] = []

    def look() -> int:
        return int(random.integers(0, 1 << 16))

    for _ in range(int(random.integers(0, 5))):
        lane = float(random.choice([-3.5, 0.0, 0.0, 4.2]))
        x, z = lane + random.normal(0.0, 0.3), 6.0 * np.exp(random.uniform(0.0, 1.9))
        things.append(vehicle(float(x), float(z), look=look()))
    for _ in range(int(random.integers(0, 4))):
        z = 5.0 * np.exp(random.uniform(0.0, 1.65))
        stride = float(random.uniform(-1.0, 1.0))
        things.append(
            pedestrian(float(random.uniform(-6.5, 6.5)), float(z), look=look(), stride=stride)
        )
    for _ in range(int(random.integers(0, 3))):
        z = 6.0 * np.exp(random.uniform(0.0, 1.1))
        side = float(random.choice([-6.0, 3.4])) + float(random.normal(0.0, 0.4))
        things.append(sign(side, float(z), look=look()))
    return things
