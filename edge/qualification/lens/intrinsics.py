"""Computes a camera's intrinsics from chessboards, by OpenCV, and refuses what they do not fix.

In: `Boards`. Out: `Intrinsics` with their standard deviations and residuals. Never gives intrinsics
of pictures that are all alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.opencv import import_opencv
from edge.qualification.lens.chessboards import Boards
from firmware_bridge.errors import UsageError

LEAST_TILT_DEG = 20.0
"""Boards whose normals differ by less do not part focal length from distance."""

LARGEST_RMS_PX = 1.0
LARGEST_FOCAL_ERROR = 0.02
"""Standard deviation of a focal length, as a share of it."""


@dataclass(frozen=True)
class Intrinsics:
    """OpenCV's pinhole model of one camera at one size.

    Attributes:
        distortion: k1 k2 p1 p2 k3.
        deviations_px: standard deviations of fx, fy, cx, cy.
        rms_px: of all residuals.
        residuals: (corners, 2) of each picture: found minus computed, pixels.
        tilt_deg: largest angle between two boards.
        coverage: share of an 8 x 8 grid over the picture in which some corner lies.
    """

    size_px: tuple[int, int]
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...]
    deviations_px: tuple[float, float, float, float]
    rms_px: float
    residuals: tuple[NDArray[np.float64], ...]
    tilt_deg: float
    coverage: float


def intrinsics_of(boards: Boards) -> Intrinsics:
    """The intrinsics that fit these boards best.

    Raises:
        UsageError: the boards are all alike, or do not fix the camera well enough.
    """
    cv2 = import_opencv("chessboards")
    points = [boards.board.points for _ in boards.corners]
    start = np.array([[boards.size_px[0], 0, 0], [0, boards.size_px[0], 0], [0, 0, 1.0]])
    start[:2, 2] = (boards.size_px[0] - 1) / 2.0, (boards.size_px[1] - 1) / 2.0
    corners = [found.reshape(-1, 1, 2) for found in boards.corners]
    rms, matrix, lens, turns, shifts, deviations, _, _ = cv2.calibrateCameraExtended(
        points, corners, boards.size_px, start, np.zeros(5), flags=cv2.CALIB_USE_INTRINSIC_GUESS
    )
    residuals = []
    for board, found, turn, shift in zip(points, boards.corners, turns, shifts, strict=True):
        computed = cv2.projectPoints(board, turn, shift, matrix, lens)[0].reshape(-1, 2)
        residuals.append(found.astype(np.float64) - computed)
    spread = deviations.ravel()[:4]
    made = Intrinsics(
        size_px=boards.size_px,
        fx_px=float(matrix[0, 0]),
        fy_px=float(matrix[1, 1]),
        cx_px=float(matrix[0, 2]),
        cy_px=float(matrix[1, 2]),
        distortion=tuple(float(value) for value in lens.ravel()[:5]),
        deviations_px=(float(spread[0]), float(spread[1]), float(spread[2]), float(spread[3])),
        rms_px=float(rms),
        residuals=tuple(residuals),
        tilt_deg=_largest_tilt_deg([cv2.Rodrigues(turn)[0][:, 2] for turn in turns]),
        coverage=_coverage(boards),
    )
    _require_fixed(made)
    return made


def _largest_tilt_deg(normals: list[NDArray[np.float64]]) -> float:
    cosines = np.clip(np.array(normals) @ np.array(normals).T, -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines.min())))


def _coverage(boards: Boards) -> float:
    corners = np.concatenate(boards.corners)
    cells = np.floor(corners / np.array(boards.size_px) * 8.0).clip(0, 7).astype(int)
    return len({(int(x), int(y)) for x, y in cells}) / 64.0


def _require_fixed(made: Intrinsics) -> None:
    numbers = [made.fx_px, made.fy_px, made.cx_px, made.cy_px, *made.distortion, made.rms_px]
    if made.tilt_deg < LEAST_TILT_DEG or not np.isfinite(numbers).all():
        raise UsageError(
            "the pictures are all alike: they do not tell focal length from distance",
            expected=f"boards tilted against one another by {LEAST_TILT_DEG:g} degrees or more",
            found=f"{made.tilt_deg:.1f} degrees at most",
            remedy="take pictures with the board tilted to the left, right, up and down, "
            "near and far",
        )
    if made.rms_px > LARGEST_RMS_PX:
        raise UsageError(
            "the corners do not fit one camera",
            expected=f"a reprojection error of {LARGEST_RMS_PX:g} pixels at most",
            found=f"{made.rms_px:.2f} pixels",
            remedy="use a flat, stiff board, hold it still, switch autofocus and zoom off, and "
            "check --board",
        )
    share = max(made.deviations_px[0] / made.fx_px, made.deviations_px[1] / made.fy_px)
    if not share <= LARGEST_FOCAL_ERROR:
        raise UsageError(
            "the pictures do not fix the focal length",
            expected=f"a standard deviation of {LARGEST_FOCAL_ERROR:.0%} at most",
            found=f"{share:.1%}",
            remedy="take more pictures, with the board tilted further and larger in the picture",
        )
