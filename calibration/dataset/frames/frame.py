"""One road frame that can be read when it is its turn, and the table of kinds of sources.

Frames are named first and read late, so that memory does not grow with their number. Never holds
pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from calibration.dataset.lock.verify import trust
from calibration.metrics.matching import Truth
from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage


class RoadFrame(Protocol):
    """A frame of a data set."""

    @property
    def name(self) -> str:
        """Unique within its data set, the same on every machine."""
        ...

    @property
    def group(self) -> str:
        """Frames of one group (a drive) are never split; equal to the name where there is none."""
        ...

    @property
    def conditions(self) -> Conditions:
        """What it was taken in, as far as the data set tells."""
        ...

    @property
    def words(self) -> str:
        """The conditions in the data set's own words; "" where it has none."""
        ...

    def truth(self) -> Truth | None:
        """What is really in it, labels by the mission's; None where nobody has said."""
        ...

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR. Raises Refusal when it cannot be read."""
        ...

    def digest(self) -> str:
        """sha256 of what is read, as hex."""
        ...


def frames_of(mission: Mission) -> list[RoadFrame]:
    """Every frame that the mission's data offers, in a fixed order.

    For generated scenes there are exactly as many as calibration and judging ask for.

    Raises:
        Missing: the folder, its table or every picture is not there.
        UsageError: the table lacks the group's column or names no picture, or two folders hold
            frames of one name.
        NotTrusted: the data is not what the mission's lock vouches for.
    """
    data = mission.data
    trust(data)
    if data.kind == "scenes":
        from calibration.dataset.frames.scenes import scene_frames

        wanted = mission.calibration.frames + mission.calibration.held_back
        camera = mission.camera
        return list(
            scene_frames(
                wanted,
                seed=data.seed,
                width_px=camera.width_px,
                height_px=camera.height_px,
                labels=mission.model.labels,
            )
        )
    if data.url is not None:
        from calibration.dataset.frames.bucket import bucket_frames
        from calibration.dataset.frames.combined import united

        return united(bucket_frames(data.url, table=data.table, group=data.group), data.also)
    assert data.root is not None  # the mission's own checks refuse these kinds without a root
    if data.kind == "arrays":
        from calibration.dataset.frames.arrays import array_frames

        return list(array_frames(data.root))
    from calibration.dataset.frames.combined import united
    from calibration.dataset.frames.images import image_frames

    return united(image_frames(data.root, table=data.table, group=data.group), data.also)


def data_digest(frames: Sequence[RoadFrame]) -> str:
    """One digest for these frames in this order: names and contents."""
    return digest_json([[frame.name, frame.digest()] for frame in frames])
