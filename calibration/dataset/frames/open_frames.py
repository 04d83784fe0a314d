"""Opens the frames of a mission's `[data]`: pictures, arrays, a bucket or generated scenes.

In: a mission. Out: its road frames, in a fixed order.
"""

from __future__ import annotations

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.lock.verify import verify_lock
from edge.contract.mission.schema import Mission


def frames_of(mission: Mission) -> list[RoadFrame]:
    """Every frame that the mission's data offers, in a fixed order.

    Generated scenes are exactly as many as calibration and the held-back frames need.

    Raises:
        Missing: the folder, its table or every picture is not there.
        UsageError: the table lacks the group's column or names no picture, or two folders hold
            frames of one name.
        NotTrusted: the data differs from the mission's lock.
    """
    data = mission.data
    verify_lock(data)
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
        from calibration.dataset.frames.combined import combine

        return combine(bucket_frames(data.url, table=data.table, group=data.group), data.also)
    assert data.root is not None  # the mission's own checks refuse these kinds without a root
    if data.kind == "arrays":
        from calibration.dataset.frames.arrays import array_frames

        return list(array_frames(data.root))
    from calibration.dataset.frames.combined import combine
    from calibration.dataset.frames.images import image_frames

    return combine(image_frames(data.root, table=data.table, group=data.group), data.also)
