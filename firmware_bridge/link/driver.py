"""Runs the link on a port: a reader thread opens, reads and reconnects, the caller sends and asks.

Commands and heartbeats go in; facts and events come out. send() writes in the caller's thread under
the write timeout. A port lost in mid-run is a state in the facts, not an exception, and so is the
death of the reader. Never decides what to command.
"""

from __future__ import annotations

import secrets
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.deadlines import LinkTimes
from firmware_bridge.link.facts import LinkEvent, LinkFacts
from firmware_bridge.link.line_speed import BAUD
from firmware_bridge.link.ports import (
    Port,
    PortLost,
    PortOpener,
    QueueingPort,
    WriteTimeout,
    serial_opener,
)
from firmware_bridge.link.session import Link
from firmware_bridge.link.states import LinkInput, LinkState
from firmware_bridge.link.traffic import SILENCE
from firmware_bridge.protocol.messages import Heartbeat, SafetyCommand

_BACK_OFF_FIRST_S = 0.05
_BACK_OFF_MOST_S = 1.0
_LET_GO_WITHIN_S = 2.0


@dataclass(frozen=True, kw_only=True)
class SentCommand:
    """A command that was written. Its acknowledge will name `counter`."""

    counter: int
    sent_ns: int
    written_ns: int


class LinkDriver:
    """Keeps one link alive on one port.

    Args:
        port: path of a serial port or pty, or a callable that opens a Port (tests).
        baud: line speed, read back from the device; a pty stores it without using it.
        read_timeout_ms: how long the reader thread waits for bytes before it checks deadlines.
        write_timeout_ms: the longest that send() may take.
        times: the link's deadlines; `use_times` changes them.
        clock_ns: monotonic nanoseconds.
    """

    def __init__(
        self,
        port: str | PortOpener,
        *,
        baud: int = BAUD,
        read_timeout_ms: int = 20,
        write_timeout_ms: int = 20,
        times: LinkTimes | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._open: PortOpener = (
            serial_opener(
                port, baud=baud, read_timeout_ms=read_timeout_ms, write_timeout_ms=write_timeout_ms
            )
            if isinstance(port, str)
            else port
        )
        self._name = port if isinstance(port, str) else "port"
        self._clock_ns = clock_ns
        self._link = Link(secrets.randbelow(256), times=times or LinkTimes())
        self._port: Port | None = None
        self._state_lock = threading.Lock()  # the link's fields; never held across I/O
        self._write_lock = threading.Lock()  # order on the wire is the order of counters
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link-reader", daemon=True)

    def __enter__(self) -> LinkDriver:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Open the port and begin to greet. Raises DeviceFault when the port cannot be opened."""
        self._port = self._open()
        with self._state_lock:
            self._link.opened(self._clock_ns())
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and release the port. The microcontroller then stops by itself.

        Waits at most two seconds each for a blocked reader and a blocked writer.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_LET_GO_WITHIN_S)
        writer_is_out = self._write_lock.acquire(timeout=_LET_GO_WITHIN_S)
        try:
            with self._state_lock:
                port, self._port = self._port, None
                if port is not None:
                    self._link.closed(self._clock_ns())
            if port is not None:
                port.close()
        finally:
            if writer_is_out:
                self._write_lock.release()

    def use_times(self, times: LinkTimes) -> None:
        """Use other deadlines from now on: those of the mission that is run."""
        with self._state_lock:
            self._link.use_times(times)

    def wait_established(self, timeout_s: float) -> LinkFacts:
        """Wait until the microcontroller greets and agrees; returns the facts then.

        Raises DeviceFault when it disagrees or does not greet within `timeout_s`.
        """
        deadline_ns = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            facts = self.facts(self._clock_ns())
            if facts.state is LinkState.ESTABLISHED:
                return facts
            if facts.state is LinkState.REFUSED:
                raise DeviceFault(
                    f"the microcontroller at {self._name} was refused",
                    expected="firmware built from this contract and these limits",
                    found=facts.refusal or "",
                    remedy="flash the firmware that belongs to this version of brakepoint",
                )
            if not self._thread.is_alive():
                raise DeviceFault(
                    f"nobody reads the port {self._name} any more",
                    expected="a reader that goes on until it is told to end",
                    found=facts.first_fault or "no fault of the link",
                    remedy="start again, and report what was found: it is a defect of brakepoint",
                )
            if self._clock_ns() > deadline_ns:
                heard = facts.traffic or SILENCE
                fault = f" ({facts.first_fault})" if facts.first_fault else ""
                raise DeviceFault(
                    f"no microcontroller answered at {self._name}",
                    expected=f"its greeting within {timeout_s:g} s",
                    found=f"{heard.what}{fault}",
                    remedy=heard.remedy,
                )
            time.sleep(0.005)

    def send(self, command: SafetyCommand, heartbeat: Heartbeat) -> SentCommand | None:
        """Write heartbeat and command as one piece, within the write timeout.

        Returns None when they were not written (not ESTABLISHED, port busy or lost); the facts say
        why. Raises CodecError for values that the contract cannot carry.
        """
        if not self._write_lock.acquire(blocking=False):
            # The reader holds the lock to greet or to release the port: not established.
            with self._state_lock:
                self._link.unsent(self._clock_ns())
            return None
        try:
            return self._send(command, heartbeat)
        finally:
            self._write_lock.release()

    def _send(self, command: SafetyCommand, heartbeat: Heartbeat) -> SentCommand | None:
        sent_ns = self._clock_ns()
        port, full = self._port, None
        try:
            full = port.backs_up() if isinstance(port, QueueingPort) else None
        except PortLost as error:
            full = str(error)  # the reader will notice the loss, too
        with self._state_lock:
            if full is not None and self._link.state is LinkState.ESTABLISHED:
                self._link.held_back(sent_ns, full)
                return None
            packed = self._link.command(command, heartbeat, now_ns=sent_ns)
        if packed is None or port is None:
            return None
        counter, data = packed
        try:
            port.write(data)
        except (WriteTimeout, PortLost) as error:
            written = error.written if isinstance(error, WriteTimeout) else 0
            with self._state_lock:
                self._link.write_failed(counter, self._clock_ns(), str(error), begun=written > 0)
            return None
        with self._state_lock:
            self._link.written()
        return SentCommand(counter=counter, sent_ns=sent_ns, written_ns=self._clock_ns())

    def facts(self, now_ns: int) -> LinkFacts:
        """The link's facts at `now_ns`. Never waits for the port."""
        with self._state_lock:
            return self._link.facts(now_ns)

    def events(self, after: int = 0) -> tuple[LinkEvent, ...]:
        """Events newer than sequence number `after`, oldest first; the last 4096 are kept."""
        with self._state_lock:
            return self._link.events(after)

    def _run(self) -> None:
        try:
            self._read_and_reopen()
        except BaseException as error:  # noqa: BLE001 # the reader must not end without a fault
            place = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
            self._let_go(why, LinkInput.UNREAD)

    def _read_and_reopen(self) -> None:
        while not self._stopping.is_set():
            if self._port is None and not self._reopen():
                return
            assert self._port is not None
            try:
                self._greet_and_read(self._port)
            except PortLost as error:
                self._let_go(str(error))

    def _greet_and_read(self, port: Port) -> None:
        data = port.read()
        now_ns = self._clock_ns()
        with self._state_lock:
            if data:
                self._link.received(data, now_ns)
            greeting = self._link.wants_poll(now_ns)
            if not greeting:
                self._link.poll(now_ns)
        if not greeting:
            return
        with self._write_lock:
            full = port.backs_up() if isinstance(port, QueueingPort) else None
            with self._state_lock:
                hello = self._link.poll(now_ns)
            try:
                if full is not None:
                    raise WriteTimeout(full)
                if hello:
                    port.write(hello)
            except WriteTimeout as error:  # the next one follows in 100 ms
                with self._state_lock:
                    self._link.greeting_failed(
                        self._clock_ns(), str(error), begun=error.written > 0
                    )

    def _let_go(self, why: str, how: LinkInput = LinkInput.LOST) -> None:
        with self._state_lock:
            port, self._port = self._port, None
            self._link.lost(self._clock_ns(), why, how)
        # Under the write lock: a descriptor closed in mid-write may be another file's by then.
        with self._write_lock:
            if port is not None:
                port.close()

    def _reopen(self) -> bool:
        """Try with growing pauses until the port is back; False when the driver closes first."""
        pause_s = _BACK_OFF_FIRST_S
        while not self._stopping.wait(pause_s):
            try:
                port = self._open()
            except DeviceFault as error:
                pause_s = min(2 * pause_s, _BACK_OFF_MOST_S)
                with self._state_lock:
                    self._link.trouble(self._clock_ns(), f"{error.what}: {error.found}")
                continue
            with self._state_lock:
                self._port = port
                self._link.opened(self._clock_ns())
            return True
        return False
