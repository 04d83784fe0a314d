"""Checks of a camera picture: frozen, torn, dark, washed out, blocked, blurred, and others.

A `Sample` of a picture and what is kept of those before go in; the name of the first failed check
comes out. Works on a few ten thousand bytes of a picture. Never looks at what the network found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edge.runtime.health.sample import Bytes, Sample

Floats = NDArray[np.float32]

BLOCK_ROWS, BLOCK_COLUMNS = 8, 12

# The two limits of "blocked": how little a covered block varies, in grey levels.
FLAT_DEVIATION = 2.0
SEAM_REACH_ROWS = 8


@dataclass(frozen=True)
class Seen:
    """A sample and what is computed of it once.

    Attributes:
        sample: of this picture.
        before: of the picture before it, where that has the same size; None at first.
        repeats: how many pictures in a row were the same as the one before, this one with them.
        first_size_px: of the first picture of the run.
    """

    sample: Sample
    before: Seen | None
    repeats: int
    first_size_px: tuple[int, int]

    def without_former(self) -> Seen:
        """The same without the picture before it, and with the steps of its rows."""
        alone = Seen(self.sample, None, self.repeats, self.first_size_px)
        if "row_steps" in self.__dict__:
            alone.__dict__["row_steps"] = self.row_steps
        return alone

    @cached_property
    def brightness(self) -> tuple[int, int]:
        """The 1st and the 99th percentile of luma."""
        counts = np.bincount(self.sample.luma.ravel(), minlength=256)
        return _percentile(counts, 0.01), _percentile(counts, 0.99)

    @cached_property
    def deviations(self) -> Floats:
        """Standard deviation of green in (BLOCK_ROWS, BLOCK_COLUMNS) blocks."""
        blocks = _blocks(self.sample.colour[:, :, 1])
        return np.asarray(blocks.std(axis=(1, 3)), np.float32)

    @cached_property
    def row_steps(self) -> Floats:
        """(H - 1,): mean absolute difference of every row and the next."""
        luma = self.sample.luma.astype(np.int16)
        return np.asarray(np.abs(luma[1:] - luma[:-1]).mean(axis=1), np.float32)


@dataclass(frozen=True)
class PictureCheck:
    """One row of the table.

    Attributes:
        name: as `health.off` and reports name it.
        says: what a failure means.
        measures: what is measured.
        measure: the number, larger is worse. It fails from `limit` on.
        limit: dimensionless, or in grey levels or frames as `measures` says.
        origin: where the limit comes from.
        remedy: what to do about a failure.
    """

    name: str
    says: str
    measures: str
    measure: Callable[[Seen], float]
    limit: float
    origin: str
    remedy: str


def _size(seen: Seen) -> float:
    return float(seen.sample.size_px != seen.first_size_px)


def _frozen(seen: Seen) -> float:
    return float(seen.repeats)


def _dark(seen: Seen) -> float:
    return 255.0 - seen.brightness[1]


def _washed_out(seen: Seen) -> float:
    low, high = seen.brightness
    return 255.0 - (high - low)


def _blocked(seen: Seen) -> float:
    """Columns of blocks in which nothing is seen from the top to the bottom. Sky is as flat, but
    never reaches the bottom; a road may be, but never reaches the top."""
    return float((seen.deviations < FLAT_DEVIATION).all(axis=0).mean())


def _blurred(seen: Seen) -> float:
    """How much softer the sharpest edges are than a camera's: a step over four pixels, against its
    bend over two. Noise of the sensor bends more, so that a noisy picture never fails here."""
    lines = seen.sample.lines.astype(np.int16)
    if lines.shape[1] < 8:
        return 0.0
    steps = np.abs(lines[:, 4:] - lines[:, :-4])
    bends = np.abs(lines[:, 2:] - 2 * lines[:, 1:-1] + lines[:, :-2])
    step, bend = _high(steps), _high(bends)
    return step / (bend + 0.5) if step >= 8.0 else 0.0


def _colour_missing(seen: Seen) -> float:
    """The brightest channel against the darkest, both by their brightest pixels."""
    pixels = seen.sample.colour.reshape(-1, 3)
    highs = [_percentile(np.bincount(pixels[:, c], minlength=256), 0.99) for c in range(3)]
    return (max(highs) + 1.0) / (min(highs) + 1.0) if max(highs) >= 48 else 1.0


def _torn(seen: Seen) -> float:
    """A step from one row to the next that stands out from the rows around it, and from those of
    the picture before, in multiples of the picture's usual step."""
    steps = seen.row_steps
    reach = SEAM_REACH_ROWS
    if len(steps) <= 4 * reach or seen.before is None:
        return 0.0
    former = seen.before.row_steps
    inner = slice(reach, len(steps) - reach)
    around = [
        values[reach + shift : len(steps) - reach + shift]
        for shift in range(-reach, reach + 1)
        for values in ((former,) if abs(shift) < 2 else (former, steps))
    ]
    seam = (steps[inner] - np.maximum.reduce(around)) / (np.median(steps) + 1.0)
    return float(seam.max())


def _stale_rows(seen: Seen) -> float:
    """The share of rows, in one piece from the top or the bottom, that are the same as in the
    picture before, where the others changed by more than noise: a buffer that was filled in
    part."""
    if seen.before is None:
        return 0.0
    now, before = seen.sample.luma, seen.before.sample.luma
    same = (now == before).all(axis=1)
    if same.all() or not (same[0] or same[-1]):
        return 0.0
    changed = np.flatnonzero(~same)
    top, bottom = int(changed[0]), len(same) - 1 - int(changed[-1])
    share = max(top, bottom) / len(same)
    others = slice(top, len(same) - bottom)
    difference = np.abs(now[others].astype(np.int16) - before[others]).mean()
    return share if difference >= 1.0 else 0.0


PICTURE_CHECKS: tuple[PictureCheck, ...] = (
    PictureCheck(
        "size",
        "the camera delivers another size than at the start",
        "the picture has another size than the first of the run",
        _size,
        1.0,
        "a reconnected camera may deliver another size (ultralytics#15057)",
        "set size and format of the camera, and start again",
    ),
    PictureCheck(
        "frozen",
        "the camera repeats one picture",
        "pictures in a row whose sampled pixels are the same",
        _frozen,
        5.0,
        "a sensor's noise changes some of 10,000 pixels in every picture; 5 pictures are 200 ms "
        "at 25 a second, the age at which SLOW_DOWN is demanded",
        "the driver repeats its buffer: restart the camera",
    ),
    PictureCheck(
        "dark",
        "nothing in the picture is bright",
        "255 less the 99th percentile of grey",
        _dark,
        231.0,
        "at least 84 is bright in the night scenes and on real roads, at most 7 behind a cap",
        "take the cap off the lens, or repair the camera's exposure",
    ),
    PictureCheck(
        "washed out",
        "the picture has no contrast",
        "255 less the range from the 1st to the 99th percentile of grey",
        _washed_out,
        235.0,
        "the range is at least 46 on real roads, fog among them, and at most 10 behind milk glass",
        "clean or dry the lens, or repair the camera's exposure",
    ),
    PictureCheck(
        "blocked",
        "a part of the lens is covered",
        "share of columns of blocks that are flat from top to bottom",
        _blocked,
        2.0 / BLOCK_COLUMNS,
        "none on 314 real pictures and on scenes of every condition",
        "clean the lens, and remove what covers it",
    ),
    PictureCheck(
        "blurred",
        "nothing in the picture is sharp",
        "strength of edges over four pixels against their bend over two",
        _blurred,
        9.0,
        "at most 8.0 on 314 real pictures, some scaled up, and 3.5 on scenes",
        "clean the lens, and focus it",
    ),
    PictureCheck(
        "colour missing",
        "a colour is missing",
        "brightest pixels of the brightest channel against those of the darkest",
        _colour_missing,
        4.0,
        "at most 2.1 on 314 real pictures, a sunset and a sandstorm among them",
        "check the camera's cable, its pixel format and its white balance",
    ),
    PictureCheck(
        "torn",
        "the picture is made of two",
        "a step between two rows that stands out from rows around it and from the picture "
        "before, in usual steps",
        _torn,
        2.0,
        "at most 1.0 on the 221 frames of a real drive; half of the seams between pictures a "
        "second apart are above it",
        "lower the rate of the camera, or give its driver more buffers",
    ),
    PictureCheck(
        "stale rows",
        "a part of the picture is from the one before",
        "share of rows, from the top or the bottom, that are those of the picture before",
        _stale_rows,
        0.1,
        "a sensor's noise changes every row; no row is the same on a real drive",
        "lower the rate of the camera, or give its driver more buffers",
    ),
)
"""Every check of pictures. The first that fails names the reason."""


def _blocks(grey: Bytes) -> Bytes:
    """(rows of blocks, rows, columns of blocks, columns) of a picture (h, w)."""
    wanted = (BLOCK_ROWS, BLOCK_COLUMNS)
    rows, columns = (max(1, n // b) for n, b in zip(grey.shape, wanted, strict=True))
    inner = grey[: grey.shape[0] // rows * rows, : grey.shape[1] // columns * columns]
    height, width = inner.shape
    return inner.reshape(height // rows, rows, width // columns, columns)


def _high(values: NDArray[np.int16]) -> float:
    """The 99.5th percentile of numbers that are not negative."""
    return float(_percentile(np.bincount(values.ravel()), 0.995))


def _percentile(counts: NDArray[np.intp], share: float) -> int:
    """The least number that so large a share of the counted ones does not exceed."""
    running = np.cumsum(counts)
    return int(np.searchsorted(running, share * running[-1]))
