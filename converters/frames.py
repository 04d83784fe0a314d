"""Which road frames a conversion calibrates on and which judge it. Reads no picture."""

from __future__ import annotations

from calibration.dataset.frames import frames_of
from calibration.dataset.splits import Split, split
from calibration.sampling import in_quotas
from edge.contract.mission import Mission


def frames_to_split(mission: Mission) -> Split:
    """Frames held back, and those that may be calibrated on, by quotas of conditions; both sorted
    by name, and no group is in both.
    """
    everything = frames_of(mission)
    asked = mission.calibration
    parts = split(
        everything, calibrate=asked.frames, hold_back=asked.held_back, seed=mission.data.seed
    )
    held_back = {frame.group for frame in parts.held_back}
    rest = [frame for frame in everything if frame.group not in held_back]
    offered = in_quotas(rest, seed=mission.data.seed)[: asked.frames]
    return Split(tuple(sorted(offered, key=lambda frame: frame.name)), parts.held_back)
