"""Opens, reads and writes serial ports and ptys; an in-memory pair of ports for tests.

A failure to open is a DeviceFault with its remedy. A port that goes away later raises PortLost,
which the driver turns into a state of the link.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import serial

from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.line_speed import BAUD_TOLERANCE, line_speed
from firmware_bridge.link.port_faults import cannot_open, wrong_baud
from firmware_bridge.protocol.line_rate import BITS_PER_BYTE

READ_MAX = 4096
_ANY_BAUD = 9600
_QUEUE_S = 0.03
# TypeError, ValueError and termios.error (no OSError): pyserial on a descriptor that has just gone.
FAILURES = (serial.SerialException, OSError, termios.error, TypeError, ValueError)


class PortLost(Exception):
    """The port was open and is no longer there."""


class WriteTimeout(Exception):
    """Only the first `written` bytes were written within the write timeout."""

    def __init__(self, why: str, *, written: int = 0) -> None:
        super().__init__(why)
        self.written = written


class Port(Protocol):
    """A byte stream with timeouts on everything."""

    def read(self) -> bytes:
        """The bytes that have arrived, or b"" after the read timeout. Raises PortLost."""

    def write(self, data: bytes) -> None:
        """Write all of `data`. Raises WriteTimeout or PortLost."""

    def close(self) -> None:
        """Release the port. Never raises."""


@runtime_checkable
class QueueingPort(Protocol):
    """A port that knows whether its output queue empties."""

    def backs_up(self) -> str | None:
        """Why nothing should be written now; None where the queue empties. Never waits.

        Raises PortLost.
        """


PortOpener = Callable[[], Port]


class SerialPort:
    """A serial port or pty by path, locked against other programs while open.

    Raises DeviceFault where it cannot be opened or does not work at `baud`.
    """

    def __init__(
        self, path: str, *, baud: int, read_timeout_ms: int, write_timeout_ms: int
    ) -> None:
        self._path = path
        self._baud = baud
        self._write_timeout_s = write_timeout_ms / 1000
        self._full_since_s: float | None = None
        try:
            self._serial = serial.Serial(
                path,
                baudrate=_ANY_BAUD,
                timeout=read_timeout_ms / 1000,
                exclusive=True,
            )
        except FAILURES as error:
            raise cannot_open(path, error) from error
        try:
            self._set_baud()
            self.check_baud()
        except DeviceFault:
            self.close()
            raise
        with contextlib.suppress(*FAILURES):
            self._serial.reset_input_buffer()

    def check_baud(self) -> None:
        """Raises DeviceFault where the device works at another rate than `baud`."""
        try:
            rates = line_speed(self._serial.fileno())
        except FAILURES as error:
            raise cannot_open(self._path, error) from error
        for rate in rates:
            if abs(rate - self._baud) > BAUD_TOLERANCE * self._baud:
                raise wrong_baud(self._path, self._baud, f"{rate} baud")

    def read(self) -> bytes:
        """See Port."""
        try:
            first: bytes = self._serial.read(1)
            if not first:
                return b""
            waiting = min(self._serial.in_waiting, READ_MAX)
            return first + bytes(self._serial.read(waiting)) if waiting else first
        except FAILURES as error:
            raise PortLost(f"reading failed: {error}") from error

    def write(self, data: bytes) -> None:
        """See Port."""
        # Not pyserial's write(): that raises its timeout also where every byte was written, and
        # never says how many were.
        deadline_s = time.monotonic() + self._write_timeout_s
        written = 0
        try:
            descriptor = self._serial.fileno()
            while True:
                with contextlib.suppress(BlockingIOError):
                    written += os.write(descriptor, data[written:])
                if written == len(data):
                    return
                left_s = deadline_s - time.monotonic()
                if left_s <= 0.0:
                    break
                select.select([], [descriptor], [], left_s)
        except FAILURES as error:
            raise PortLost(f"writing failed: {error}") from error
        raise WriteTimeout(
            f"the port took {written} of {len(data)} bytes in"
            f" {1000 * self._write_timeout_s:.0f} ms",
            written=written,
        )

    def backs_up(self) -> str | None:
        """See QueueingPort. Drivers send in bursts: a queue that empties within 30 ms is fine."""
        try:
            descriptor = self._serial.fileno()
            if not select.select([], [descriptor], [], 0.0)[1]:
                return "the port takes no more bytes"
            waiting = self._serial.out_waiting
        except FAILURES as error:
            raise PortLost(f"the port does not answer: {error}") from error
        now_s = time.monotonic()
        if waiting <= self._baud / BITS_PER_BYTE * _QUEUE_S:
            self._full_since_s = None
        elif self._full_since_s is None:
            self._full_since_s = now_s
        elif now_s - self._full_since_s >= _QUEUE_S:
            return f"{waiting} bytes wait to be sent"
        return None

    def close(self) -> None:
        """See Port."""
        with contextlib.suppress(PortLost, *FAILURES):
            # The kernel would wait up to 30 s, by default, for queued bytes to leave.
            if self.backs_up() is not None or self._serial.out_waiting:
                self._serial.reset_output_buffer()
        with contextlib.suppress(*FAILURES):
            self._serial.close()

    def _set_baud(self) -> None:
        try:
            self._serial.baudrate = self._baud
        except (*FAILURES, OverflowError) as error:
            raise wrong_baud(self._path, self._baud, f"refused by the device: {error}") from error


def serial_opener(
    path: str, *, baud: int, read_timeout_ms: int, write_timeout_ms: int
) -> PortOpener:
    """A callable that opens the serial port at `path`, or raises DeviceFault with the remedy."""
    return lambda: SerialPort(
        path, baud=baud, read_timeout_ms=read_timeout_ms, write_timeout_ms=write_timeout_ms
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
