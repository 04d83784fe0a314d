"""Splits a mission's road frames into calibration frames and held-back frames. Reads no picture."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.frames.open_frames import frames_of
from calibration.dataset.splits.calibration_holdout import Split, split
from calibration.dataset.splits.split_file import DeclaredSplit, Use, declared_split
from calibration.observation.sampling import in_quotas
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import UsageError


def frames_to_split(mission: Mission) -> Split:
    """Frames held back, and those that may be calibrated on, by quotas of conditions; both sorted
    by name, and no group is in both. Where the data declare a split, its parts are taken.

    Those held back do not change with calibration.frames.
    """
    everything = frames_of(mission)
    asked = mission.calibration
    if (parted := declared_split(mission.data)) is not None:
        return split_by_parts(
            parted,
            everything,
            calibrate=asked.frames,
            hold_back=asked.held_back,
            seed=mission.data.seed,
        )
    if mission.data.kind == "scenes":  # as many as are asked for: the first of them judge
        return Split(
            _by_name(everything[asked.held_back :]), _by_name(everything[: asked.held_back])
        )
    parts = split(
        everything, calibrate=asked.frames, hold_back=asked.held_back, seed=mission.data.seed
    )
    held_back = {frame.group for frame in parts.held_back}
    rest = [frame for frame in everything if frame.group not in held_back]
    offered = _first_in_quotas(rest, asked.frames, seed=mission.data.seed)
    return Split(offered, parts.held_back)


def split_by_parts(
    parted: DeclaredSplit, frames: Sequence[RoadFrame], *, calibrate: int, hold_back: int, seed: int
) -> Split:
    """As many frames of the parts for it, by quotas of conditions.

    Raises:
        UsageError: a part is missing or too small, or the mission's own groups lie across parts.
    """
    calibration = _enough(parted, frames, "calibrate", least=calibrate)
    held_back = _enough(parted, frames, "choose", least=hold_back)
    groups = {frame.group for frame in held_back}
    if shared := sorted(groups & {frame.group for frame in calibration}):
        raise UsageError(
            f"{parted.path} parts what data.group keeps together",
            expected="whole groups on one side",
            found=f"'{shared[0]}' in two parts",
            remedy="lock the data with the same groups, and part them again",
        )
    return Split(
        _first_in_quotas(calibration, calibrate, seed=seed),
        _first_in_quotas(held_back, hold_back, seed=seed),
    )


def _enough(
    parted: DeclaredSplit, frames: Sequence[RoadFrame], use: Use, *, least: int
) -> list[RoadFrame]:
    found = parted.frames(frames, use)
    if len(found) < least:
        raise UsageError(
            f"part '{parted.part_for(use)}' of {parted.path} is too small",
            expected=f"{least} frames or more",
            found=f"{len(found)}",
            remedy="part the data otherwise, or ask for fewer: --set calibration.frames=N "
            "--set calibration.held_back=N",
        )
    return found


def _first_in_quotas(
    frames: Sequence[RoadFrame], count: int, *, seed: int
) -> tuple[RoadFrame, ...]:
    return _by_name(in_quotas(frames, seed=seed)[:count])


def _by_name(frames: Sequence[RoadFrame]) -> tuple[RoadFrame, ...]:
    return tuple(sorted(frames, key=lambda frame: frame.name))
