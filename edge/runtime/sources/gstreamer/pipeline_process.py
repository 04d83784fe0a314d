"""Runs a pipeline in a process of its own, which can be killed where a plug-in or driver hangs.

In: recipes. Out: the process's messages, each within a deadline. The pipeline goes through stdin,
since everybody may read the arguments of a process and a pipeline may hold a password. The process
ends with this one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.runtime.sources.gstreamer import messages
from edge.runtime.sources.gstreamer.messages import BadMessage, Header
from edge.runtime.sources.gstreamer.pipelines import Recipe
from edge.runtime.sources.source import Pause
from firmware_bridge.errors import DeviceFault

COMMAND = "import sys; sys.path[:] = sys.argv.pop().split('\\n'); " + (
    "from edge.runtime.sources.gstreamer.child_process import main; main()"
)
"""Finds this program where this process found it, whatever lies in the working folder."""

_SLICE_S = 0.1
_STOP_WITHIN_S = 1.5
_KILLED_WITHIN_S = 1.0
_WORDS_KEPT = 4096
_PIPE_BYTES = 1 << 20  # the most that Linux gives without privileges
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which the module fcntl names on Linux only


class ProcessEnded(Exception):
    """The process is over without a last message: it crashed or was killed."""


@dataclass(frozen=True)
class Message:
    """A whole message; `content` is (length,) uint8."""

    header: Header
    content: NDArray[np.uint8]

    @property
    def values(self) -> dict[str, Any]:
        """The content of all but a picture."""
        values: dict[str, Any] = json.loads(self.content.tobytes())
        return values


class PipelineProcess:
    """The process. Used by one thread at a time."""

    def __init__(self, recipes: Sequence[Recipe]) -> None:
        """Starts it. Raises DeviceFault where this system cannot."""
        frames, frames_in = os.pipe()
        words, words_in = os.pipe()
        places = "\n".join(str(Path(place).absolute()) for place in sys.path if place)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, str(frames_in), places],
                stdin=subprocess.PIPE,
                stdout=words_in,
                stderr=words_in,
                pass_fds=(frames_in,),
                start_new_session=True,  # Ctrl-C is for the daemon
            )
        except OSError as error:
            os.close(frames)
            os.close(words)
            raise DeviceFault(
                "a pipeline runs in a process of its own, which cannot be started",
                expected="a system that lets Python start another process",
                found=str(error),
                remedy="free memory or processes and run the same command again",
            ) from error
        finally:
            os.close(frames_in)
            os.close(words_in)
        for end in (frames, words):
            os.set_blocking(end, False)
        with contextlib.suppress(OSError):  # slower, not wrong, where a limit forbids it
            fcntl.fcntl(frames, _SET_PIPE_SIZE, _PIPE_BYTES)
        self._frames, self._words_end = frames, words
        self._poll = select.poll()
        self._poll.register(frames, select.POLLIN)
        self._poll.register(words, select.POLLIN)
        self._words, self._silent = b"", False
        self._header, self._got = bytearray(messages.SIZE), 0
        self._open_header: Header | None = None
        self._content: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._closed = False
        request = {"recipes": [vars(one) for one in recipes]}
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end says why
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def next(self, *, within_s: float, pause: Pause) -> Message | None:
        """The next message, or None where none is whole in time or the run is to end.

        Raises:
            ProcessEnded: there will be none.
        """
        ends_s = time.monotonic() + within_s
        while True:
            message = self._receive()
            if message is not None:
                return message
            left_s = ends_s - time.monotonic()
            if left_s <= 0.0 or pause(0.0):
                return None
            for end, _ in self._poll.poll(1e3 * min(left_s, _SLICE_S)):
                if end == self._words_end:
                    self._listen()

    def close(self) -> None:
        """Ends it: asks it to free the camera, and kills it where that takes too long."""
        if self._closed:
            return
        self._closed = True
        assert self._process.stdin is not None
        os.close(self._frames)  # it may be writing
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            # One that waits in the kernel for a driver outlives even this.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_KILLED_WITHIN_S)
        os.close(self._words_end)

    def _receive(self) -> Message | None:
        """What is there of the next message; itself where it is whole."""
        if self._open_header is None:
            self._got += self._read_into(memoryview(self._header)[self._got :])
            if self._got < messages.SIZE:
                return None
            try:
                self._open_header = Header.unpack(self._header)
            except BadMessage as error:
                raise ProcessEnded(str(error)) from error
            self._content, self._got = np.empty(self._open_header.length, np.uint8), 0
        while self._got < self._open_header.length:
            read = self._read_into(self._content.data[self._got :])
            if read == 0:
                return None
            self._got += read
        message = Message(self._open_header, self._content)
        self._open_header, self._got = None, 0
        return message

    def _read_into(self, place: memoryview) -> int:
        try:
            read = os.readv(self._frames, [place])
        except BlockingIOError:
            return 0
        if read == 0:
            raise ProcessEnded(self._how_it_ended())
        return read

    def _listen(self) -> None:
        """Keeps the last of what the process prints."""
        with contextlib.suppress(BlockingIOError):
            heard = os.read(self._words_end, _WORDS_KEPT)
            self._words = (self._words + heard)[-_WORDS_KEPT:]
            if not heard and not self._silent:
                self._silent = True  # for good, and poll would tell so for ever
                self._poll.unregister(self._words_end)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_KILLED_WITHIN_S)
        except subprocess.TimeoutExpired:
            return "its process sends nothing any more"
        self._listen()
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        last = self._words.decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"its process ended with {how}", *last])
