"""A camera's driver behind Video4Linux's system calls, for tests without a video device.

It speaks the kernel's own structures, so that all of `edge.runtime.sources.v4l2` runs but the
calls. Time is the test's clock. What real drivers do is tried against the kernel's `vivid` in an
emulated PC (test_vivid.py).
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from stepped_sources import SteppingClock

from edge.runtime.sources.v4l2 import abi

SOE, EOF = abi.V4L2_BUF_FLAG_TSTAMP_SRC_SOE, 0
MONOTONIC, ON_ANOTHER_CLOCK = abi.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC, 0


class SimulatedDriver:
    """One camera that films a grey wall.

    Args:
        clock: passes while the driver waits for the next frame.
        size: the only size that it has; None: every size.
        rates: pixel format -> its only rate; None: a driver that knows no rates.
        flags: of every buffer.
    """

    def __init__(
        self,
        clock: SteppingClock,
        *,
        size: tuple[int, int] | None = None,
        rates: dict[str, float | None] | None = None,
        flags: int = MONOTONIC | SOE,
    ) -> None:
        self.clock, self.size, self.flags = clock, size, flags
        self.rates = {"YUYV": 50.0} if rates is None else rates
        self.capability = abi.V4L2_CAP_VIDEO_CAPTURE | abi.V4L2_CAP_STREAMING
        self.interlaced = self.frozen = False
        self.fault: dict[int, int] = {}  # request (0: opening) -> errno
        self.age_ns = 0  # of a frame when it is there
        self.held_ns: int | None = None  # the time that every frame has, where not None
        self.dropped = 0  # frames that the next one comes after
        self.brightness = 90
        self.cut_bytes = 0
        self.modes: list[tuple[str, int, int, float | None]] = []
        self.opened = self.closed = 0
        self.tried_s: list[float] = []
        self._layout = abi.PixelLayout()
        self._maps: list[mmap.mmap] = []
        self._free: deque[int] = deque()
        self._filled: deque[abi.Buffer] = deque()
        self._sequence = 0

    def open(self, path: str) -> int:
        self.tried_s.append(time.monotonic())
        self._fail(0)
        self.opened += 1
        return 3

    def ioctl(self, device: int, request: int, argument: Any) -> None:
        self._fail(request)
        _HANDLERS[request](self, argument)

    def map(self, device: int, length: int, offset: int) -> mmap.mmap:
        self._maps.append(mmap.mmap(-1, length))
        return self._maps[-1]

    def wait(self, device: int, timeout_s: float) -> bool:
        self._fail(abi.VIDIOC_DQBUF)
        rate = self._rate
        period_s = 1.0 / (rate or 50.0)
        if self.frozen:
            time.sleep(timeout_s)
            return False
        if not self._filled:
            self.clock.pause(min(period_s, timeout_s))
            if period_s > timeout_s:
                return False
            self.film()
        return bool(self._filled)

    def close(self, device: int) -> None:
        self.closed += 1
        self._maps.clear()
        self._free.clear()
        self._filled.clear()

    def film(self) -> None:
        """One frame falls due: it fills a buffer, or is dropped where the program holds all."""
        self._sequence += 1 + self.dropped
        self.dropped = 0
        if not self._free:
            return
        index, code = self._free.popleft(), _code(self._layout.pixelformat)
        wall = np.full((self._layout.height, self._layout.width, 3), self.brightness, np.uint8)
        data = _ENCODERS[code](wall).tobytes()
        data = data[: len(data) - self.cut_bytes]
        self._maps[index][: len(data)] = data
        time_us = (self.clock() - self.age_ns if self.held_ns is None else self.held_ns) // 1000
        self._filled.append(
            abi.Buffer(
                index=index,
                type=abi.V4L2_BUF_TYPE_VIDEO_CAPTURE,
                bytesused=len(data),
                flags=self.flags,
                timestamp=abi.TimeValue(time_us // 1_000_000, time_us % 1_000_000),
                sequence=self._sequence,
            )
        )

    @property
    def _rate(self) -> float | None:
        return self.rates.get(_code(self._layout.pixelformat))

    def _fail(self, request: int) -> None:
        if request in self.fault:
            raise OSError(self.fault[request], os.strerror(self.fault[request]))

    def on_describe(self, found: abi.Capability) -> None:
        found.card = b"A simulated camera"
        found.capabilities = abi.V4L2_CAP_DEVICE_CAPS
        found.device_caps = self.capability

    def on_list(self, found: abi.FormatDescription) -> None:
        if found.index >= len(self.rates):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        found.pixelformat = int.from_bytes([*self.rates][found.index].encode(), "little")

    def on_set_format(self, form: abi.Format) -> None:
        asked = form.fmt.pix
        width, height = self.size or (asked.width, asked.height)
        code = _code(asked.pixelformat)
        asked.width, asked.height = width, height
        asked.bytesperline = _STRIDES[code] * width
        asked.field = 4 if self.interlaced else abi.V4L2_FIELD_NONE
        asked.sizeimage = 4 * width * height
        ctypes.pointer(self._layout)[0] = asked
        self.modes.append((code, width, height, None))

    def on_set_rate(self, parameters: abi.StreamParameters) -> None:
        period = parameters.parm.capture.timeperframe
        asked = period.denominator / period.numerator
        self.modes[-1] = (*self.modes[-1][:3], asked)
        if self._rate is None:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        parameters.parm.capture.capability = abi.V4L2_CAP_TIMEPERFRAME
        period.numerator, period.denominator = 1000, round(1000 * self._rate)

    def on_make_buffers(self, asked: abi.RequestBuffers) -> None:
        self._count = asked.count

    def on_describe_buffer(self, buffer: abi.Buffer) -> None:
        buffer.length = self._layout.sizeimage

    def on_queue(self, buffer: abi.Buffer) -> None:
        assert buffer.index not in self._free, "queued twice"
        self._free.append(buffer.index)

    def on_dequeue(self, buffer: abi.Buffer) -> None:
        if not self._filled:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        ctypes.pointer(buffer)[0] = self._filled.popleft()

    def on_nothing(self, argument: Any) -> None: ...


def _code(pixel_format: int) -> str:
    return pixel_format.to_bytes(4, "little").decode()


def _yuyv(wall: NDArray[np.uint8]) -> NDArray[np.uint8]:
    yuv = cv2.cvtColor(wall, cv2.COLOR_BGR2YUV)
    packed = np.empty((*wall.shape[:2], 2), np.uint8)
    packed[..., 0] = yuv[..., 0]
    packed[..., 1] = 128  # grey
    return packed


_ENCODERS = {
    "YUYV": _yuyv,
    "BGR3": lambda wall: wall,
    "H264": lambda wall: wall,
    "MJPG": lambda wall: cv2.imencode(".jpg", wall)[1],
}
_STRIDES = {"YUYV": 2, "BGR3": 3, "MJPG": 0, "H264": 0}
_HANDLERS: dict[int, Callable[[SimulatedDriver, Any], None]] = {
    abi.VIDIOC_QUERYCAP: SimulatedDriver.on_describe,
    abi.VIDIOC_ENUM_FMT: SimulatedDriver.on_list,
    abi.VIDIOC_S_FMT: SimulatedDriver.on_set_format,
    abi.VIDIOC_S_PARM: SimulatedDriver.on_set_rate,
    abi.VIDIOC_REQBUFS: SimulatedDriver.on_make_buffers,
    abi.VIDIOC_QUERYBUF: SimulatedDriver.on_describe_buffer,
    abi.VIDIOC_QBUF: SimulatedDriver.on_queue,
    abi.VIDIOC_DQBUF: SimulatedDriver.on_dequeue,
    abi.VIDIOC_STREAMON: SimulatedDriver.on_nothing,
    abi.VIDIOC_STREAMOFF: SimulatedDriver.on_nothing,
}
