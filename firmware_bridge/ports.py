"""The only file of the link that opens anything: serial ports, ptys, an in-memory pair for tests.

A failure to open is a DeviceFault with its remedy. A port that goes away later raises PortLost,
which the driver turns into a state; it never reaches a user as an exception.
"""

from __future__ import annotations

import contextlib
import errno
import stat
import termios
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import serial

from firmware_bridge.errors import DeviceFault

READ_MAX = 4096
# TypeError and ValueError: pyserial on a descriptor that has just gone; termios.error: likewise,
# and it is no OSError.
_FAILURES = (serial.SerialException, OSError, termios.error, TypeError, ValueError)


class PortLost(Exception):
    """The port was open and is no longer there."""


class WriteTimeout(Exception):
    """The bytes did not get out within the write timeout; some of them may have."""


class Port(Protocol):
    """A byte stream with timeouts on everything."""

    def read(self) -> bytes:
        """What has arrived, at least one byte, or b"" after the read timeout. Raises PortLost."""

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises WriteTimeout or PortLost."""

    def close(self) -> None:
        """Let go of the port. Never raises."""


PortOpener = Callable[[], Port]


class SerialPort:
    """A serial port or pty by path, locked against other programs while open."""

    def __init__(
        self, path: str, *, baud: int, read_timeout_ms: int, write_timeout_ms: int
    ) -> None:
        try:
            self._serial = serial.Serial(
                path,
                baudrate=baud,
                timeout=read_timeout_ms / 1000,
                write_timeout=write_timeout_ms / 1000,
                exclusive=True,
            )
        except _FAILURES as error:
            raise _cannot_open(path, error) from error
        with contextlib.suppress(*_FAILURES):
            self._serial.reset_input_buffer()

    def read(self) -> bytes:
        """See Port."""
        try:
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            waiting = min(self._serial.in_waiting, READ_MAX)
            return first + bytes(self._serial.read(waiting)) if waiting else first
        except _FAILURES as error:
            raise PortLost(f"reading failed: {error}") from error

    def write(self, data: bytes) -> None:
        """See Port."""
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise WriteTimeout(f"the port took no bytes for {self._timeout_text()}") from error
        except _FAILURES as error:
            raise PortLost(f"writing failed: {error}") from error

    def close(self) -> None:
        """See Port."""
        with contextlib.suppress(*_FAILURES):
            self._serial.close()

    def _timeout_text(self) -> str:
        return f"{(self._serial.write_timeout or 0) * 1000:.0f} ms"


def serial_opener(
    path: str, *, baud: int, read_timeout_ms: int, write_timeout_ms: int
) -> PortOpener:
    """Opens the serial port at `path` when called. Raises DeviceFault then, with the remedy."""
    return lambda: SerialPort(
        path, baud=baud, read_timeout_ms=read_timeout_ms, write_timeout_ms=write_timeout_ms
    )


def _cannot_open(path: str, error: Exception) -> DeviceFault:
    """What stands in the way, found by its errno or, where pyserial hides that, by looking."""
    code = getattr(error, "errno", None)
    expected = "a serial port that this program may use alone"
    if code == errno.ENOENT:
        return DeviceFault(
            f"serial port {path} does not exist",
            expected=expected,
            found="no such file",
            remedy="plug the microcontroller in, or name the port it has: ls /dev/serial/by-id",
        )
    if code in (errno.EACCES, errno.EPERM):
        return DeviceFault(
            f"serial port {path} may not be opened",
            expected=expected,
            found="permission denied",
            remedy="join the group that owns it (sudo usermod -aG dialout $USER), then log in anew",
        )
    if code in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "exclusively lock" in str(error):
        return DeviceFault(
            f"serial port {path} is held by another program",
            expected=expected,
            found="locked",
            remedy=f"find and end the other program: fuser -v {path}",
        )
    with contextlib.suppress(OSError):
        if not stat.S_ISCHR(Path(path).stat().st_mode) or code == errno.ENOTTY or not code:
            return DeviceFault(
                f"{path} is not a serial port",
                expected=expected,
                found=f"a file that does not answer as one ({error})",
                remedy="name the microcontroller's port: ls /dev/serial/by-id",
            )
    return DeviceFault(
        f"serial port {path} cannot be opened",
        expected=expected,
        found=str(error),
        remedy="unplug the microcontroller and plug it in again, then look at: dmesg | tail",
    )


class MemoryPort:
    """One end of an in-memory pair; what one end writes the other reads."""

    def __init__(self, *, read_timeout_ms: int) -> None:
        self._timeout_s = read_timeout_ms / 1000
        self._arrived = bytearray()
        self._changed = threading.Condition()
        self._lost = False
        self.other: MemoryPort | None = None

    def read(self) -> bytes:
        """See Port."""
        with self._changed:
            self._changed.wait_for(lambda: self._arrived or self._lost, self._timeout_s)
            if self._lost:
                raise PortLost("unplugged")
            data = bytes(self._arrived[:READ_MAX])
            del self._arrived[:READ_MAX]
            return data

    def write(self, data: bytes) -> None:
        """See Port."""
        if self._lost or self.other is None:
            raise PortLost("unplugged")
        with self.other._changed:
            self.other._arrived += data
            self.other._changed.notify_all()

    def close(self) -> None:
        """Unplugs both ends."""
        for end in (self, self.other):
            if end is not None:
                with end._changed:
                    end._lost = True
                    end._changed.notify_all()


def memory_pair(*, read_timeout_ms: int) -> tuple[MemoryPort, MemoryPort]:
    """Two connected in-memory ports."""
    a = MemoryPort(read_timeout_ms=read_timeout_ms)
    b = MemoryPort(read_timeout_ms=read_timeout_ms)
    a.other, b.other = b, a
    return a, b
