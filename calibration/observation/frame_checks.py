"""Leaves out frames that are not fit to calibrate on: constant, noise, or repeated pictures.

In: frames. Out: the frames that are fit, and the others with their reasons. Ranges follow any
frames, and wrong ones show only later, as lost detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.pictures.blank import emptiness
from edge.progress import Advance
from firmware_bridge.errors import UsageError

UNFIT_MAX = 0.1
"""A set with a larger share of unfit frames is refused: its source must be wrong."""

SAME = "the same picture as"


@dataclass(frozen=True)
class Fit:
    """Frames to calibrate on, in their order, and name -> reason of those that are left out."""

    frames: tuple[RoadFrame, ...]
    left_out: dict[str, str]


def fit_frames(frames: Sequence[RoadFrame], *, least: int, threads: int, progress: Advance) -> Fit:
    """The frames without those that are constant, noise, or the same as an earlier one.

    Raises:
        UsageError: there are none, fewer than `least` are left, or too many are unfit.
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
        for row, checked in enumerate(pool.map(_check, frames), start=1):
            looks.append(checked)
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


def _check(frame: RoadFrame) -> tuple[str, str | None]:
    """A digest of the pixels, and why the picture is unfit; None where it is fit."""
    unfit = emptiness(frame.read())
    return ("", unfit) if unfit else (frame.digest(), None)
