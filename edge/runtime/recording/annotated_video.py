"""Writes the annotated video of a run, on its own thread.

In: turns with a new frame. Out: an .mp4 file, and a `Recording` that counts its frames. The loop
never waits: turns that the encoder cannot keep up with are left out and counted. The video keeps
the clip's time: a picture is repeated until the next one's time, and of those that fall into one
frame of the video the last is written. The file appears under its name only when it is whole, which
reading it back proves.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge.contract.artifact import replacing
from edge.install import pip_install
from edge.perception.opencv import quiet_opencv
from edge.perception.values import BgrImage
from edge.perception.video.verify_written import verify_written
from edge.runtime.loop.decision_loop import Turn
from edge.runtime.recording.outbox import Outbox
from edge.runtime.recording.overlay import Painter
from edge.runtime.recording.run_report import Recording
from firmware_bridge.errors import DeviceFault, UsageError

_QUEUED_TURNS = 8
_CLOSE_WITHIN_S = 30.0


class AnnotatedVideo:
    """One recording.

    Raises:
        UsageError: `path` cannot become an .mp4 file.
    """

    def __init__(self, path: Path, painter: Painter, *, fps: float) -> None:
        _require_writable(path)
        self._path = path
        self._fps = fps
        self._painter = painter
        self._files = contextlib.ExitStack()
        self._writer: Any = None
        self._shown: tuple[int, BgrImage] | None = None
        self._temporary: Path | None = None
        self._start_ns = 0
        self._size = (0, 0)
        self._frames = 0
        self._outbox: Outbox[Turn] = Outbox(self._write, capacity=_QUEUED_TURNS, name="recording")

    def on_frame(self, turn: Turn) -> None:
        """Takes a turn that has a new frame; never waits."""
        self._outbox.put(turn)

    def close(self) -> Recording | None:
        """Finishes the file; None where there was no frame, and so no file.

        Raises:
            DeviceFault, OSError: the file could not be written; none is left behind.
        """
        with self._files:  # on an error below, the unfinished file is removed
            try:
                self._outbox.close(timeout_s=_CLOSE_WITHIN_S)
                if self._shown is not None:
                    self._append(self._shown[1])
            finally:
                if self._writer is not None:
                    self._writer.release()
            if self._shown is not None and self._temporary is not None:
                image = self._shown[1]
                verify_written(self._temporary, self._path, total=self._frames, last=image)
        if self._shown is None:
            return None
        return Recording(str(self._path), self._frames, self._outbox.left_out)

    def _write(self, turn: Turn) -> None:
        assert turn.result is not None
        image, captured_ns = self._painter.draw(turn), turn.result.frame.captured_ns
        if self._writer is None:
            self._open(image)
        if image.shape[1::-1] != self._size:  # a clip may change its size; a recording cannot
            image = np.asarray(quiet_opencv().resize(image, self._size), np.uint8)
        if self._shown is None:
            self._start_ns = captured_ns
        place = round((captured_ns - self._start_ns) * self._fps / 1e9)
        if self._shown is not None:
            for _ in range(place - self._shown[0]):
                self._append(self._shown[1])
        self._shown = (place, image)

    def _append(self, image: BgrImage) -> None:
        self._writer.write(image)
        self._frames += 1

    def _open(self, image: BgrImage) -> None:
        cv2 = quiet_opencv()
        self._temporary = self._files.enter_context(replacing(self._path))
        height, width = image.shape[:2]
        self._size = (width, height)
        code = cv2.VideoWriter_fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._temporary), code, self._fps, (width, height))
        if not self._writer.isOpened():
            raise DeviceFault(
                f"cannot write the video {self._path}",
                expected="an OpenCV that encodes mp4",
                found=f"it refuses {width}x{height} at {self._fps:g} frames a second",
                remedy=f"{pip_install('camera')}; or run without --video",
            )


def _require_writable(path: Path) -> None:
    if path.suffix.lower() != ".mp4":
        raise UsageError(
            f"cannot record to {path}",
            expected="a file name that ends in .mp4",
            found=path.suffix or "no suffix",
            remedy=f"--video {path.with_suffix('.mp4')}",
        )
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise UsageError(
            f"cannot record to {path}",
            expected="a file name in a folder that can be written",
            found="a folder of that name" if path.is_dir() else f"{folder} cannot be written",
            remedy="correct --video",
        )
