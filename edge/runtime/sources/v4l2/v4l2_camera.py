"""A camera through Video4Linux: USB cameras, capture cards, and what else has a /dev/videoN.

In: a device and the mission's [camera]. Out: pictures with the driver's times and numbers. Size and
rate are set and read back; the first pixel format that allows both is taken. A time on another
clock than the loop's is never used.
"""

from __future__ import annotations

import time

from edge.contract.mission.sections.device import Camera
from edge.perception.pictures.header import UnreadablePicture
from edge.runtime.clock import Clock
from edge.runtime.sources.camera import (
    RATE_OFF_MOST,
    Delivered,
    Lost,
    Spoiled,
    another_camera,
    declared_rate,
    described,
)
from edge.runtime.sources.source import Pause
from edge.runtime.sources.v4l2 import abi
from edge.runtime.sources.v4l2.buffer_formats import BUFFER_FORMATS, Layout, read_buffer
from edge.runtime.sources.v4l2.device import Filled, Kernel, Linux, Mode, VideoDevice
from edge.runtime.sources.v4l2.refusals import refusal_of
from firmware_bridge.errors import DeviceFault, Refusal

_SLICE_S = 0.1

LIGHT_PERIODS = 2
"""A driver that stamps a frame when its last byte has come leaves open how long the sensor was
exposed and read out: a period each, at most, in a camera that keeps its rate."""


class V4l2Camera:
    """The address of such a camera, as `edge.runtime.sources.camera.CameraAddress` has it."""

    kind = "camera"

    def __init__(
        self, device: str, *, camera: Camera, clock: Clock, kernel: Kernel | None = None
    ) -> None:
        self.shown = device
        self.other_camera = (
            f"see what it can: v4l2-ctl -d {device} --list-formats-ext; then correct [camera] in "
            "the mission: --set camera.width_px=W --set camera.height_px=H --set camera.fps=F"
        )
        self._wanted, self._clock, self._kernel = camera, clock, kernel or Linux()

    def connect(self, pause: Pause) -> V4l2Stream:
        """Opens the device and starts it. Raises DeviceFault where it cannot."""
        try:
            device = VideoDevice(self.shown, self._kernel)
        except OSError as error:
            raise refusal_of(error, self.shown) from error
        try:
            self._require_camera(device.capability())
            mode = self._set_up(device)
            device.start()
        except OSError as error:
            device.close()
            raise refusal_of(error, self.shown) from error
        except Refusal:
            device.close()
            raise
        period_ns = round(1e9 / self._wanted.fps)
        return V4l2Stream(device, mode, self.shown, period_ns=period_ns, clock=self._clock)

    def _require_camera(self, found: abi.Capability) -> None:
        """Refuses the other devices that are called /dev/videoN: of a camera's metadata, encoders,
        outputs."""
        can = (
            found.device_caps
            if found.capabilities & abi.V4L2_CAP_DEVICE_CAPS
            else (found.capabilities)
        )
        if can & abi.V4L2_CAP_VIDEO_CAPTURE and can & abi.V4L2_CAP_STREAMING:
            return
        planes = can & abi.V4L2_CAP_VIDEO_CAPTURE_MPLANE
        name = found.card.decode(errors="replace")
        raise DeviceFault(
            f"{self.shown} delivers no pictures that can be read directly",
            expected="a device that captures and streams, one plane a picture",
            found=f"{name}: several planes" if planes else f"{name}: no capture",
            remedy=f"write --source 'gst:v4l2src device={self.shown}'"
            if planes
            else "take the camera's other device: v4l2-ctl --list-devices shows them together",
        )

    def _set_up(self, device: VideoDevice) -> Mode:
        """The first mode that is the mission's. Raises DeviceFault where there is none."""
        wanted, found = self._wanted, []
        rate = declared_rate(wanted.fps)
        listed = tuple(device.pixel_formats())
        for code, form in BUFFER_FORMATS.items():
            if code not in listed or not form.allows(wanted.width_px, wanted.height_px):
                continue
            mode = device.set_mode(
                code, wanted.width_px, wanted.height_px, (rate.numerator, rate.denominator)
            )
            if self._fits(mode, code):
                return mode
            half = "" if mode.progressive else ", interlaced"
            found.append(f"{described(mode.width, mode.height, mode.fps)} ({mode.code}{half})")
        if found:
            what = "; ".join(dict.fromkeys(found))
            raise another_camera(self.shown, wanted, found=what, remedy=self.other_camera)
        raise DeviceFault(
            f"{self.shown} has no pixel format that can be read directly",
            expected=f"one of {', '.join(BUFFER_FORMATS)}",
            found=", ".join(listed) or "none",
            remedy=f"let GStreamer decode it: --source 'gst:v4l2src device={self.shown} ! ...' "
            "(docs/cameras.md)",
        )

    def _fits(self, mode: Mode, code: str) -> bool:
        wanted = self._wanted
        # A driver that tells no rate passes: the loop watches the age of every frame.
        off = mode.fps > 0 and abs(mode.fps - wanted.fps) > RATE_OFF_MOST * wanted.fps
        size = (mode.width, mode.height) == (wanted.width_px, wanted.height_px)
        return size and mode.code == code and mode.progressive and not off


class V4l2Stream:
    """One started device, as `edge.runtime.sources.camera.CameraStream` has it."""

    def __init__(
        self, device: VideoDevice, mode: Mode, name: str, *, period_ns: int, clock: Clock
    ) -> None:
        self.fps, self.how = mode.fps, f"pixel format {mode.code}"
        self._device, self._name, self._clock, self._period_ns = device, name, clock, period_ns
        # Some drivers leave the stride out where rows are not padded.
        stride = max(mode.stride, BUFFER_FORMATS[mode.code].pixel_bytes * mode.width)
        self._layout = Layout(mode.code, mode.width, mode.height, stride)
        self._sequence: int | None = None
        self._looked_ns = clock()

    def read(self, pause: Pause, *, within_s: float) -> Delivered | Spoiled | Lost:
        """The newest picture."""
        left_s, ends_s = within_s, time.monotonic() + within_s
        try:
            while (filled := self._device.newest(within_s=min(left_s, _SLICE_S))) is None:
                left_s = ends_s - time.monotonic()
                if left_s <= 0.0 or pause(0.0):
                    return Lost(f"delivers no frame within {within_s:g} s")
            return self._taken(filled)
        except OSError as error:
            refusal = refusal_of(error, self._name)
            return Lost(f"fails: {refusal.found}", refusal)

    def close(self) -> None:
        """Stops and closes the device."""
        self._device.close()

    def _taken(self, filled: Filled) -> Delivered | Spoiled:
        """What a buffer holds; gives it back to the driver."""
        now_ns, looked_ns = self._clock(), self._looked_ns
        self._looked_ns = now_ns
        lost = filled.skipped
        if self._sequence is not None:
            # 32 bits that wrap; a driver that does not count leaves 0.
            lost = max(lost, (filled.sequence - self._sequence) % 2**32 - 1)
            if lost >= 2**31:
                lost = filled.skipped
        self._sequence = filled.sequence
        try:
            if filled.flags & abi.V4L2_BUF_FLAG_ERROR:
                return Spoiled("the driver marks it as damaged", lost)
            picture = read_buffer(filled.data, self._layout)
        except UnreadablePicture as error:
            return Spoiled(str(error), lost)
        finally:
            self._device.requeue(filled.index)
        clock = filled.flags & abi.V4L2_BUF_FLAG_TIMESTAMP_MASK
        on_ours = clock == abi.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC
        light_ns = LIGHT_PERIODS * self._period_ns
        if not on_ours or not 0 < filled.time_ns <= now_ns:
            # It was filled since the last look at the queue.
            return Delivered(picture, now_ns, "read", now_ns - looked_ns + light_ns, lost)
        start = filled.flags & abi.V4L2_BUF_FLAG_TSTAMP_SRC_MASK
        of_exposure = start == abi.V4L2_BUF_FLAG_TSTAMP_SRC_SOE
        return Delivered(picture, filled.time_ns, "driver", 0 if of_exposure else light_ns, lost)
