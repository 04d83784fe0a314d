"""Selects the frames of a fine-tuning: frames to fit on, and frames to watch for early stop.

Takes the mission and the split of the conversion; returns `TrainingFrames`, without their pictures.
No frame is of a group with held-back frames; the two parts are of different groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from calibration.dataset.frames.frame import RoadFrame, data_digest
from calibration.dataset.frames.open_frames import frames_of
from calibration.dataset.splits.calibration_holdout import Split, spread
from calibration.dataset.splits.group_folds import parts
from calibration.observation.sampling import in_quotas
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.fitting import Finetune
from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

WATCHED_SHARE = 0.2
LEAST_FRAMES = 2
"""Least number of frames of either part."""


@dataclass(frozen=True)
class TrainingFrames:
    """Frames to fit on and frames to watch; no group is in both, none is held back."""

    fitted: tuple[RoadFrame, ...]
    watched: tuple[RoadFrame, ...]

    @property
    def digest(self) -> str:
        """sha256 of the frames, their contents and their parts, as hex, and the number to fit
        on."""
        return data_digest([*self.fitted, *self.watched]) + f"/{len(self.fitted)}"


def training_frames(mission: Mission, settings: Finetune, split: Split) -> TrainingFrames:
    """At most `settings.frames` frames that are not held back, by quotas of their conditions.

    Raises:
        UsageError: too few frames, or all of one group.
    """
    held_back = {frame.group for frame in split.held_back}
    offered = {frame.name: frame for frame in (*split.calibration, *frames_of(mission))}
    rest = [frame for frame in offered.values() if frame.group not in held_back]
    drawn = in_quotas(rest, seed=mission.data.seed)[: settings.frames]
    groups = {frame.group for frame in drawn}
    shares = {"fit": 1.0 - WATCHED_SHARE, "watch": WATCHED_SHARE}
    sides = parts(drawn, shares, seed=settings.seed) if len(groups) > 1 else {}
    fitted, watched = (tuple(drawn[row] for row in sides.get(name, ())) for name in shares)
    if min(len(fitted), len(watched)) < LEAST_FRAMES:
        raise UsageError(
            "there are too few frames to fine-tune on",
            expected=f"{LEAST_FRAMES} to fit on, {LEAST_FRAMES} of other groups to watch, none "
            "held back",
            found=f"{len(drawn)} frames in {len(groups)} groups",
            remedy="add frames (or drives): finetune takes every frame of the mission's data that "
            "is not held back",
        )
    return TrainingFrames(fitted, spread(watched, mission.precision.search_frames))


def pictures_of(frames: Sequence[RoadFrame], spec: PreprocessSpec) -> list[Floats]:
    """Network inputs (1, 3, H, W) float32 of frames."""
    return [preprocess(frame.read(), spec)[0] for frame in frames]
