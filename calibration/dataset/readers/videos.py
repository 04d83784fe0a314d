"""Video files, sampled at a rate: a record is a frame, a group is a file."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import Gathering, split_of, wrong_schema
from calibration.dataset.records import Entry, Reading
from edge.contract.perception import BgrImage
from edge.runtime.sources import quiet_opencv
from firmware_bridge.errors import Missing

SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")


def recognises(place: Place) -> bool:
    """Whether there is a video file and no picture."""
    return bool(place.with_suffix(*SUFFIXES)) and not place.pictures


def read_at(place: Place, fps: float) -> Reading:
    """Frames of every video at `fps`, or every frame where a video is slower.

    Raises:
        Missing: a video that no decoder opens.
        UsageError: no video at all.
    """
    gathering = Gathering(place)
    files = place.with_suffix(*SUFFIXES)
    if not files:
        raise wrong_schema(
            place, "the folder", expected=f"videos ({', '.join(SUFFIXES)})", found="none"
        )
    for name in files:
        stem = posixpath.splitext(name)[0]
        for number in _sampled(place, name, fps):
            gathering.entry(
                Entry(
                    name=f"{stem}/{number:06d}",
                    file=name,
                    row=number,
                    group=stem,
                    split=split_of(name),
                )
            )
    return gathering.reading()


def frames(path: Path, wanted: set[int]) -> Iterator[tuple[int, BgrImage]]:
    """The frames with these numbers, in order; ends early where the video does."""
    video = quiet_opencv().VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        number, last = 0, max(wanted, default=-1)
        while number <= last and video.grab():
            if number in wanted:
                good, image = video.retrieve()
                if not good or image is None:
                    return
                yield number, np.asarray(image, np.uint8)
            number += 1
    finally:
        video.release()


def _sampled(place: Place, name: str, fps: float) -> list[int]:
    """Numbers of the frames at times 0, 1/fps, 2/fps, ... of the file's own clock."""
    with place.local(name) as path:
        video = quiet_opencv().VideoCapture(str(path), cv2.CAP_FFMPEG)
        rate, count = video.get(cv2.CAP_PROP_FPS), int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        opened = video.isOpened() and video.grab()
        video.release()
    if not opened or count <= 0 or not rate > 0:
        raise Missing(
            f"{name} in {place.given} is not a video that can be read",
            expected="a whole video file with a frame rate and an index",
            found=f"{place.files[name]} bytes that no decoder opens",
            remedy="copy the file again: one that was cut short may have lost its index",
        )
    step = max(1.0, rate / fps)
    return [
        number for turn in range(int(count / step) + 1) if (number := round(turn * step)) < count
    ]
