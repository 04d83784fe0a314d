"""Opens a source by what the user wrote: a video file, a folder, a camera or generated scenes."""

from __future__ import annotations

import re
from pathlib import Path

from edge.contract.mission.sections.device import Camera
from edge.runtime.clock import Clock
from edge.runtime.sources.source import Source
from firmware_bridge.errors import Missing


def open_source(given: str, camera: Camera, clock: Clock) -> Source:
    """The source that `given` names, opened and proved by its first frame.

    Raises:
        Missing: no such file or folder, or one that cannot be read.
        UsageError: no such generated scenes; a folder with links that leave it.
        DeviceFault: no such camera, or one that delivers nothing, or another size or rate than
            the mission has.
    """
    path = Path(given).expanduser()
    # /dev/v4l/by-id/NAME is a link to the device that has the number today.
    named = str(path.resolve()) if path.is_symlink() else given
    device = re.fullmatch(r"(?:camera:|/dev/video)(\d+)", named)
    if device:
        from edge.runtime.sources.camera import CameraSource

        return CameraSource(given, int(device.group(1)), camera=camera, clock=clock)
    if given.startswith("scenes:"):
        from edge.runtime.sources.scenes import ScenesSource

        return ScenesSource(given, camera=camera, clock=clock)
    if path.is_dir():
        from edge.runtime.sources.folder import FolderSource

        return FolderSource(path, fps=camera.fps, clock=clock)
    if not path.exists():
        raise Missing(
            f"no source at {given}",
            expected="a video file, a folder of pictures, /dev/videoN, camera:N or scenes:STORY",
            found="no such file or folder",
            remedy="correct --source",
        )
    from edge.runtime.sources.video import VideoSource

    return VideoSource(path, fallback_fps=camera.fps, clock=clock)
