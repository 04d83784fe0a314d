"""One video device: set up, started, and its newest buffer.

In: a path. Out: pictures' bytes with the driver's times and numbers, or the kernel's OSError. The
calls to the kernel go through `Kernel`, so that tests can stand in for a driver.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.runtime.sources.v4l2 import abi

BUFFERS = 4
"""One that the driver fills, one that is decoded, and two for a thread that comes late."""


class Kernel(Protocol):
    """The system calls on a video device; each raises OSError."""

    def open(self, path: str) -> int:
        """A descriptor that never blocks."""
        ...

    def ioctl(self, device: int, request: int, argument: Any) -> None:
        """Fills `argument`, a structure of `abi`."""
        ...

    def map(self, device: int, length: int, offset: int) -> mmap.mmap:
        """A buffer's memory."""
        ...

    def wait(self, device: int, timeout_s: float) -> bool:
        """Whether a buffer is there in time. Raises where there will be none."""
        ...

    def close(self, device: int) -> None:
        """Gives the device up."""
        ...


class Linux:
    """The kernel itself."""

    def open(self, path: str) -> int:
        """As `Kernel` has it; so are the others."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def ioctl(self, device: int, request: int, argument: Any) -> None:
        """Repeated where a signal interrupts it, which Python does by itself."""
        fcntl.ioctl(device, request, argument)

    def map(self, device: int, length: int, offset: int) -> mmap.mmap:
        """Shared with the driver."""
        return mmap.mmap(device, length, mmap.MAP_SHARED, offset=offset)

    def wait(self, device: int, timeout_s: float) -> bool:
        """By poll."""
        poll = select.poll()
        poll.register(device, select.POLLIN)
        events = poll.poll(1e3 * timeout_s)
        if not events:
            return False
        if not events[0][1] & select.POLLIN:
            number = errno.ENODEV if events[0][1] & select.POLLHUP else errno.EIO
            raise OSError(number, os.strerror(number))
        return True

    def close(self, device: int) -> None:
        """As `Kernel` has it."""
        os.close(device)


@dataclass(frozen=True)
class Mode:
    """What the device answers to a mode that was asked for.

    Attributes:
        code: four characters of the pixel format.
        width, height: in pixels.
        stride: bytes from one row to the next.
        progressive: whether each picture shows one moment.
        fps: frames a second; 0 where the driver does not tell.
    """

    code: str
    width: int
    height: int
    stride: int
    progressive: bool
    fps: float


@dataclass(frozen=True)
class Filled:
    """A buffer that the driver filled.

    Attributes:
        data: its used bytes, the driver's again after `requeue`.
        index: which buffer.
        sequence: number of the frame, counted by the driver, with those that it dropped.
        time_ns: the driver's time.
        flags: V4L2_BUF_FLAG_*.
        skipped: number of older buffers that were there too.
    """

    data: NDArray[np.uint8]
    index: int
    sequence: int
    time_ns: int
    flags: int
    skipped: int


class VideoDevice:
    """An open device. Every method raises OSError as the kernel does."""

    def __init__(self, path: str, kernel: Kernel) -> None:
        self._kernel = kernel
        self._device = kernel.open(path)
        self._maps: list[mmap.mmap] = []

    def capability(self) -> abi.Capability:
        """Driver, name and abilities."""
        found = abi.Capability()
        self._call(abi.VIDIOC_QUERYCAP, found)
        return found

    def pixel_formats(self) -> Iterator[str]:
        """The codes that the driver lists."""
        for index in range(64):
            one = abi.FormatDescription(index=index, type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE)
            try:
                self._call(abi.VIDIOC_ENUM_FMT, one)
            except OSError as error:
                if error.errno == errno.EINVAL:  # the end of the list
                    return
                raise
            yield _code(one.pixelformat)

    def set_mode(self, code: str, width: int, height: int, rate: tuple[int, int]) -> Mode:
        """Asks for a format, size and rate; returns what the driver chose."""
        form = abi.Format(type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE)
        layout = form.fmt.pix
        layout.width, layout.height = width, height
        layout.pixelformat = int.from_bytes(code.encode(), "little")
        layout.field = abi.V4L2_FIELD_NONE
        self._call(abi.VIDIOC_S_FMT, form)
        return Mode(
            _code(layout.pixelformat),
            layout.width,
            layout.height,
            layout.bytesperline,
            layout.field == abi.V4L2_FIELD_NONE,
            self._set_rate(rate),
        )

    def start(self) -> None:
        """Asks for buffers, hands all to the driver and starts the stream."""
        asked = abi.RequestBuffers(
            count=BUFFERS, type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE, memory=abi.V4L2_MEMORY_MMAP
        )
        self._call(abi.VIDIOC_REQBUFS, asked)
        if asked.count < 2:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        for index in range(asked.count):
            one = self._buffer(index)
            self._call(abi.VIDIOC_QUERYBUF, one)
            self._maps.append(self._kernel.map(self._device, one.length, one.m.offset))
            self.requeue(index)
        self._call(abi.VIDIOC_STREAMON, ctypes.c_int(abi.V4L2_BUF_TYPE_VIDEO_CAPTURE))

    def newest(self, *, within_s: float) -> Filled | None:
        """The newest buffer that is filled, or None where none is in time. Older ones, which a
        thread that came late would see first, go back to the driver."""
        if not self._kernel.wait(self._device, within_s):
            return None
        newest, skipped = None, 0
        for _ in self._maps:
            buffer = self._buffer(0)
            try:
                self._call(abi.VIDIOC_DQBUF, buffer)
            except BlockingIOError:
                break
            if newest is not None:
                self.requeue(newest.index)
                skipped += 1
            newest = buffer
        if newest is None:
            return None
        used = min(newest.bytesused, len(self._maps[newest.index]))
        return Filled(
            np.frombuffer(self._maps[newest.index], np.uint8, used),
            newest.index,
            newest.sequence,
            newest.timestamp.tv_sec * 1_000_000_000 + newest.timestamp.tv_usec * 1_000,
            newest.flags,
            skipped,
        )

    def requeue(self, index: int) -> None:
        """Gives a buffer back to the driver."""
        self._call(abi.VIDIOC_QBUF, self._buffer(index))

    def close(self) -> None:
        """Stops the stream and gives the device up; may be called twice."""
        if self._device < 0:
            return
        with contextlib.suppress(OSError):  # it may be unplugged
            self._call(abi.VIDIOC_STREAMOFF, ctypes.c_int(abi.V4L2_BUF_TYPE_VIDEO_CAPTURE))
        for one in self._maps:
            with contextlib.suppress(BufferError):  # somebody still holds a view of it
                one.close()
        self._maps.clear()
        self._kernel.close(self._device)
        self._device = -1

    def _set_rate(self, rate: tuple[int, int]) -> float:
        parameters = abi.StreamParameters(type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE)
        capture = parameters.parm.capture
        capture.timeperframe = abi.Fraction(rate[1], rate[0])
        try:
            self._call(abi.VIDIOC_S_PARM, parameters)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):  # a driver with one rate only
                return 0.0
            raise
        period = capture.timeperframe
        if not capture.capability & abi.V4L2_CAP_TIMEPERFRAME or not period.numerator:
            return 0.0
        return float(period.denominator / period.numerator)

    def _buffer(self, index: int) -> abi.Buffer:
        return abi.Buffer(
            index=index, type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE, memory=abi.V4L2_MEMORY_MMAP
        )

    def _call(self, request: int, argument: Any) -> None:
        self._kernel.ioctl(self._device, request, argument)


def _code(pixel_format: int) -> str:
    return pixel_format.to_bytes(4, "little").decode("ascii", errors="replace")
