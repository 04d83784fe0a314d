"""The contract of every source of frames: cameras of all kinds, a video file, a folder of pictures
and generated scenes.

Each read returns a `Reading`: a frame, or what happened instead; the loop decides what that means.
`Pace` gives the frames of a file the times at which a camera would deliver them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.perception.values import Frame
from edge.runtime.clock import Clock

Pause = Callable[[float], object]
"""Waits so many seconds, or less where the run is to end: its value is true then."""


@dataclass(frozen=True)
class SourceEnd:
    """No more frames will come.

    Attributes:
        fault: why, where it is not the regular end.
        frames: number of frames in all, with those that were skipped; None where all were read.
        notes: oddities of the frames' times, a sentence each.
    """

    fault: str | None = None
    frames: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CameraGone:
    """The camera gives no frame now; the next read tries to open it again."""

    reason: str


@dataclass(frozen=True)
class BadFrame:
    """One frame could not be read; the next may be readable. `index` is its place in the source."""

    reason: str
    index: int


@dataclass(frozen=True)
class Damaged:
    """A camera's frame came damaged; `index` is its place in the source."""

    reason: str
    index: int


@dataclass(frozen=True)
class Skipped:
    """One frame came and must not be shown; `index` is its place in the source."""

    reason: str
    index: int


Reading = Frame | SourceEnd | CameraGone | BadFrame | Damaged | Skipped


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source when it is open.

    Attributes:
        given: as the user wrote it, without secrets.
        kind: a key of SOURCES in `open_source`.
        fps: frames a second that it delivers; of a video, the lower one of the rate that it
            declares and the rate of its first frames.
        frames: how many it holds, of a video by its header; None for a camera.
        how: of a camera: the pixel format or the pipeline by which its pictures come.
    """

    given: str
    kind: str
    fps: float
    frames: int | None
    how: str = ""


class Source(Protocol):
    """One open source, read by one thread."""

    info: SourceInfo

    def read(self, pause: Pause) -> Reading:
        """The next frame when its time has come. Frame indices grow; gaps are skipped frames."""
        ...

    def close(self) -> None:
        """Frees device or file."""
        ...


SKIPS_AT_MOST_NS = 500_000_000
"""A source that cannot catch up still delivers one frame in so long, however late."""


class Pace:
    """Due times of a file's frames: those at which a camera would deliver them."""

    def __init__(self, period_ns: int, clock: Clock) -> None:
        self._period_ns = period_ns
        self._clock = clock
        self._start_ns: int | None = None
        self._skipping_since_ns: int | None = None

    def due_ns(self, time_ns: int) -> int:
        """Capture time of the frame at this time into the clip. The first call starts the clip."""
        if self._start_ns is None:
            self._start_ns = self._clock() - time_ns
        return self._start_ns + time_ns

    def missed(self, time_ns: int) -> bool:
        """True where a frame is a period late or more: a camera would have dropped it for the next.

        After SKIPS_AT_MOST_NS of skipping, False all the same: the frame, stamped with its own
        time, tells the loop how far its source is behind.
        """
        now_ns = self._clock()
        if self._start_ns is None or now_ns < self.due_ns(time_ns + self._period_ns):
            return False
        if self._skipping_since_ns is None:
            self._skipping_since_ns = now_ns
        return now_ns - self._skipping_since_ns < SKIPS_AT_MOST_NS

    def wait(self, time_ns: int, pause: Pause) -> int:
        """Waits until this frame is due; returns that time, monotonic nanoseconds."""
        due_ns = self.due_ns(time_ns)
        self._skipping_since_ns = None
        left_ns = due_ns - self._clock()
        if left_ns > 0:
            pause(left_ns / 1e9)
        return due_ns
