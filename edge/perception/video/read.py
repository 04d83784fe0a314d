"""Reads a video file frame by frame, each with its presentation time.

A path goes in; frames (H, W, 3) uint8 BGR with their times come out. The stream decides how many
frames there are, not the header's count. Times are `CAP_PROP_POS_MSEC` of OpenCV's FFmpeg reader,
which was compared with ffprobe for MP4, MOV, MKV, WebM, AVI, MPEG-TS, GIF and raw streams, with
B-frames and edit lists (docs/runtime.md). Never paces and never skips: callers do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.perception.opencv import quiet_opencv
from edge.perception.pictures.decode import MAX_PIXELS, too_large
from edge.perception.values import BgrImage
from edge.perception.video.container import ContainerFacts, container_facts

FPS_MIN, FPS_MAX = 0.5, 240.0
"""Outside of these a container's frame rate is a guess from its time base, not a camera's rate."""

STARTS_OVER_NS = 500_000_000
"""A time further back than this belongs to another file that was appended to the first."""

RATE_FRAMES, RATE_FRAMES_LEAST, RATE_PIXELS = 64, 8, 1 << 27
"""Frames read to find a file's rate, at most and at least; pixels that they may have in all."""
RATE_SAME = 0.02
"""Relative difference up to which a rate equals the declared one."""

_EDIT_LEADS_IN_NS = 250_000_000
"""An edit list may begin between two frames; times here begin with the first shown frame."""

_COUNTED_TOO_MANY = 2
"""Frames that the header of a complete AVI may count too many, because of a delayed start."""

_NO_TIME_MS = 1e12
"""A time above this (31 years) is FFmpeg's value for a stream without a start time."""


class UnreadableVideo(ValueError):
    """No frame of the file can be decoded; the text says what is there."""


@dataclass(frozen=True)
class FrameTime:
    """The place of a grabbed frame.

    Attributes:
        index: place in the file, from 0.
        time_ns: time into the clip, 0 for its first frame; None for a frame whose presentation
            time is not later than that of an earlier one, so that it is never shown.
    """

    index: int
    time_ns: int | None


class VideoFile:
    """One open video file. Raises UnreadableVideo where it is none or its frames are too large."""

    def __init__(self, path: Path, *, fallback_fps: float) -> None:
        cv2 = quiet_opencv()
        self._pos_ms = cv2.CAP_PROP_POS_MSEC
        self._container = _facts(path)
        self._video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            if not self._video.isOpened():
                raise UnreadableVideo(_container_summary(path))
            width, height = (
                int(self._video.get(number))
                for number in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
            )
            self.pixels = max(1, width * height)
            if self.pixels > MAX_PIXELS:
                raise UnreadableVideo(too_large(width, height))
            if not self._video.grab() or (first := _retrieve(self._video)) is None:
                raise UnreadableVideo(_container_summary(path))
        except UnreadableVideo:
            self._video.release()
            raise
        self._first: BgrImage | None = first
        self._grabbed_first = True
        rate = float(self._video.get(cv2.CAP_PROP_FPS))
        self.declared_fps = rate if FPS_MIN <= rate <= FPS_MAX else None
        self.fps = fallback_fps if self.declared_fps is None else rate
        counted = self._video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.header_frames = int(counted) if 0 < counted < 2**53 else None
        self.frames = 0
        self.out_of_order = self.by_rate = self.start_overs = 0
        self._last_raw_ns = self._last_ns = self._offset_ns = 0

    @property
    def period_ns(self) -> int:
        """Time between frames at the declared rate."""
        return round(1e9 / self.fps)

    def grab(self) -> FrameTime | None:
        """The next frame's index and time; None at the end of the stream."""
        if not self._grabbed_first:
            self._first = None
            if not self._video.grab():
                return None
        self._grabbed_first = False
        index = self.frames
        self.frames += 1
        return FrameTime(index, self._placed(index, float(self._video.get(self._pos_ms))))

    def retrieve(self) -> BgrImage | None:
        """The pixels of the grabbed frame, (H, W, 3) uint8 BGR; None where it cannot be decoded."""
        return self._first if self._first is not None else _retrieve(self._video)

    def close(self) -> None:
        """Closes the file."""
        self._video.release()

    def ended_early(self) -> str | None:
        """What is missing, after the stream has ended; None where nothing is."""
        header, stated_s = self.header_frames, self._container.video_s
        # An index also counts frames that an edit list leaves out: it decides only where time
        # is missing as well.
        if stated_s is not None and header is not None and self.frames < header:
            until_ns = self._last_ns + 2.5 * self.period_ns + _EDIT_LEADS_IN_NS
            if until_ns < stated_s * 1e9:
                return f"{self.frames} of {header} frames"
        if self._container.cut:
            return f"{self.frames} frames, and the file is shorter than its container says"
        return None

    def oddities(self) -> list[str]:
        """Remarks on the frames' times, after reading all frames."""
        found = []
        if self.by_rate:
            found.append(
                f"{self.by_rate} of {self.frames} frames have no time in the file and were placed "
                f"{1e3 / self.fps:.1f} ms after the one before, by the rate that "
                + ("the file declares" if self.declared_fps is not None else "the mission has")
            )
        if self.out_of_order:
            found.append(
                f"{self.out_of_order} of {self.frames} frames do not come at least "
                f"{LEAST_APART_NS / 1e6:g} ms after the one before and were left out"
            )
        if self.start_overs:
            found.append(
                f"times start over {_times(self.start_overs)}: files were joined, and how long it "
                "took between them is not known"
            )
        counted = self.header_frames or 0
        if self._container.times_by_count and counted > self.frames + _COUNTED_TOO_MANY:
            found.append(
                f"the header counts {counted} frames and {self.frames} came: if some were lost in "
                "the middle, all later ones come too early, since an AVI holds no times"
            )
        return found

    def _placed(self, index: int, raw_ms: float) -> int | None:
        """Time into the clip of a frame with this presentation time."""
        missing = not math.isfinite(raw_ms) or abs(raw_ms) > _NO_TIME_MS
        if index == 0:
            self._last_raw_ns = 0 if missing else round(raw_ms * 1e6)
            self._offset_ns = -self._last_raw_ns
            return 0
        raw_ns = 0 if missing else round(raw_ms * 1e6)
        if missing or (raw_ns == 0 and self._last_raw_ns >= 0):
            # OpenCV says 0 where FFmpeg knows no time (raw H.264, B-frames at the end of an AVI).
            self.by_rate += 1
            self._last_ns += self.period_ns
            return self._last_ns
        if raw_ns < self._last_raw_ns - STARTS_OVER_NS:
            self.start_overs += 1
            self._offset_ns = self._last_ns + self.period_ns - raw_ns
        elif raw_ns + self._offset_ns < self._last_ns + LEAST_APART_NS:
            self.out_of_order += 1
            return None
        self._last_raw_ns = raw_ns
        self._last_ns = raw_ns + self._offset_ns
        return self._last_ns


def rate_of(path: Path, *, fallback_fps: float) -> float:
    """Frames a second of a file: the declared rate, or that of its first frames if it is lower.

    Headers state averages (MP4) or guesses (Matroska, WebM, MPEG-TS). The number of frames that it
    reads depends on their size alone, so that the rate is the same on every machine.

    Raises:
        UnreadableVideo: as `VideoFile`.
    """
    video = VideoFile(path, fallback_fps=fallback_fps)
    last_ns = placed = 0
    try:
        while video.frames < max(RATE_FRAMES_LEAST, min(RATE_FRAMES, RATE_PIXELS // video.pixels)):
            if (at := video.grab()) is None:
                break
            if at.time_ns is not None:
                last_ns, placed = at.time_ns, placed + 1
    finally:
        video.close()
    if placed < RATE_FRAMES_LEAST:
        return video.fps
    measured_fps = (placed - 1) * 1e9 / last_ns
    return measured_fps if measured_fps < (1 - RATE_SAME) * video.fps else video.fps


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _retrieve(video: Any) -> BgrImage | None:
    good, image = video.retrieve()
    return np.asarray(image, np.uint8) if good and image is not None else None


def _facts(path: Path) -> ContainerFacts:
    try:
        return container_facts(path)
    except OSError as error:
        raise UnreadableVideo(error.strerror or str(error)) from error


def _container_summary(path: Path) -> str:
    try:
        return f"{path.stat().st_size} bytes that no decoder opens"
    except OSError as error:
        return error.strerror or str(error)


LEAST_APART_NS = 1_000_000
"""Of frames whose times are closer together than this, the later one is left out."""
