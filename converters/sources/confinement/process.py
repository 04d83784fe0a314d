"""Starts a confined process that loads an untrusted network file and answers requests about it.

It writes only a folder of its own, reads none of the user's files, and reaches no network. Requests
and answers are `Message`s. It ends with its parent. The file is never loaded in this process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from converters.sources.confinement.messages import Message, ProtocolError, receive, send
from edge.terminal import visible
from firmware_bridge import errors
from firmware_bridge.errors import DeviceFault, Refusal, UsageError

COMMAND = "import sys; sys.path[:] = sys.argv.pop().split('\\n'); " + (
    "from converters.sources.pytorch.confined_child import main; main()"
)
ENVIRONMENT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PATH")
"""Variables that the process gets; others may hold keys and passwords."""

MEMORY_SHARE = 0.75
"""Share of the machine's memory that the process may use."""

RIGHTS: Mapping[str, str] = {"files": "write your files", "network": "reach the network"}
"""Restriction that the process reports -> what it could do without it."""

LOG = logging.getLogger("brakepoint")
"""Without a handler, its warnings go to standard error."""

LIMIT_S: Mapping[str, float] = {
    "begin": 300.0,
    "load": 300.0,
    "pick": 60.0,
    "run": 600.0,
    "export": 3600.0,
    "trace": 3600.0,
    "values": 600.0,
    "try": 30.0,
}
"""Time limit of each request: only time tells an endless loop from a large network."""


class ConfinedProcess:
    """The process, its folder and its standard error. It ends when this object is collected.

    Attributes:
        path: the network's file, for messages.
        open: what this machine could not forbid it, in words; empty where it is fully confined.
    """

    def __init__(self, path: Path) -> None:
        """Starts it. Raises DeviceFault where it cannot start, UsageError where it ends at once."""
        self.path = path
        self._late: list[float] = []
        self._start()
        began = self.ask("begin", {}).values
        self.open = tuple(right for key, right in RIGHTS.items() if not began.get(key))
        if self.open:
            LOG.warning(
                "%s is loaded in a process that could %s: this system has neither Landlock nor a "
                "filter of system calls (docs/sources.md). Load only files whose origin you know.",
                visible(str(path)),
                " and ".join(self.open),
            )

    def ask(
        self,
        what: str,
        values: Mapping[str, Any],
        parts: Sequence[bytes] = (),
        arrays: Sequence[NDArray[Any]] = (),
    ) -> Message:
        """Sends a request and returns the answer of `converters.sources.pytorch.confined_child`.

        Args:
            what: a key of LIMIT_S; "begin" sends nothing and waits for the first message.

        Raises:
            Refusal: as the child raised it; UsageError where it ended, or exceeded LIMIT_S.
            RuntimeError: what the network itself raised.
        """
        message = None if what == "begin" else Message({"ask": what, **values}, parts, arrays)
        try:
            answer = self._exchange(message, LIMIT_S[what])
        except (ProtocolError, OSError) as error:
            raise self.ended(str(error)) from error
        if (refused := answer.values.get("refused")) is not None:
            raise _refusal(refused)
        if "failed" in answer.values:
            raise RuntimeError(str(answer.values["failed"]))
        return answer

    def ended(self, how: str) -> Refusal:
        """Ends the process; returns the refusal that says why."""
        last, late = self._last_words(), self._late
        self._close()
        return UsageError(
            f"the network in {self.path} cannot be run here",
            expected="a network that answers within its time and memory, and only computes",
            found=f"not done in {late[0]:.0f} s" if late else f"{how}{f': {last}' if last else ''}",
            remedy="close what else takes memory; if it stays so, export the network to ONNX "
            "without loops; do not load a file whose origin you do not know",
        )

    def _start(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="brakepoint-")
        own = Path(folder.name)
        words = tempfile.TemporaryFile()  # noqa: SIM115 # closed with the process
        environment = {key: os.environ[key] for key in ENVIRONMENT if key in os.environ}
        environment |= {"HOME": str(own), "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"CUDA_VISIBLE_DEVICES": "", "PYTHONIOENCODING": "utf-8"}
        memory = int(MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        places = "\n".join(str(Path(place).absolute()) for place in sys.path if place)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, str(own), str(memory), places],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                cwd=own,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent
            )
        except OSError as error:
            folder.cleanup()
            raise DeviceFault(
                f"{self.path} is loaded in a process of its own, which cannot be started",
                expected="a system that lets Python start another process",
                found=str(error),
                remedy="free memory or processes and run the same command again",
            ) from error
        self._words = words
        self._close = weakref.finalize(self, _end, self._process, folder, words)

    def _exchange(self, message: Message | None, limit_s: float) -> Message:
        """Sends a message (unless None) and waits for one. Raises ProtocolError, OSError."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._close.alive:
            raise ProtocolError("it ended before")

        # The timer must not keep this object alive: collecting it ends the process.
        timer = threading.Timer(limit_s, _kill, (self._process, self._late, limit_s))
        timer.daemon = True
        timer.start()
        try:
            if message is not None:
                send(self._process.stdin, message)  # type: ignore[arg-type] # a pipe of bytes
            return receive(self._process.stdout)  # type: ignore[arg-type] # the same
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        """The last line of its standard error, or the signal that ended it."""
        if not self._close.alive:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - 4096))
        lines = self._words.read().decode("utf-8", "replace").strip().splitlines()
        code = self._process.returncode
        return (lines or [f"signal {-code}" if code is not None and code < 0 else ""])[-1]


def _kill(process: subprocess.Popen[bytes], late: list[float], limit_s: float) -> None:
    late.append(limit_s)
    process.kill()


def _end(
    process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str], words: IO[bytes]
) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, words):
        if stream is not None:
            with contextlib.suppress(OSError):  # unsent bytes have no reader any more
                stream.close()
    folder.cleanup()


def _refusal(fields: Mapping[str, Any]) -> Refusal:
    kind = getattr(errors, str(fields.get("kind")), UsageError)
    known = isinstance(kind, type) and issubclass(kind, Refusal) and kind is not Refusal
    texts = {key: str(fields.get(key, "")) for key in ("expected", "found", "remedy")}
    refusal: type[Refusal] = kind if known else UsageError
    return refusal(str(fields.get("what", "")), **texts)
