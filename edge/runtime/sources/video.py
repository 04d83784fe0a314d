"""Plays a video file as a camera, at the presentation times of its frames.

In: a file that FFmpeg reads. Out: frames, then SourceEnd, whose fault says where a file was cut
short. Never catches up by playing faster: frames whose time has passed are skipped, as a camera
drops them, and counted.
"""

from __future__ import annotations

from pathlib import Path

from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.perception.video.read import UnreadableVideo, VideoFile, rate_of
from edge.runtime.clock import Clock
from edge.runtime.sources.source import Pace, Pause, Reading, SourceEnd, SourceInfo
from firmware_bridge.errors import Missing

_CONTAINER_NS = 1_000_000  # what the coarsest container rounds times to (Matroska)

LONGEST_GAP_NS = 60_000_000_000
"""A longer time without a frame ends the clip: nobody waits for a recording of hours ago."""


class VideoSource:
    """One video file, opened by FFmpeg.

    Raises:
        Missing: no frame can be decoded.
    """

    def __init__(self, path: Path, *, fallback_fps: float, clock: Clock) -> None:
        try:
            fps = rate_of(path, fallback_fps=fallback_fps)
            self._video = VideoFile(path, fallback_fps=fps)
        except UnreadableVideo as error:
            raise Missing(
                f"{path} is not a video that can be read",
                expected="a whole video file (mp4, mkv, avi) with at least one frame",
                found=str(error),
                remedy="copy the file again: one that was cut short may have lost its index",
            ) from error
        self.info = SourceInfo(
            given=str(path),
            kind="video",
            fps=fps,
            frames=self._video.header_frames,
        )
        self._pace = Pace(round(1e9 / fps), clock)
        self._last_ns = 0

    def read(self, pause: Pause) -> Reading:
        """The next frame at its due time, stamped with it; the newest where several are due."""
        while (at := self._video.grab()) is not None:
            if at.time_ns is None or self._pace.missed(at.time_ns):
                continue
            if at.time_ns - self._last_ns > LONGEST_GAP_NS:
                gap_s = (at.time_ns - self._last_ns) / 1e9
                return self._end(f"ended early: no frame for {gap_s:.0f} s after frame {at.index}")
            image = self._video.retrieve()
            if image is None:
                break
            self._last_ns = at.time_ns
            due_ns = self._pace.wait(at.time_ns, pause)
            return Frame(Picture(image), due_ns, "video", at.index, at.time_ns, _CONTAINER_NS)
        missing = self._video.ended_early()
        return self._end(None if missing is None else f"ended early: {missing}")

    def close(self) -> None:
        """Closes the file."""
        self._video.close()

    def _end(self, fault: str | None) -> SourceEnd:
        return SourceEnd(fault, self._video.frames, tuple(self._video.oddities()))
