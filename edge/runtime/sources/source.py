"""Where frames come from: a video file, a folder of pictures, a camera or
generated scenes, behind one contract.

Files are paced in real time, as a camera would deliver them. Never decides what a missing frame
means: it says what happened, and the loop decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.perception.values import Frame
from edge.runtime.clock import Clock

Pause = Callable[[float], object]
"""Waits so many seconds, or less when the run is to end."""


@dataclass(frozen=True)
class SourceEnd:
    """No more frames will come.

    Attributes:
        fault: why, where that is not the plain end.
        frames: that came by in all, those skipped included; None where every one was read.
        notes: what is odd about the frames' times.
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
    """One frame could not be read; the next may be. `index` is its place in the source."""

    reason: str
    index: int


@dataclass(frozen=True)
class Skipped:
    """One frame came and is not to be shown; `index` is its place in the source."""

    reason: str
    index: int


Reading = Frame | SourceEnd | CameraGone | BadFrame | Skipped


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a source when it is open.

    Attributes:
        given: as the user wrote it.
        kind: "video", "folder", "camera" or "scenes".
        fps: frames a second that it delivers; of a video, the slower one of what it declares and
            how its first frames come.
        frames: how many it holds, None for a camera; of a video, what its header says.
    """

    given: str
    kind: str
    fps: float
    frames: int | None


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
"""A source that cannot catch up still delivers so often, however late its frames are."""


class Pace:
    """Due times of the frames of a file, as a camera would deliver them from the first read on."""

    def __init__(self, period_ns: int, clock: Clock) -> None:
        self._period_ns = period_ns
        self._clock = clock
        self._start_ns: int | None = None
        self._skipping_since_ns: int | None = None

    def due_ns(self, time_ns: int) -> int:
        """When the frame at this time into the clip is captured. The first call starts the clip."""
        if self._start_ns is None:
            self._start_ns = self._clock() - time_ns
        return self._start_ns + time_ns

    def missed(self, time_ns: int) -> bool:
        """True when a frame is a period late or more: a camera would have dropped it for the next.

        After SKIPS_AT_MOST_NS of skipping it is shown all the same: stamped with its own time, it
        tells the loop how far behind its source is, and no frame would tell nothing.
        """
        now_ns = self._clock()
        if self._start_ns is None or now_ns < self.due_ns(time_ns + self._period_ns):
            return False
        if self._skipping_since_ns is None:
            self._skipping_since_ns = now_ns
        return now_ns - self._skipping_since_ns < SKIPS_AT_MOST_NS

    def wait(self, time_ns: int, pause: Pause) -> int:
        """Until this frame is due; the moment that it is due."""
        due_ns = self.due_ns(time_ns)
        self._skipping_since_ns = None
        left_ns = due_ns - self._clock()
        if left_ns > 0:
            pause(left_ns / 1e9)
        return due_ns
