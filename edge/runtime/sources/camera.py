"""Reads frames from a camera by its number, through Video4Linux, at the mission's size and rate and
with the shortest buffer it allows.

In: a device number and the mission's [camera]. Out: frames, or CameraGone. A camera that fails is
closed and reported as gone; each later read tries to open it again, so that unplugging is a state.
Every opening reads back the size and rate: a camera of another size would move every zone. Never
waits between attempts: the capture thread paces them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge.contract.mission.sections.device import Camera
from edge.perception.opencv import quiet_opencv
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.perception.video.read import LEAST_APART_NS
from edge.runtime.clock import Clock
from edge.runtime.sources.source import CameraGone, Pause, Reading, Skipped, SourceInfo
from firmware_bridge.errors import DeviceFault

OpenCapture = Callable[[int], Any]
"""Opens a camera by number and returns something like cv2.VideoCapture."""

# A driver's stamp that is older than this, or in the future, is not on the monotonic clock.
_STAMP_PLAUSIBLE_NS = 1_000_000_000

PIXEL_FORMATS = (None, "MJPG")
"""In the order of trial: the driver's own choice first. Over USB 2 most cameras reach their larger
sizes at full rate only compressed."""

RATE_OFF_MOST = 0.02
"""Share by which a rate may differ: 29.97 counts as 30."""


class CameraSource:
    """One camera.

    Raises:
        DeviceFault: when the run begins, it is not there, delivers no frame, or has another size or
            rate than the mission.
    """

    def __init__(
        self,
        given: str,
        number: int,
        *,
        camera: Camera,
        clock: Clock,
        open_capture: OpenCapture | None = None,
    ) -> None:
        self._number = number
        self._wanted = camera
        self._clock = clock
        self._open_capture = open_capture or _video4linux
        self._cv2 = quiet_opencv()
        self._capture: Any = None
        self._index = 0
        self._last_ns: int | None = None
        self.info = SourceInfo(given=given, kind="camera", fps=camera.fps, frames=None)
        fault = self._open()
        if fault is None:
            return
        if fault == _CLOSED:
            raise DeviceFault(
                f"no camera at {given}",
                expected=f"a camera at /dev/video{number} that delivers frames",
                found="it cannot be opened",
                remedy="list what is there with `ls /dev/video*`; check the cable, that no other "
                "program holds it, and that this user is in the group video",
            )
        raise DeviceFault(
            f"the camera at {given} is not the one that the mission describes",
            expected=_described(camera.width_px, camera.height_px, camera.fps),
            found=fault,
            remedy=f"see what it can: v4l2-ctl -d /dev/video{number} --list-formats-ext; then "
            "correct [camera] in the mission: --set camera.width_px=W --set camera.height_px=H "
            "--set camera.fps=F",
        )

    def read(self, pause: Pause) -> Reading:
        """The newest frame, with the driver's stamp where that is on the monotonic clock."""
        if self._capture is None and (fault := self._open()) is not None:
            return CameraGone(f"camera {self._number} {fault}")
        if not self._capture.grab():
            return self._lose("delivers no frame")
        now_ns = self._clock()
        stamp_ns = round(self._capture.get(self._cv2.CAP_PROP_POS_MSEC) * 1e6)
        from_driver = 0 <= now_ns - stamp_ns <= _STAMP_PLAUSIBLE_NS
        good, image = self._capture.retrieve()
        if not good or image is None or image.ndim != 3:
            return self._lose("delivers frames that cannot be decoded")
        if (fault := self._wrong_size(image.shape)) is not None:
            return self._lose(f"delivers {fault}")
        index, captured_ns = self._index, stamp_ns if from_driver else now_ns
        self._index += 1
        if self._last_ns is not None and captured_ns < self._last_ns + LEAST_APART_NS:
            # A driver that repeats a frame repeats its time, as NVIDIA's Argus does when its sensor
            # stops; counted as new it would hide that.
            return Skipped(f"frame {index} does not come after the one before", index)
        self._last_ns = captured_ns
        stamp_source = "driver" if from_driver else "read"
        picture = Picture(np.asarray(image, np.uint8))
        return Frame(picture, captured_ns, stamp_source, index)

    def close(self) -> None:
        """Frees the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _open(self) -> str | None:
        """Opens the camera and sets it up; returns the fault, None where there is none."""
        capture = self._open_capture(self._number)
        if not capture.isOpened():
            capture.release()
            return _CLOSED
        faults = []
        for pixel_format in PIXEL_FORMATS:
            self._configure(capture, pixel_format)
            fault = self._configuration_fault(capture)
            if fault is None:
                self._capture = capture
                return None
            faults.append(fault)
        capture.release()
        return faults[0]

    def _configure(self, capture: Any, pixel_format: str | None) -> None:
        cv2, wanted = self._cv2, self._wanted
        if pixel_format is not None:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*pixel_format))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted.width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted.height_px)
        capture.set(cv2.CAP_PROP_FPS, wanted.fps)
        # A deeper buffer would deliver frames from before the last stall (opencv issue 13145).
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    def _configuration_fault(self, capture: Any) -> str | None:
        """What the device does instead of what was set; None where it complies. Its first frame
        proves the size; a driver that reports no rate passes, since the loop watches the age of
        every frame."""
        cv2, wanted = self._cv2, self._wanted
        rate = float(capture.get(cv2.CAP_PROP_FPS))
        good, image = capture.retrieve() if capture.grab() else (False, None)
        if not good or image is None:
            return "delivers no frame"
        off = abs(rate - wanted.fps) > RATE_OFF_MOST * wanted.fps
        if self._wrong_size(image.shape) is None and not (rate > 0 and off):
            return None
        height, width = image.shape[:2]
        return _described(width, height, rate)

    def _wrong_size(self, shape: tuple[int, ...]) -> str | None:
        wanted = self._wanted
        if shape[:2] == (wanted.height_px, wanted.width_px):
            return None
        return f"{shape[1]} x {shape[0]} pixels, not {wanted.width_px} x {wanted.height_px}"

    def _lose(self, why: str) -> CameraGone:
        self.close()
        return CameraGone(f"camera {self._number} {why}")


_CLOSED = "cannot be opened"


def _described(width_px: int, height_px: int, fps: float) -> str:
    rate = f"{fps:g} frames a second" if fps > 0 else "a rate that it does not tell"
    return f"{width_px} x {height_px} pixels at {rate}"


def _video4linux(number: int) -> Any:
    cv2 = quiet_opencv()
    return cv2.VideoCapture(number, cv2.CAP_V4L2)
