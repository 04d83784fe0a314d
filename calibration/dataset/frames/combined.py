"""Combines the frames of several folders into one data set.

In: the frames of the first folder and the mission's further folders (`[[data.also]]`). Out: all
frames; those of a further folder have its name before their names and groups, and its conditions
where the frame itself has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.frames.images import image_frames
from calibration.dataset.records.ground_truth import Truth
from edge.contract.mission.sections.data import FurtherFrames
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class FurtherFrame:
    """A frame of a further folder. See `RoadFrame`."""

    name: str
    group: str
    conditions: Conditions
    inner: RoadFrame

    @property
    def words(self) -> str:
        """The words of its own folder."""
        return self.inner.words

    def truth(self) -> Truth | None:
        """The ground truth of its own folder."""
        return self.inner.truth()

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR. Raises Missing naming the file."""
        return self.inner.read()

    def digest(self) -> str:
        """sha256 of the file, as hex."""
        return self.inner.digest()


def combine(first: Sequence[RoadFrame], further: Sequence[FurtherFrames]) -> list[RoadFrame]:
    """`first` as they are, then every frame of `further` as "NAME/FRAME".

    Raises UsageError where a name is taken, and what reading a folder raises.
    """
    frames = list(first)
    for folder in further:
        said = Conditions(folder.weather, folder.light, folder.road)
        for frame in image_frames(folder.root, table=folder.table, group=folder.group):
            frames.append(
                FurtherFrame(
                    name=f"{folder.name}/{frame.name}",
                    group=f"{folder.name}/{frame.group}",
                    conditions=_filled(frame.conditions, said),
                    inner=frame,
                )
            )
    _require_apart(frames)
    return frames


def _filled(known: Conditions, said: Conditions) -> Conditions:
    """The conditions of a frame, filled up with those of its folder."""
    return Conditions(
        *(
            getattr(known, field.name) or getattr(said, field.name)
            for field in dataclasses.fields(Conditions)
        )
    )


def _require_apart(frames: Sequence[RoadFrame]) -> None:
    seen: set[str] = set()
    groups = {frame.group for frame in frames if not isinstance(frame, FurtherFrame)}
    for frame in frames:
        further = isinstance(frame, FurtherFrame)
        if frame.name in seen or (further and frame.group in groups):
            raise UsageError(
                "two folders of the mission's data hold frames of one name",
                expected="every frame once",
                found=frame.name,
                remedy="give the folder in data.also another name",
            )
        seen.add(frame.name)
