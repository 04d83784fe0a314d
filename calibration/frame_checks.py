"""Whether pictures are fit to calibrate on: not constant, not noise, not the same one again.

Ranges follow whatever they are shown, and a wrong set shows only later, as lost detections. Never
changes a set in silence: what is left out is named with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.dataset.frames import RoadFrame
from calibration.observe import Progress
from firmware_bridge.errors import UsageError

EVERY = 8
"""Lines looked at: one of so many. Neighbours along a line are true neighbours."""

CONSTANT_BELOW = 2.0
"""Standard deviation of luma, 0..255, below which a picture shows nothing."""

RANDOM_BELOW = 0.3
"""Correlation of neighbouring pixels below which a picture is noise. The least of 314 real
road pictures, in clear air and in fog, is 0.946."""

UNFIT_MAX = 0.1
"""A set with a larger share of unfit frames is refused: then it is the source that is wrong."""

SAME, CONSTANT, RANDOM = "the same picture as", "constant", "random"


@dataclass(frozen=True)
class Fit:
    """Frames to calibrate on, in their order, and name -> why for those left out."""

    frames: tuple[RoadFrame, ...]
    left_out: dict[str, str]


def fit_frames(frames: Sequence[RoadFrame], *, least: int, threads: int, progress: Progress) -> Fit:
    """The frames without those that are constant, noise, or the same as an earlier one.

    Raises:
        UsageError: none are there, fewer than `least` are left, or too many had to be left out.
    """
    if not frames:
        raise UsageError(
            "there is no frame to calibrate on",
            expected=f"at least {least} road frames",
            found="none",
            remedy="put road frames into data.root, or correct data.root",
        )
    looks = []
    with ThreadPoolExecutor(threads) as pool:
        for row, look in enumerate(pool.map(_look, frames), start=1):
            looks.append(look)
            progress("check frames", row, len(frames))
    first: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for frame, (pixels, unfit) in zip(frames, looks, strict=True):
        if unfit is not None:
            left_out[frame.name] = unfit
        elif (other := first.setdefault(pixels, frame.name)) != frame.name:
            left_out[frame.name] = f"{SAME} {other}"
    fit = tuple(frame for frame in frames if frame.name not in left_out)
    if len(fit) < least or len(left_out) > UNFIT_MAX * len(frames):
        name, why = next(iter(left_out.items()), ("", ""))
        raise UsageError(
            "these frames are not fit to calibrate on",
            expected=f"at least {least} different road pictures, and at most "
            f"{100 * UNFIT_MAX:.0f} % that are constant, random or duplicate",
            found=f"{len(fit)} of {len(frames)} are fit"
            + (f"; {len(left_out)} are not, such as {name}: {why}" if left_out else ""),
            remedy="give pictures as the vehicle's camera takes them: --set data.root=FOLDER",
        )
    return Fit(fit, left_out)


def neighbour_correlation(luma: NDArray[np.uint8]) -> float:
    """Correlation of neighbours across and down, on every EVERY-th line; 1 where all is equal."""
    values = luma.astype(np.float32) - np.float32(luma.mean())
    rows, columns = values[::EVERY], values[:, ::EVERY].T
    found = []
    for lines in (rows, columns):
        variance = float((lines**2).mean())
        product = float((lines[:, 1:] * lines[:, :-1]).mean()) if lines.shape[1] > 1 else variance
        found.append(product / variance if variance > 0.0 else 1.0)
    return sum(found) / len(found)


def _look(frame: RoadFrame) -> tuple[str, str | None]:
    """What tells a picture from others, and why it is unfit, if it is."""
    image = frame.read()
    luma = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
    if float(luma[::EVERY].std()) < CONSTANT_BELOW:
        return "", CONSTANT
    if neighbour_correlation(luma) < RANDOM_BELOW:
        return "", RANDOM
    return frame.digest(), None
