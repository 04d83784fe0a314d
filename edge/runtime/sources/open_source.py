"""Opens a source by what the user wrote: a camera, a video file, a folder or generated scenes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.contract.mission.sections.device import Camera
from edge.contract.urls import without_secrets
from edge.runtime.clock import Clock
from edge.runtime.sources.camera import CameraSource
from edge.runtime.sources.source import Source
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class SourceKind:
    """One row: whether `--source` names this kind, and how to open it. A kind's module is imported
    only then, since each needs packages of its own.
    """

    recognises: Callable[[str], bool]
    open: Callable[[str, Camera, Clock], Source]


_PIPELINE = "gst:"


def _existing(given: str) -> Path | None:
    """The path of something that is there, also of a link that leads nowhere."""
    try:
        path = Path(given).expanduser()
        path.lstat()
    except (OSError, ValueError, RuntimeError):  # also too long, a NUL, an unknown ~user
        return None
    return path


def _is_folder(given: str) -> bool:
    path = _existing(given)
    return path is not None and path.is_dir()


def _is_there(given: str) -> bool:
    path = _existing(given)
    return path is not None and path.exists()


def _device(given: str) -> str | None:
    """The video device that a name stands for: /dev/videoN, a link to one, any other device, and a
    folder that a container engine made in its place. A link, as in /dev/v4l/by-id, is kept, since
    it leads to whatever number the camera has when it comes back."""
    if number := re.fullmatch(r"camera:(\d+)", given):
        return f"/dev/video{number[1]}"
    if re.fullmatch(r"/dev/video\d+", given):
        return given
    if (path := _existing(given)) is None:
        return None
    folder = path.is_dir() and path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")
    device = path.is_char_device() or re.fullmatch(r"/dev/video\d+", str(path.resolve()))
    return str(path) if device or folder else None


def _camera(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.v4l2.v4l2_camera import V4l2Camera

    address = V4l2Camera(_device(given) or given, camera=camera, clock=clock)
    return CameraSource(address, camera=camera, clock=clock)


def _csi(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.gstreamer.pipeline_camera import known_camera

    number = _numbered("csi", given)
    address = known_camera("csi", given, camera=camera, clock=clock, number=number)
    return CameraSource(address, camera=camera, clock=clock)


def _nvjpeg(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.gstreamer.pipeline_camera import known_camera

    device = f"/dev/video{_numbered('nvjpeg', given)}"
    address = known_camera("nvjpeg", given, camera=camera, clock=clock, device=device)
    return CameraSource(address, camera=camera, clock=clock)


def _rtsp(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.gstreamer.pipeline_camera import network_camera

    address = network_camera(given, camera=camera, clock=clock)
    return CameraSource(address, camera=camera, clock=clock)


def _pipeline(given: str, camera: Camera, clock: Clock) -> Source:
    from edge.runtime.sources.gstreamer.pipeline_camera import own_pipeline

    address = own_pipeline(given, given.removeprefix(_PIPELINE), clock=clock)
    return CameraSource(address, camera=camera, clock=clock)


def _numbered(kind: str, given: str) -> int:
    number = given.removeprefix(f"{kind}:")
    if not re.fullmatch(r"[0-9]{1,3}", number):
        raise UsageError(
            f"{given} names no camera",
            expected=f"{kind}:N with the camera's number, from 0 on",
            found=f"'{number}'",
            remedy=f"write --source {kind}:0",
        )
    return int(number)


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
    "camera": SourceKind(lambda given: _device(given) is not None, _camera),
    "csi": SourceKind(lambda given: given.startswith("csi:"), _csi),
    "nvjpeg": SourceKind(lambda given: given.startswith("nvjpeg:"), _nvjpeg),
    "rtsp": SourceKind(lambda given: given.lower().startswith(("rtsp://", "rtsps://")), _rtsp),
    "gstreamer": SourceKind(lambda given: given.startswith(_PIPELINE), _pipeline),
    "scenes": SourceKind(lambda given: given.startswith("scenes:"), _scenes),
    "folder": SourceKind(_is_folder, _folder),
    "video": SourceKind(_is_there, _video),
}
"""Kind, as `SourceInfo.kind` has it -> row. The first that recognises a name opens it."""


def open_source(given: str, camera: Camera, clock: Clock) -> Source:
    """The source that `given` names, opened and proved by its first frame.

    Raises:
        Missing: no such file or folder, or one that cannot be read.
        UsageError: no such generated scenes; a folder with links that leave it; an address or
            pipeline with a mistake.
        DeviceFault: no such camera, or one that delivers nothing, or another size or rate than
            the mission has.
    """
    for kind in SOURCES.values():
        if kind.recognises(given):
            return kind.open(given, camera, clock)
    raise Missing(
        f"no source at {without_secrets(given)}",
        expected="a video file, a folder of pictures, /dev/videoN, camera:N, csi:N, nvjpeg:N, "
        "rtsp://..., gst:PIPELINE or scenes:STORY",
        found="no such file or folder",
        remedy="correct --source",
    )
