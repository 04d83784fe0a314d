"""A camera by its number, through Video4Linux, with the shortest buffer it allows.

A camera that fails is closed and reported as gone; each later read tries to open it again, so that
unplugging is a state. Never waits between attempts: the capture thread paces them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge.contract.perception import Frame
from edge.runtime.clock import Clock
from edge.runtime.sources import CameraGone, Pause, Reading, SourceInfo, quiet_opencv
from firmware_bridge.errors import DeviceFault

OpenCapture = Callable[[int], Any]
"""Opens a camera by number and returns something like cv2.VideoCapture."""

# A driver's stamp that is older than this, or in the future, is not on our clock.
_STAMP_PLAUSIBLE_NS = 1_000_000_000


class CameraSource:
    """One camera. Raises DeviceFault where it is not there when the run begins."""

    def __init__(
        self,
        given: str,
        number: int,
        *,
        fps: float,
        clock: Clock,
        open_capture: OpenCapture | None = None,
    ) -> None:
        self._number = number
        self._clock = clock
        self._open_capture = open_capture or _video4linux
        self._capture: Any = None
        self._index = 0
        self.info = SourceInfo(given=given, kind="camera", fps=fps, frames=None)
        if not self._open():
            raise DeviceFault(
                f"no camera at {given}",
                expected=f"a camera at /dev/video{number} that delivers frames",
                found="it cannot be opened",
                remedy="list what is there with `ls /dev/video*`; check the cable, that no other "
                "program holds it, and that this user is in the group video",
            )

    def read(self, pause: Pause) -> Reading:
        """The newest frame, stamped by the driver where its time is on the monotonic clock."""
        if self._capture is None and not self._open():
            return CameraGone(f"camera {self._number} cannot be opened")
        if not self._capture.grab():
            return self._lose("delivers no frame")
        now_ns = self._clock()
        stamp_ns = round(self._capture.get(0) * 1e6)  # CAP_PROP_POS_MSEC, the buffer's own time
        from_driver = 0 <= now_ns - stamp_ns <= _STAMP_PLAUSIBLE_NS
        good, image = self._capture.retrieve()
        if not good or image is None or image.ndim != 3:
            return self._lose("delivers frames that cannot be decoded")
        frame = Frame(
            np.asarray(image, np.uint8),
            stamp_ns if from_driver else now_ns,
            "driver" if from_driver else "read",
            self._index,
        )
        self._index += 1
        return frame

    def close(self) -> None:
        """Frees the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _open(self) -> bool:
        capture = self._open_capture(self._number)
        if not capture.isOpened():
            capture.release()
            return False
        self._capture = capture
        return True

    def _lose(self, why: str) -> CameraGone:
        self.close()
        return CameraGone(f"camera {self._number} {why}")


def _video4linux(number: int) -> Any:
    cv2 = quiet_opencv()
    capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
    # A deeper buffer would deliver frames from before the last stall (opencv issue 13145).
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
