"""Reads video files, sampled at a rate by their presentation times.

In: videos and a rate in frames a second. Out: a `LabelReading` with a record for each sampled frame
and a group for each file, and the frames. The number of frames and their times come from the
stream, never from a header.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from calibration.dataset.label_files.collector import Collector, wrong_schema
from calibration.dataset.records.record import Entry, LabelReading
from calibration.dataset.storage.storage import Storage
from edge.perception.values import BgrImage
from edge.perception.video.read import UnreadableVideo, VideoFile
from firmware_bridge.errors import Missing

SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".mjpg", ".mjpeg"),
)

RAW_FPS = 25.0
"""Rate of a stream that has neither times nor a rate; FFmpeg assumes the same."""

TIE_NS = 1_000
"""Two frames whose distances from a wanted time differ by less are equally near; the earlier one
is used."""


def recognises(storage: Storage) -> bool:
    """Whether there is a video file and no picture."""
    return bool(storage.with_suffix(*SUFFIXES)) and not storage.pictures


def read_at(storage: Storage, fps: float) -> LabelReading:
    """Frames of every video at `fps`, or all of them where a video is slower.

    Raises:
        Missing: a video that no decoder opens, or that ends early.
        UsageError: no video at all.
    """
    collector = Collector(storage)
    files = storage.with_suffix(*SUFFIXES)
    if not files:
        raise wrong_schema(
            storage, "the folder", expected=f"videos ({', '.join(SUFFIXES)})", found="none"
        )
    for name in files:
        stem = posixpath.splitext(name)[0]
        for number in _sampled(storage, name, fps):
            collector.add_entry(
                Entry(
                    name=f"{stem}/{number:06d}",
                    file=name,
                    row=number,
                    group=stem,
                    split=collector.part(name),
                )
            )
    return collector.reading()


def frames(path: Path, wanted: set[int]) -> Iterator[tuple[int, BgrImage]]:
    """(number, picture) of the frames with these numbers, in order; ends early where the video
    does."""
    try:
        video = VideoFile(path, fallback_fps=RAW_FPS)
    except UnreadableVideo as error:
        raise ValueError(str(error)) from error
    try:
        last = max(wanted, default=-1)
        while video.frames <= last and (at := video.grab()) is not None:
            if at.index in wanted:
                image = video.retrieve()
                if image is None:
                    return
                yield at.index, image
    finally:
        video.close()


def sample_frames(times_ns: Sequence[tuple[int, int]], fps: float) -> list[int]:
    """Numbers of the frames that lie nearest to the times 0, 1/fps, 2/fps, ..., each once.

    `times_ns` are (number, time into the clip) in order. A time that lies further from every frame
    than half a step has none: nothing was recorded then.
    """
    step_ns = 1e9 / fps
    taken: list[int] = []
    row = tick = 0
    last_ns = times_ns[-1][1] if times_ns else 0
    # A rate such as 29.97 is rounded, so the last time may lie a little behind the last frame.
    last_ns += round(min(step_ns, last_ns / max(1, len(times_ns) - 1)) / 4)
    while times_ns and (wanted_ns := tick * step_ns) <= last_ns:
        while row + 1 < len(times_ns) and (
            abs(times_ns[row + 1][1] - wanted_ns) + TIE_NS < abs(times_ns[row][1] - wanted_ns)
        ):
            row += 1
        number, at_ns = times_ns[row]
        if wanted_ns - at_ns > step_ns / 2 - TIE_NS and row + 1 < len(times_ns):
            row += 1  # behind the last frame before a gap
        elif at_ns - wanted_ns > step_ns / 2:  # within a gap: go on at the first time behind it
            tick = max(tick + 1, round(at_ns / step_ns))
        else:
            if not taken or taken[-1] != number:
                taken.append(number)
            tick += 1
    return taken


def _sampled(storage: Storage, name: str, fps: float) -> list[int]:
    with storage.local(name) as path:
        try:
            video = VideoFile(path, fallback_fps=RAW_FPS)
        except UnreadableVideo as error:
            raise _unreadable(storage, name, str(error)) from error
        try:
            times = []
            while (at := video.grab()) is not None:
                if at.time_ns is not None:
                    times.append((at.index, at.time_ns))
            missing = video.ended_early()
        finally:
            video.close()
    if missing is not None:
        raise _unreadable(storage, name, f"it ends early: {missing}")
    return sample_frames(times, fps)


def _unreadable(storage: Storage, name: str, found: str) -> Missing:
    return Missing(
        f"{name} in {storage.location} is not a video that can be read",
        expected="a whole video file",
        found=found,
        remedy="copy the file again: one that was cut short may have lost its index",
    )
