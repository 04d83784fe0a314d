"""A video file, played at its own pace as if it were a camera.

A file that was cut short plays to where it ends and says so. Never catches up by playing faster:
frames whose time has passed are skipped, as a camera drops them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge.contract.perception import BgrImage, Frame
from edge.runtime.clock import Clock
from edge.runtime.sources import Pace, Pause, Reading, SourceEnd, SourceInfo, quiet_opencv
from firmware_bridge.errors import Missing

# Outside of these a container's frame rate is a guess of its time base, not of a camera.
_FPS_MIN, _FPS_MAX = 0.5, 240.0


class VideoSource:
    """One video file, opened by FFmpeg. Raises Missing where no frame can be decoded."""

    def __init__(self, path: Path, *, fallback_fps: float, clock: Clock) -> None:
        cv2 = quiet_opencv()
        self._video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        first = _retrieve(self._video) if self._video.isOpened() and self._video.grab() else None
        if first is None:
            self._video.release()
            raise Missing(
                f"{path} is not a video that can be read",
                expected="a whole video file (mp4, mkv, avi) with at least one frame",
                found=_what_is_there(path),
                remedy="copy the file again: one that was cut short may have lost its index",
            )
        self._first: BgrImage | None = first
        fps = float(self._video.get(cv2.CAP_PROP_FPS))
        count = int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))
        self.info = SourceInfo(
            given=str(path),
            kind="video",
            fps=fps if _FPS_MIN <= fps <= _FPS_MAX else fallback_fps,
            frames=count if count > 0 else None,
        )
        self._pace = Pace(self.info.fps, clock)
        self._index = 0

    def read(self, pause: Pause) -> Reading:
        """The next frame at its due time, stamped with it."""
        image, self._first = self._first, None
        while image is None:
            if not self._video.grab():
                return self._end()
            if self._pace.missed(self._index):
                self._index += 1
                continue
            image = _retrieve(self._video)
            if image is None:
                return self._end()
        self._pace.wait(self._index, pause)
        frame = Frame(image, self._pace.due_ns(self._index), "video", self._index)
        self._index += 1
        return frame

    def close(self) -> None:
        """Closes the file."""
        self._video.release()

    def _end(self) -> SourceEnd:
        count = self.info.frames
        if count is None or self._index >= count:
            return SourceEnd()
        return SourceEnd(f"ended early: {self._index} of {count} frames")


def _retrieve(video: Any) -> BgrImage | None:
    good, image = video.retrieve()
    return np.asarray(image, np.uint8) if good and image is not None else None


def _what_is_there(path: Path) -> str:
    try:
        with path.open("rb"):
            return f"{path.stat().st_size} bytes that no decoder opens"
    except OSError as error:
        return error.strerror or str(error)
