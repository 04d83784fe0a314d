"""How a patch of the picture moved and grew since a reference frame, to a fraction of a pixel.

Registration of translation and scale by inverse-compositional Gauss-Newton (Baker and Matthews,
Int. J. Computer Vision 56, 2004), with gain and offset of the light as two more unknowns and
weights that leave out what moves otherwise: background, limbs, rain. Never decides what growth
means; a patch that cannot be found again is None, never a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage, Floats

Grey = NDArray[np.uint8]
Box = tuple[float, float, float, float]

SIDE_SAMPLES = 40
"""A patch's longer side is looked at in at most so many samples, and in no more than it has
pixels: a large object costs what a small one does."""
SPREAD, SPREAD_UPRIGHT = 0.5, 0.35
"""Of the Gaussian weight of a sample, in half sides: a box's corners show what is behind. Across
what is taller than UPRIGHT times its width it is less: arms and legs swing there."""
UPRIGHT = 1.3
TEXTURE_MIN = 3.0
"""Grey levels (standard deviation) below which a patch has nothing to be found again by."""
SEARCH_SAMPLES = 4
"""A patch is first looked for so far around where it is expected, by normalised correlation."""
ITERATIONS = 10
CUT = 2.0
"""Residuals beyond so many times the usual one have hardly any say (Geman and McClure)."""
GROWN_MOST = 3.0
"""A patch is looked for at no more than e to this power of the reference's size, or of its
inverse: beyond lies no object on a road, and soon no number."""
SHOWN_MIN = 0.5
"""A patch of which the picture shows less than this is not found."""
NOISE = 1.0
"""Grey levels that the usual residual never counts as less than."""


class Picture:
    """A frame in grey, and halved as often as a patch needs it."""

    def __init__(self, image: BgrImage) -> None:
        import cv2  # every source of frames and the preprocess need it too

        self._cv2: Any = cv2
        self._levels: list[Grey] = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self._levels[0].shape
        return width, height

    def sampled(
        self, centre: tuple[float, float], step: float, counts: tuple[int, int], level: int
    ) -> Floats:
        """A grid of (columns, rows) samples around a centre, `step` pixels apart."""
        while len(self._levels) <= level:
            self._levels.append(np.asarray(self._cv2.pyrDown(self._levels[-1]), np.uint8))
        share = 0.5**level  # pyrDown keeps pixel (0, 0) where it is
        step, columns, rows = step * share, *counts
        left = centre[0] * share - step * (columns - 1) / 2.0
        top = centre[1] * share - step * (rows - 1) / 2.0
        turn = np.array([[step, 0.0, left], [0.0, step, top]])
        flags = self._cv2.INTER_LINEAR | self._cv2.WARP_INVERSE_MAP
        border = self._cv2.BORDER_REPLICATE
        found = self._cv2.warpAffine(
            self._levels[level], turn, counts, flags=flags, borderMode=border
        )
        return np.asarray(found, np.float32)

    def shown(self, centre: tuple[float, float], step: float, counts: tuple[int, int]) -> Floats:
        """1 for each sample of such a grid that lies in the picture, else 0: (rows, columns)."""
        inside = [
            (np.abs(middle + step * (np.arange(count) - (count - 1) / 2.0) - half) <= half)
            for middle, count, half in zip(
                centre, counts, ((side - 1) / 2.0 for side in self.size), strict=True
            )
        ]
        return np.outer(inside[1], inside[0]).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Where a patch is: its centre in pixels, and the log of its size over the reference's."""

    x: float
    y: float
    log_size: float


@dataclass(frozen=True)
class Registration:
    """A patch found again.

    Attributes:
        pose: where and how large.
        likeness: share of the reference's variance that the picture explains, at most 1; over all
            of the patch.
        rigid_likeness: the same over what moved as one.
        rigid_share: how much of the patch moved as one, 0..1.
    """

    pose: Pose
    likeness: float
    rigid_likeness: float
    rigid_share: float


class Reference:
    """A patch as one frame showed it."""

    def __init__(self, picture: Picture, box: Box) -> None:
        x1, y1, x2, y2 = box
        self.pose = Pose((x1 + x2) / 2.0, (y1 + y2) / 2.0, 0.0)
        self._step = max(1.0, max(x2 - x1, y2 - y1) / SIDE_SAMPLES)
        self._level = max(0, math.floor(math.log2(self._step) + 0.5))
        self._counts = (
            max(8, round((x2 - x1) / self._step)),
            max(8, round((y2 - y1) / self._step)),
        )
        self._seen = self._sampled(picture, self.pose)
        columns, rows = self._counts
        v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
        u -= (columns - 1) / 2.0
        v -= (rows - 1) / 2.0
        down, right = np.gradient(self._seen)
        flat = self._seen.ravel()
        self._steepest = np.stack(
            [right.ravel(), down.ravel(), (right * u + down * v).ravel(), flat, np.ones_like(flat)],
            axis=1,
        )
        across = SPREAD_UPRIGHT if y2 - y1 > UPRIGHT * (x2 - x1) else SPREAD
        apart = (2.0 * u / columns / across) ** 2 + (2.0 * v / rows / SPREAD) ** 2
        self._window = (np.exp(-0.5 * apart) * self._shown(picture, self.pose)).ravel()
        self._weight = float(self._window.sum())
        self._variance = 0.0
        if self._weight > 0.0:  # of a box beyond the picture nothing is shown
            mean = float(np.average(flat, weights=self._window))
            self._variance = float(np.average((flat - mean) ** 2, weights=self._window))

    @property
    def textured(self) -> bool:
        """Whether there is anything to be found again by."""
        return self._variance >= TEXTURE_MIN**2

    def _sampled(self, picture: Picture, pose: Pose, *, around: int = 0) -> Floats:
        counts = (self._counts[0] + 2 * around, self._counts[1] + 2 * around)
        step = self._step * math.exp(pose.log_size)
        return picture.sampled((pose.x, pose.y), step, counts, self._level)

    def _shown(self, picture: Picture, pose: Pose) -> Floats:
        step = self._step * math.exp(pose.log_size)
        return picture.shown((pose.x, pose.y), step, self._counts)

    def find(self, picture: Picture, expected: Pose) -> Registration | None:
        """The patch in another frame, near where it is expected; None where it is not."""
        if not self._shows(picture, expected):
            return None
        pose = self._nearby(picture, expected)
        # What of it is in the picture changes little on the last samples of the way.
        window = self._window * self._shown(picture, pose).ravel()
        if window.sum() < SHOWN_MIN * self._weight:
            return None
        weights = window
        for _ in range(ITERATIONS):
            off = (self._sampled(picture, pose) - self._seen).ravel()
            weighted = self._steepest * weights[:, None]
            normal = (weighted.T @ self._steepest).astype(np.float64)
            # So little that it only keeps a patch of one colour from a singular matrix.
            normal[np.diag_indices(5)] += 1e-6 * normal.trace() / 5.0 + 1e-9
            change = np.linalg.solve(normal, (weighted.T @ off).astype(np.float64))
            left = off - self._steepest @ change.astype(np.float32)
            usual = 1.4826 * _middle(np.abs(left[::3])) + NOISE
            weights = window / (1.0 + (left / (CUT * usual)) ** 2) ** 2
            step = self._step * math.exp(pose.log_size)
            pose = Pose(
                pose.x - float(change[0]) * step,
                pose.y - float(change[1]) * step,
                pose.log_size - float(change[2]),
            )
            if not (abs(pose.log_size - expected.log_size) < 0.5 and self._shows(picture, pose)):
                return None
            if abs(change[0]) + abs(change[1]) < 0.02 and abs(change[2]) < 0.0007:
                break
        return Registration(
            pose,
            1.0 - float(np.average(left**2, weights=window)) / self._variance,
            1.0 - float(np.average(left**2, weights=weights)) / self._variance,
            float(weights.sum() / window.sum()),
        )

    def _shows(self, picture: Picture, pose: Pose) -> bool:
        """Whether a patch of that pose can lie in the picture at all, by numbers that a picture can
        be sampled with."""
        if not abs(pose.log_size) <= GROWN_MOST:
            return False
        reach = self._step * math.exp(pose.log_size) * (max(self._counts) + 2 * SEARCH_SAMPLES)
        width, height = picture.size
        return -reach <= pose.x <= width + reach and -reach <= pose.y <= height + reach

    def _nearby(self, picture: Picture, expected: Pose) -> Pose:
        """The best whole sample around the expected place."""
        import cv2

        around = self._sampled(picture, expected, around=SEARCH_SAMPLES)
        found = cv2.matchTemplate(around, self._seen, cv2.TM_CCOEFF_NORMED)
        row, column = divmod(int(found.argmax()), found.shape[1])
        step = self._step * math.exp(expected.log_size)
        return Pose(
            expected.x + (column - SEARCH_SAMPLES) * step,
            expected.y + (row - SEARCH_SAMPLES) * step,
            expected.log_size,
        )


def _middle(values: Floats) -> float:
    """The median; numpy's own takes five times as long on so few values."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])
