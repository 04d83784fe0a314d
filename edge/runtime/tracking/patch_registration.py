"""Registers a patch of the picture with a reference frame: how it moved and grew, to a fraction of
a pixel.

In: a reference frame with a box, and another frame with the pose expected there. Out: a
`Registration`, or None where the patch cannot be found: never a guess. Translation and scale are
solved by inverse-compositional Gauss-Newton (Baker and Matthews, Int. J. Computer Vision 56, 2004),
with gain and offset of the light as two more unknowns; robust weights leave out what moves
otherwise: background, limbs, rain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage, Floats

Grey = NDArray[np.uint8]
Box = tuple[float, float, float, float]

SIDE_SAMPLES = 40
"""A patch's longer side has at most so many samples, and no more than it has pixels: a large object
costs what a small one does."""
SPREAD, SPREAD_UPRIGHT = 0.5, 0.35
"""Standard deviation of the Gaussian weight of a sample, in half sides: a box's corners show the
background. Across a patch taller than UPRIGHT times its width it is less: arms and legs swing
there."""
UPRIGHT = 1.3
TEXTURE_MIN = 3.0
"""Grey levels (standard deviation) below which a patch has too little texture to be found again."""
SEARCH_SAMPLES = 4
"""Normalised correlation first searches so many samples around the expected pose."""
ITERATIONS = 10
CUT = 2.0
"""Residuals beyond so many times the usual one weigh hardly anything (Geman and McClure)."""
LOG_SIZE_MAX = 3.0
"""A patch is searched for at no more than e to this power of the reference's size, and no less than
the inverse: beyond it there is no object on a road, and soon no finite number."""
INSIDE_MIN = 0.5
"""A patch of which less than this share lies in the picture is not found."""
NOISE = 1.0
"""Least value of the usual residual, in grey levels."""


class Picture:
    """A frame as an image pyramid in grey, built as far as patches need it."""

    def __init__(self, image: BgrImage) -> None:
        import cv2  # of the extra `camera`, which every source of frames needs too

        self._cv2: Any = cv2
        self._levels: list[Grey] = [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        height, width = self._levels[0].shape
        return width, height

    def sample(
        self, centre: tuple[float, float], step: float, counts: tuple[int, int], level: int
    ) -> Floats:
        """Grey levels on a grid of (columns, rows) samples around a centre, `step` pixels apart:
        (rows, columns), from that level of the pyramid."""
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

    def inside(self, centre: tuple[float, float], step: float, counts: tuple[int, int]) -> Floats:
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
        likeness: share of the reference's variance that the picture explains, at most 1; over the
            whole patch.
        rigid_likeness: the same over the part that moved as one body.
        rigid_share: share of the patch that moved as one body, 0..1.
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
        self._samples = self._sample(picture, self.pose)
        self._flat = self._samples.ravel()
        # How the samples change with position, size, gain and offset, one row each; the last row is
        # for the differences of the frame that is searched.
        self._rows = np.empty((6, self._flat.size), np.float32)
        self._steepest = self._rows[:5]
        right, down, growth, gain, offset = self._steepest
        grid = _grid(*self._counts, y2 - y1 > UPRIGHT * (x2 - x1))
        _slopes(self._samples, right.reshape(self._samples.shape))
        _slopes(self._samples.T, down.reshape(self._samples.shape).T)
        np.multiply(right, grid.right, out=growth)
        growth += down * grid.down
        gain[:], offset[:] = self._flat, 1.0
        self._weighted = np.empty_like(self._steepest)
        self._window = grid.window * self._inside(picture, self.pose)
        self._weight = float(self._window.sum())
        self._variance = 0.0
        if self._weight > 0.0:  # a box beyond the picture has no sample in it
            mean = _mean(self._flat, self._window)
            self._variance = _mean((self._flat - mean) ** 2, self._window)

    @property
    def textured(self) -> bool:
        """Whether the patch has enough texture to be found again."""
        return self._variance >= TEXTURE_MIN**2

    def _sample(self, picture: Picture, pose: Pose, *, around: int = 0) -> Floats:
        counts = (self._counts[0] + 2 * around, self._counts[1] + 2 * around)
        step = self._step * math.exp(pose.log_size)
        return picture.sample((pose.x, pose.y), step, counts, self._level)

    def _inside(self, picture: Picture, pose: Pose) -> Floats | float:
        """1 for each sample that lies in the picture, else 0; 1 alone where all of them do."""
        step = self._step * math.exp(pose.log_size)
        width, height = picture.size
        reach_x = step * (self._counts[0] - 1) / 2.0
        reach_y = step * (self._counts[1] - 1) / 2.0
        if reach_x <= pose.x <= width - 1 - reach_x and reach_y <= pose.y <= height - 1 - reach_y:
            return 1.0
        return picture.inside((pose.x, pose.y), step, self._counts).ravel()

    def find(self, picture: Picture, expected: Pose) -> Registration | None:
        """The patch in another frame, near where it is expected; None where it is not."""
        if not self._can_show(picture, expected):
            return None
        pose = self._nearby(picture, expected)
        # The part inside the picture hardly changes while the pose is refined, so it is fixed here.
        window = self._window * self._inside(picture, pose)
        if window.sum() < INSIDE_MIN * self._weight:
            return None
        weights, off = window, self._rows[5]
        for _ in range(ITERATIONS):
            np.subtract(self._sample(picture, pose).ravel(), self._flat, out=off)
            change = self._solve(weights)
            left = off - change.astype(np.float32) @ self._steepest
            usual = 1.4826 * _median(np.abs(left[::3])) + NOISE
            spread = left * np.float32(1.0 / (CUT * usual))
            spread *= spread
            spread += 1.0
            spread *= spread
            weights = window / spread
            step = self._step * math.exp(pose.log_size)
            right, down, growth, _, _ = change.tolist()
            pose = Pose(pose.x - right * step, pose.y - down * step, pose.log_size - growth)
            grew = abs(pose.log_size - expected.log_size)
            if not (grew < 0.5 and self._can_show(picture, pose)):
                return None
            if abs(right) + abs(down) < 0.02 and abs(growth) < 0.0007:
                break
        left *= left
        return Registration(
            pose,
            1.0 - _mean(left, window) / self._variance,
            1.0 - _mean(left, weights) / self._variance,
            float(weights.sum() / window.sum()),
        )

    def _solve(self, weights: Floats) -> NDArray[np.float64]:
        """The change of position, size, gain and offset that explains the differences best."""
        np.multiply(self._steepest, weights, out=self._weighted)
        both = (self._weighted @ self._rows.T).astype(np.float64)
        normal = both[:, :5]
        # Just enough regularisation that a patch of one colour gives no singular matrix.
        normal[_DIAGONAL, _DIAGONAL] += 1e-6 * normal.trace() / 5.0 + 1e-9
        change: NDArray[np.float64] = np.linalg.solve(normal, both[:, 5]).astype(np.float64)
        return change

    def _can_show(self, picture: Picture, pose: Pose) -> bool:
        """Whether a patch of that pose can lie in the picture at all; False for a pose that is not
        finite."""
        if not abs(pose.log_size) <= LOG_SIZE_MAX:
            return False
        reach = self._step * math.exp(pose.log_size) * (max(self._counts) + 2 * SEARCH_SAMPLES)
        width, height = picture.size
        return -reach <= pose.x <= width + reach and -reach <= pose.y <= height + reach

    def _nearby(self, picture: Picture, expected: Pose) -> Pose:
        """The best match around the expected pose, to a whole sample."""
        import cv2

        around = self._sample(picture, expected, around=SEARCH_SAMPLES)
        found = cv2.matchTemplate(around, self._samples, cv2.TM_CCOEFF_NORMED)
        row, column = divmod(int(found.argmax()), found.shape[1])
        step = self._step * math.exp(expected.log_size)
        return Pose(
            expected.x + (column - SEARCH_SAMPLES) * step,
            expected.y + (row - SEARCH_SAMPLES) * step,
            expected.log_size,
        )


_DIAGONAL = np.arange(5)


@dataclass(frozen=True)
class _Grid:
    """The samples of a patch, row by row: how far right of its middle and how far below it each
    lies, in samples, and its weight."""

    right: Floats
    down: Floats
    window: Floats


@lru_cache(maxsize=256)
def _grid(columns: int, rows: int, upright: bool) -> _Grid:
    v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
    u -= (columns - 1) / 2.0
    v -= (rows - 1) / 2.0
    across = SPREAD_UPRIGHT if upright else SPREAD
    apart = (2.0 * u / columns / across) ** 2 + (2.0 * v / rows / SPREAD) ** 2
    return _Grid(u.ravel(), v.ravel(), np.exp(-0.5 * apart).ravel())


def _slopes(values: Floats, out: Floats) -> None:
    """Writes the slope along each row: central differences, one-sided at the ends."""
    np.subtract(values[:, 2:], values[:, :-2], out=out[:, 1:-1])
    out[:, 1:-1] *= np.float32(0.5)
    np.subtract(values[:, 1], values[:, 0], out=out[:, 0])
    np.subtract(values[:, -1], values[:, -2], out=out[:, -1])


def _mean(values: Floats, weights: Floats) -> float:
    """The weighted mean."""
    return float(values @ weights) / float(weights.sum())


def _median(values: Floats) -> float:
    """The upper median; numpy's own takes five times as long on so few values."""
    half = len(values) // 2
    return float(np.partition(values, half)[half])
