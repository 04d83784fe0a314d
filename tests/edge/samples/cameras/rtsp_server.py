"""A network camera for tests: a real RTSP server that can be killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from cameras.gstreamer_here import rtsp_library

PROGRAM = Path(__file__).with_name("rtsp_program.py")


class NetworkCamera:
    """The server, as a context manager; `start` serves at the same port each time."""

    def __init__(
        self, *, size: tuple[int, int] = (128, 128), fps: int = 25, account: str = ""
    ) -> None:
        self._library = rtsp_library()
        self._fps, self._account = fps, account
        self._size, self._port = size, 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it serves, without the account."""
        return f"rtsp://127.0.0.1:{self._port}/front"

    def start(self, *, size: tuple[int, int] | None = None) -> None:
        """Serves a picture of this size; returns when it listens."""
        width, height = size or self._size
        arguments = (self._library, str(self._port), str(width), str(height), str(self._fps))
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments, self._account],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            assert self._process.stdout is not None
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def stop(self) -> None:
        """It hangs: its connections stay open and nothing comes."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """It works again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> NetworkCamera:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
