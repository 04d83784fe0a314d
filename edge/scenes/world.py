"""The world of generated scenes: roads, actors, and a pinhole camera over a plane.

Numbers only; `painting` draws them. In metres: x to the right of the lane's middle, z ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SCENE_LABELS = ("pedestrian", "vehicle", "traffic sign")
"""The labels of every generated scene, in the order of their indices."""

CAMERA_HEIGHT_M = 1.3


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
class Road:
    """One row: a kind of road, seen from the lane that the camera drives in.

    Attributes:
        left_m, right_m: edges of the paved road.
        ours_m, oncoming_m: middles of the lanes of either direction.
        edges_m: where edge lines run.
        dashes_m: where dashed lines run.
        dash_m, gap_m: their pattern.
        beside_m: middles of the strips beside the lanes on which vehicles park or stand.
        walls_m: where a tunnel's walls stand, left and right.
    """

    left_m: float
    right_m: float
    ours_m: tuple[float, ...]
    oncoming_m: tuple[float, ...]
    edges_m: tuple[float, ...]
    dashes_m: tuple[float, ...]
    dash_m: float
    gap_m: float
    beside_m: tuple[float, ...]
    walls_m: tuple[float, float]


ROAD_TABLE: dict[str, Road] = {
    "city": Road(
        -5.25, 2.25, (0.0,), (-3.5,), (-5.1, 2.0), (-1.75,), 3.0, 4.0, (4.3, -7.3), (-8.9, 5.9)
    ),
    "rural": Road(
        -5.1, 1.95, (0.0,), (-3.3,), (-4.95, 1.75), (-1.65,), 4.0, 8.0, (), (-7.4, 4.4)
    ),
    "highway": Road(
        -5.9, 8.6, (0.0, -3.75, 3.75), (), (-5.65, 5.65), (-1.88, 1.88), 6.0, 12.0, (7.2,),
        (-7.6, 10.4),
    ),
}  # fmt: skip
"""One row for each of ROADS. In the city the camera drives beside a pavement, on a highway in the
middle of three lanes with a hard shoulder."""


@dataclass(frozen=True)
class Body:
    """One row: a kind of vehicle. Sizes in metres."""

    width_m: float
    height_m: float
    length_m: float


BODY_TABLE: dict[str, Body] = {
    "hatchback": Body(1.78, 1.48, 3.9),
    "saloon": Body(1.82, 1.43, 4.6),
    "estate": Body(1.92, 1.70, 4.6),
    "van": Body(2.05, 2.55, 5.3),
    "lorry": Body(2.45, 3.35, 9.0),
    "bus": Body(2.5, 3.05, 11.0),
}

TOWARDS, AWAY, LEFTWARDS, RIGHTWARDS = "towards", "away", "leftwards", "rightwards"


@dataclass(frozen=True)
class Actor:
    """An object on the road.

    Attributes:
        kind: one of SCENE_LABELS.
        x_m, z_m: place of its foot: the middle of its nearest side.
        width_m, height_m: size of the labelled part, seen from the camera.
        lift_m: height of the labelled part's lower edge (a sign's plate stands on a pole).
        look: number that chooses colours and details.
        model: a key of BODY_TABLE, a face of a sign, or empty.
        facing: where it heads: TOWARDS us, AWAY, LEFTWARDS or RIGHTWARDS.
        braking: whether its brake lamps shine.
        stride: -1..1, how far the legs are apart.
        id: the same in every frame of a clip; unique among the actors of a frame.
    """

    kind: str
    x_m: float
    z_m: float
    width_m: float
    height_m: float
    lift_m: float
    look: int
    model: str = ""
    facing: str = AWAY
    braking: bool = False
    stride: float = 0.0
    id: int = 0

    def box_px(self, camera: Camera) -> NDArray[np.float32]:
        """x1 y1 x2 y2 of the nearest side in the picture, not clipped."""
        return np.array(
            [
                camera.column_px(self.x_m - self.width_m / 2.0, self.z_m),
                camera.row_px(self.lift_m + self.height_m, self.z_m),
                camera.column_px(self.x_m + self.width_m / 2.0, self.z_m),
                camera.row_px(self.lift_m, self.z_m),
            ],
            np.float32,
        )


def pedestrian(
    x_m: float, z_m: float, *, look: int, stride: float = 0.0, facing: str = TOWARDS
) -> Actor:
    """A person of 1.55 to 1.9 m; every ninth look is a child."""
    height = 1.15 + 0.03 * (look % 8) if look % 9 == 8 else 1.55 + 0.05 * (look % 8)
    return Actor("pedestrian", x_m, z_m, 0.62, height, 0.0, look, facing=facing, stride=stride)


_CARS, _LARGE = ("hatchback", "saloon", "estate"), ("van", "lorry", "bus")


def vehicle(
    x_m: float,
    z_m: float,
    *,
    look: int,
    facing: str = AWAY,
    braking: bool = False,
    model: str | None = None,
) -> Actor:
    """A car, or for every fourth look a van, lorry or bus."""
    models = _LARGE if look % 4 == 3 else _CARS
    model = model or models[look // 4 % 3]
    body = BODY_TABLE[model]
    across = facing in (LEFTWARDS, RIGHTWARDS)
    width = body.length_m if across else body.width_m
    height = body.height_m * (1.0 + 0.01 * (look % 5))
    return Actor(
        "vehicle", x_m, z_m, width, height, 0.0, look,
        model=model, facing=facing, braking=braking,
    )  # fmt: skip


SIGN_FACES = (
    "stop", "yield", "limit 30", "limit 50", "limit 80", "limit 120", "no entry", "warning",
    "curve", "keep right", "straight on", "priority road", "crossing", "no overtaking",
)  # fmt: skip


def sign(x_m: float, z_m: float, *, look: int, face: str | None = None) -> Actor:
    """A plate of 0.75 m on a pole; without a face, `look` chooses it."""
    face = face or SIGN_FACES[look % len(SIGN_FACES)]
    return Actor("traffic sign", x_m, z_m, 0.75, 0.75, 1.75, look, model=face)
