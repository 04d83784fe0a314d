"""Opens a source by what the user wrote: a video file, a folder, a camera or generated scenes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.contract.mission.sections.device import Camera
from edge.runtime.clock import Clock
from edge.runtime.sources.source import Source
from firmware_bridge.errors import Missing


@dataclass(frozen=True)
class SourceKind:
    """One row: whether `--source` names this kind, and how to open it. A kind's module is imported
    only then, since each needs packages of its own.
    """

    recognises: Callable[[str], bool]
    open: Callable[[str, Camera, Clock], Source]


def _camera_number(given: str) -> int | None:
    path = Path(given).expanduser()
    # /dev/v4l/by-id/NAME is a link to the device that has the number today.
    named = str(path.resolve()) if path.is_symlink() else given
    device = re.fullmatch(r"(?:camera:|/dev/video)(\d+)", named)
    return None if device is None else int(device.group(1))


def _camera(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.camera import CameraSource

    return CameraSource(given, _camera_number(given) or 0, camera=camera, clock=clock)


def _scenes(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.scenes import ScenesSource

    return ScenesSource(given, camera=camera, clock=clock)


def _folder(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.folder import FolderSource

    return FolderSource(Path(given).expanduser(), fps=camera.fps, clock=clock)


def _video(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.video import VideoSource

    return VideoSource(Path(given).expanduser(), fallback_fps=camera.fps, clock=clock)


SOURCES: dict[str, SourceKind] = {
    "camera": SourceKind(lambda given: _camera_number(given) is not None, _camera),
    "scenes": SourceKind(lambda given: given.startswith("scenes:"), _scenes),
    "folder": SourceKind(lambda given: Path(given).expanduser().is_dir(), _folder),
    "video": SourceKind(lambda given: Path(given).expanduser().exists(), _video),
}
"""Kind, as `SourceInfo.kind` has it -> row. The first that recognises a name opens it."""


def open_source(given: str, camera: Camera, clock: Clock) -> Source:
    """The source that `given` names, opened and proved by its first frame.

    Raises:
        Missing: no such file or folder, or one that cannot be read.
        UsageError: no such generated scenes; a folder with links that leave it.
        DeviceFault: no such camera, or one that delivers nothing, or another size or rate than
            the mission has.
    """
    for kind in SOURCES.values():
        if kind.recognises(given):
            return kind.open(given, camera, clock)
    raise Missing(
        f"no source at {given}",
        expected="a video file, a folder of pictures, /dev/videoN, camera:N or scenes:STORY",
        found="no such file or folder",
        remedy="correct --source",
    )
