"""The camera's pitch from pictures of a straight, level road: where its lines meet is the horizon.

In: pictures and the camera's intrinsics. Out: a `Pitch`, the median over the pictures with its
spread. A picture without lines on both sides that meet tells nothing and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.perception.opencv import import_opencv
from edge.perception.values import BgrImage
from firmware_bridge.errors import UsageError

LEAST_PICTURES = 5
LARGEST_SPREAD_DEG = 1.5

_LEAST_LENGTH, _LEAST_TURN_DEG, _MOST_TURN_DEG = 0.05, 12.0, 78.0
_BELOW = 0.45
"""Of the picture's height: lines above it are rarely of the road."""

_WITHIN_DEG = 1.5
_PAIRS = 500
_LEAST_DETERMINANT = 0.15
_LEAST_LINES = 6


@dataclass(frozen=True)
class Pitch:
    """How far the camera looks down.

    `deviation_deg` is the standard deviation from picture to picture; `used` of `of` pictures tell.
    """

    pitch_deg: float
    deviation_deg: float
    used: int
    of: int


def pitch_of(
    pictures: Iterable[BgrImage],
    *,
    matrix: NDArray[np.float64],
    distortion: tuple[float, ...],
) -> Pitch:
    """The pitch of a camera with this (3, 3) matrix and these five coefficients.

    Raises:
        UsageError: too few pictures tell, or they contradict one another.
    """
    cv2 = import_opencv("pictures")
    lens = np.array(distortion)
    found, count = [], 0
    for picture in pictures:
        count += 1
        grey = cv2.cvtColor(cv2.undistort(picture, matrix, lens), cv2.COLOR_BGR2GRAY)
        point = vanishing_point(cv2, grey)
        if point is not None:
            found.append(math.degrees(math.atan((matrix[1, 2] - point[1]) / matrix[1, 1])))
    spread = float(np.std(found, ddof=1)) if len(found) > 1 else math.inf
    if len(found) < LEAST_PICTURES or spread > LARGEST_SPREAD_DEG:
        raise UsageError(
            "the pictures do not tell the camera's pitch",
            expected=f"{LEAST_PICTURES} or more in which lines of a straight road meet, within "
            f"{LARGEST_SPREAD_DEG:g} degrees",
            found=f"{len(found)} of {count}"
            + (f", {spread:.2f} degrees apart" if len(found) > 1 else ""),
            remedy="take pictures while driving on a straight, level road with lines on both sides",
        )
    return Pitch(float(np.median(found)), spread, len(found), count)


def vanishing_point(cv2: Any, grey: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Column and row in which most lines to the left and to the right of it meet; None: nowhere."""
    height, width = grey.shape
    segments = cv2.createLineSegmentDetector().detect(grey)[0]
    if segments is None:
        return None
    ends = np.asarray(segments, np.float64).reshape(-1, 4)
    along = ends[:, 2:] - ends[:, :2]
    length = np.hypot(along[:, 0], along[:, 1])
    turn = np.degrees(np.arctan2(np.abs(along[:, 1]), np.abs(along[:, 0])))
    middle = (ends[:, :2] + ends[:, 2:]) / 2.0
    kept = (length > _LEAST_LENGTH * width) & (middle[:, 1] > _BELOW * height)
    kept &= (turn > _LEAST_TURN_DEG) & (turn < _MOST_TURN_DEG)
    if kept.sum() < _LEAST_LINES:
        return None
    along, length, middle = along[kept], length[kept], middle[kept]
    normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / length[:, None]
    offset = (normal * middle).sum(axis=1)
    random, best, meeting = np.random.default_rng(0), 0.0, None
    for _ in range(_PAIRS):
        pair = random.choice(len(normal), 2, replace=False)
        if abs(np.linalg.det(normal[pair])) < _LEAST_DETERMINANT:
            continue
        point = np.linalg.solve(normal[pair], offset[pair])
        if not (0.2 < point[0] / width < 0.8 and 0.1 < point[1] / height < 0.75):
            continue
        towards = point - middle
        reach = np.hypot(towards[:, 0], towards[:, 1]) * length + 1e-9
        meets = np.abs((towards * along).sum(axis=1)) > math.cos(math.radians(_WITHIN_DEG)) * reach
        left = float(length[meets & (middle[:, 0] < point[0])].sum())
        right = float(length[meets & (middle[:, 0] > point[0])].sum())
        if min(left, right) > best:
            best, meeting = min(left, right), meets
    if meeting is None:
        return None
    weight = length[meeting]
    found: NDArray[np.float64] = np.linalg.lstsq(
        normal[meeting] * weight[:, None], offset[meeting] * weight, rcond=None
    )[0]
    return found
