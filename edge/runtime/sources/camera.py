"""A camera of any kind as a source: proved at every opening, gone and opened again.

In: how to connect to it and the mission's [camera]. Out: frames, or CameraGone. Every opening reads
back size and rate: a camera of another size would move every zone. Never waits between attempts:
the capture thread paces them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from edge.contract.mission.sections.device import Camera
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.perception.video.read import LEAST_APART_NS
from edge.runtime.clock import Clock
from edge.runtime.sources.source import CameraGone, Damaged, Pause, Reading, Skipped, SourceInfo
from firmware_bridge.errors import DeviceFault, Refusal

FRAME_WITHIN_S = 2.0
"""A camera that delivers nothing new for so long is gone. A stop is demanded at this age anyway."""

OPEN_WITHIN_S = 10.0
"""From the connection to the first frame: network cameras wait for their next key frame."""

RATE_OFF_MOST = 0.02
"""Share by which a rate may differ: 29.97 counts as 30."""

_QUEUED_MOST = 8
"""Frames that may lie in queues while the rest of a run is opened."""


@dataclass(frozen=True)
class Delivered:
    """One picture of a camera.

    Attributes:
        picture: in the camera's own format where the loop reads it; nobody else changes it.
        captured_ns: capture time on the monotonic clock.
        stamp_source: origin of that time, as in `Frame`.
        uncertainty_ns: by how much its light may be older at most; None where nobody knows.
        lost: number of frames that the camera dropped since the one before.
    """

    picture: Picture
    captured_ns: int
    stamp_source: str
    uncertainty_ns: int | None
    lost: int = 0


@dataclass(frozen=True)
class Spoiled:
    """A frame came and cannot be used, for this reason; `lost` as in `Delivered`."""

    reason: str
    lost: int = 0


@dataclass(frozen=True)
class Lost:
    """The stream is over, for this reason; `refusal` says it to who opens the camera."""

    reason: str
    refusal: Refusal | None = None


class CameraStream(Protocol):
    """One connection to a camera, from its opening to its loss.

    Attributes:
        fps: frames a second as the camera declares them; 0 where it does not.
        how: the pixel format or pipeline, for the report; without secrets.
    """

    fps: float
    how: str

    def read(self, pause: Pause, *, within_s: float) -> Delivered | Spoiled | Lost:
        """The newest frame; Lost where none comes in time. Earlier where `pause` ends the run."""
        ...

    def close(self) -> None:
        """Frees the camera."""
        ...


class CameraAddress(Protocol):
    """Where a camera is.

    Attributes:
        kind: a key of SOURCES in `open_source`.
        shown: for messages; without secrets.
        other_camera: what to do where size or rate is another.
    """

    kind: str
    shown: str
    other_camera: str

    def connect(self, pause: Pause) -> CameraStream:
        """Opens it. Raises Refusal where it cannot."""
        ...


class CameraSource:
    """One camera.

    Raises:
        Refusal: when the run begins, it is not there, delivers no frame, or has another size or
            rate than the mission.
    """

    def __init__(self, address: CameraAddress, *, camera: Camera, clock: Clock) -> None:
        self._address = address
        self._wanted = camera
        self._clock = clock
        self._stream: CameraStream | None = None
        self._given_up: CameraStream | None = None
        self._begun = False
        self._index = 0
        self._last_ns: int | None = None  # capture time of the newest frame
        self._new_at_ns = 0  # when it was delivered
        how = self._open(lambda _seconds: False)
        self.info = SourceInfo(address.shown, address.kind, camera.fps, frames=None, how=how)

    def read(self, pause: Pause) -> Reading:
        """The newest frame. Takes at most FRAME_WITHIN_S, and where the camera is gone
        OPEN_WITHIN_S beside what connecting takes."""
        self._close_given_up()
        if self._stream is None:
            try:
                self._open(pause)
            except Refusal as refusal:
                return CameraGone(f"{refusal.what}: {refusal.found}")
        reading = self._next(pause)
        if isinstance(reading, Lost):
            return self._lose(reading.reason)
        index = self._index + reading.lost
        self._index = index + 1
        if isinstance(reading, Spoiled):
            return self._gone_if_nothing_new(Damaged(reading.reason, index))
        if (fault := self._wrong_size(reading.picture)) is not None:
            return self._lose(f"delivers {fault}")
        if self._last_ns is not None and reading.captured_ns < self._last_ns + LEAST_APART_NS:
            # A driver that repeats a frame repeats its time, as NVIDIA's Argus does when its sensor
            # stops; counted as new it would hide that.
            again = Skipped(f"frame {index} does not come after the one before", index)
            return self._gone_if_nothing_new(again)
        self._last_ns, self._new_at_ns = reading.captured_ns, self._clock()
        return Frame(
            reading.picture,
            reading.captured_ns,
            reading.stamp_source,
            index,
            uncertainty_ns=reading.uncertainty_ns,
        )

    def close(self) -> None:
        """Frees the camera."""
        self._close_given_up()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _next(self, pause: Pause) -> Delivered | Spoiled | Lost:
        """What comes next. The first frame of a run is one that was captured since its begin:
        others waited in queues while the network was loaded."""
        assert self._stream is not None
        began_ns = self._clock()
        reading = self._stream.read(pause, within_s=FRAME_WITHIN_S)
        if not self._begun:
            self._begun = True
            for _ in range(_QUEUED_MOST):
                if not isinstance(reading, Delivered) or reading.captured_ns >= began_ns:
                    break
                reading = self._stream.read(pause, within_s=FRAME_WITHIN_S)
        return reading

    def _open(self, pause: Pause) -> str:
        """Connects, proves the camera by its first frame and says how its pictures come. Raises
        Refusal where that fails."""
        stream = self._address.connect(pause)
        try:
            self._prove(stream, pause)
        except Refusal:
            stream.close()
            raise
        self._stream, self._new_at_ns = stream, self._clock()
        return stream.how

    def _prove(self, stream: CameraStream, pause: Pause) -> None:
        ends_s = time.monotonic() + OPEN_WITHIN_S
        for _ in range(_QUEUED_MOST):
            first = stream.read(pause, within_s=max(ends_s - time.monotonic(), 0.0))
            if not isinstance(first, Spoiled):
                break
        wanted = self._wanted
        if isinstance(first, Lost) and first.refusal is not None:
            raise first.refusal
        if not isinstance(first, Delivered):
            raise DeviceFault(
                f"no picture from {self._address.shown}",
                expected="frames",
                found=first.reason,
                remedy="check the camera's cable and power, and that no other program holds it",
            )
        # A camera that declares no rate passes: the loop watches the age of every frame.
        off = abs(stream.fps - wanted.fps) > RATE_OFF_MOST * wanted.fps
        if self._wrong_size(first.picture) is None and not (stream.fps > 0 and off):
            return
        raise another_camera(
            self._address.shown,
            wanted,
            found=described(first.picture.width_px, first.picture.height_px, stream.fps),
            remedy=self._address.other_camera,
        )

    def _wrong_size(self, picture: Picture) -> str | None:
        wanted, size = self._wanted, (picture.width_px, picture.height_px)
        if size == (wanted.width_px, wanted.height_px):
            return None
        return f"{size[0]} x {size[1]} pixels, not {wanted.width_px} x {wanted.height_px}"

    def _gone_if_nothing_new(self, reading: Damaged | Skipped) -> Reading:
        if self._clock() - self._new_at_ns < FRAME_WITHIN_S * 1e9:
            return reading
        return self._lose(f"delivers nothing new for {FRAME_WITHIN_S:g} s")

    def _lose(self, why: str) -> CameraGone:
        """Gives the stream up. The next read closes it, since closing a camera that hangs takes
        time and the loop is to know at once."""
        self._given_up, self._stream = self._stream, None
        return CameraGone(f"{self._address.shown} {why}")

    def _close_given_up(self) -> None:
        if self._given_up is not None:
            self._given_up.close()
            self._given_up = None


def another_camera(shown: str, wanted: Camera, *, found: str, remedy: str) -> DeviceFault:
    """The refusal of a camera whose size or rate is not the mission's."""
    return DeviceFault(
        f"the camera at {shown} is not the one that the mission describes",
        expected=described(wanted.width_px, wanted.height_px, wanted.fps),
        found=found,
        remedy=remedy,
    )


def declared_rate(fps: float) -> Fraction:
    """A rate as cameras declare it: 29.97 is 30000/1001."""
    ntsc = Fraction(round(fps * 1.001) * 1000, 1001)
    if abs(float(ntsc) - fps) < 0.005 < abs(fps - round(fps)):
        return ntsc
    return Fraction(fps).limit_denominator(1000)


def described(width_px: int, height_px: int, fps: float) -> str:
    """A camera's mode in words."""
    rate = f"{fps:g} frames a second" if fps > 0 else "a rate that it does not tell"
    return f"{width_px} x {height_px} pixels at {rate}"
