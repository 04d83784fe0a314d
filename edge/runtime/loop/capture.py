"""The capture thread: reads one source into a mailbox and keeps the camera's state.

In: a `Source`. Out: frames in the mailbox, and `CaptureFacts` that any thread may read. A camera
that goes away is reopened with back-off. Never waits for inference.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.perception.values import Frame
from edge.runtime.clock import Clock
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.sources.source import (
    BadFrame,
    CameraGone,
    Damaged,
    Skipped,
    Source,
    SourceEnd,
)

_BACK_OFF_FIRST_S = 0.1
_BACK_OFF_MOST_S = 2.0

TOO_LATE_MS, TOO_LATE_IN_A_ROW = 1000.0, 3
"""So many frames of a file in a row, each delivered so long after its time, mean that the machine
cannot read the source as fast as it plays. A single one means a machine that stood still."""


class CameraState(enum.Enum):
    """State of the source."""

    OPEN = "open, no frame yet"
    LIVE = "delivers frames"
    GONE = "gone; reopening with back-off"
    ENDED = "ended"


@dataclass(frozen=True)
class CaptureFacts:
    """What the capture thread knows of its source.

    Attributes:
        camera: state of the source.
        captured: number of frames whose time has come so far, with those that the source skipped
            or could not read.
        newest_ns: capture time of the newest frame.
        fault: the last fault; stays after recovery.
    """

    camera: CameraState
    captured: int = 0
    newest_ns: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class StampCount:
    """Frames whose capture time has one origin.

    Attributes:
        frames: their number.
        uncertainty_ns: the most by which the light of one may be older than its time; None where
            that is not known of every one.
    """

    frames: int
    uncertainty_ns: int | None

    def and_one(self, uncertainty_ns: int | None) -> StampCount:
        """With one frame more."""
        known = self.uncertainty_ns is not None and uncertainty_ns is not None
        most = max(self.uncertainty_ns or 0, uncertainty_ns or 0) if known else None
        return StampCount(self.frames + 1, most)


@dataclass(frozen=True)
class CapturedFrame:
    """A frame in the mailbox, with the time from its capture until it was put there."""

    frame: Frame
    grab_ms: float


class Capture:
    """The thread that owns the source from start() on and closes it at its end."""

    def __init__(
        self,
        source: Source,
        mailbox: Mailbox[CapturedFrame],
        *,
        clock: Clock,
        on_fault: Callable[[str, str], None],
    ) -> None:
        self._source = source
        self._mailbox = mailbox
        self._clock = clock
        self._on_fault = on_fault
        self._stop = threading.Event()
        self._facts = CaptureFacts(CameraState.OPEN)
        self._too_late = self._skipped = self._damaged = False  # each is reported once
        self._stamps: dict[str, StampCount] = {}
        self._gone_because: set[str] = set()  # each once until it is back
        self._late_in_a_row = 0
        self.crashed = False
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @property
    def facts(self) -> CaptureFacts:
        """The newest facts; one frozen value, so that any thread may read it."""
        return self._facts

    @property
    def stamps(self) -> dict[str, StampCount]:
        """Origin of capture times (`Frame.stamp_source`) -> the frames that have it."""
        return dict(self._stamps)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """Ends the thread; abandons one that hangs in a driver's read after `timeout_s`."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        self.crashed = True
        try:
            self._read_until_end()
            self.crashed = False
        finally:
            self._facts = self._now(CameraState.ENDED)
            self._mailbox.close()
            self._source.close()

    def _read_until_end(self) -> None:
        back_off_s = _BACK_OFF_FIRST_S
        while not self._stop.is_set():
            reading = self._source.read(self._stop.wait)
            if isinstance(reading, Frame):
                back_off_s = _BACK_OFF_FIRST_S
                self._gone_because.clear()
                self._deliver(reading)
            elif isinstance(reading, SourceEnd):
                self._note_end(reading)
                return
            elif isinstance(reading, BadFrame):
                self._count(reading.index + 1)
                self._fail("unreadable frame", reading.reason)
            elif isinstance(reading, Damaged):
                self._count(reading.index + 1)
                if not self._damaged:
                    self._fail("damaged frame", reading.reason)
                self._damaged = True
            elif isinstance(reading, Skipped):
                self._count(reading.index + 1)
                if not self._skipped:
                    self._fail("frame times", reading.reason)
                self._skipped = True
            elif isinstance(reading, CameraGone) and not self._stop.is_set():
                if reading.reason not in self._gone_because:
                    self._gone_because.add(reading.reason)
                    self._fail("camera gone", reading.reason)
                self._facts = self._now(CameraState.GONE)
                self._stop.wait(back_off_s)
                back_off_s = min(2.0 * back_off_s, _BACK_OFF_MOST_S)

    def _deliver(self, frame: Frame) -> None:
        self._facts = CaptureFacts(
            CameraState.LIVE, frame.index + 1, frame.captured_ns, self._facts.fault
        )
        stamps = self._stamps.get(frame.stamp_source, StampCount(0, 0))
        self._stamps[frame.stamp_source] = stamps.and_one(frame.uncertainty_ns)
        grab_ms = (self._clock() - frame.captured_ns) / 1e6
        self._mailbox.put(CapturedFrame(frame, grab_ms))
        late = frame.clip_ns is not None and grab_ms > TOO_LATE_MS
        self._late_in_a_row = self._late_in_a_row + 1 if late else 0
        if self._late_in_a_row == TOO_LATE_IN_A_ROW and not self._too_late:
            self._too_late = True
            self._fail(
                "source too slow",
                f"frame {frame.index} could be shown only {grab_ms / 1e3:.1f} s after its time",
            )

    def _note_end(self, end: SourceEnd) -> None:
        if end.frames is not None:
            self._count(end.frames)
        for note in end.notes:
            self._fail("frame times", note)
        if end.fault is not None:
            self._fail("source ended early", end.fault)

    def _count(self, captured: int) -> None:
        now = self._facts
        self._facts = CaptureFacts(now.camera, captured, now.newest_ns, now.fault)

    def _fail(self, kind: str, reason: str) -> None:
        self._facts = CaptureFacts(
            self._facts.camera, self._facts.captured, self._facts.newest_ns, reason
        )
        self._on_fault(kind, reason)

    def _now(self, camera: CameraState) -> CaptureFacts:
        now = self._facts
        return CaptureFacts(camera, now.captured, now.newest_ns, now.fault)
