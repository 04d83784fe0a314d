"""Runs the firmware as a child process that answers on a pty as a board does on its serial port.

`HostFirmware` builds and starts the program, gives the path of its port, and turns the lines that
it prints into `McuRecord` values. Never uses the port itself: that is the caller's.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from firmware_bridge.emulation.build import build_firmware, default_build_folder
from firmware_bridge.errors import DeviceFault
from firmware_bridge.protocol.codec import fault_names
from firmware_bridge.protocol.messages import Action

__all__ = ["HostFirmware", "McuRecord", "default_build_folder"]

START_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class McuRecord:
    """What the microcontroller reports that it applies from `tick_ms` of its own clock on."""

    tick_ms: int
    action: Action
    latched: bool
    ceiling_mps: float
    deceleration_mps2: float
    speed_mps: float
    standstill: bool
    faults: tuple[str, ...]


class HostFirmware:
    """The firmware as a child process: a context manager.

    Args:
        build_folder: where built programs are kept.
        target: `host`, or `host-sanitized` to run it under ASan and UBSan.
        progress: called with a sentence before a step that takes long.
    """

    def __init__(
        self,
        *,
        build_folder: Path,
        target: str = "host",
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self._build_folder = build_folder
        self._target = target
        self._progress = progress or (lambda _text: None)
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._first_line: queue.Queue[str] = queue.Queue()
        self._records: list[McuRecord] = []
        self._complaints: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._port = ""

    @property
    def port(self) -> str:
        """Path of the pty's slave, to be opened like a serial port."""
        return self._port

    @property
    def pid(self) -> int:
        """Process id of the running firmware."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> HostFirmware:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Build if needed and start. Raises Missing or DeviceFault."""
        self._progress("building the firmware for this computer")
        program = build_firmware(self._build_folder, target=self._target)
        self._process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,  # Ctrl-C ends the daemon, not the microcontroller
        )
        self._readers = [
            threading.Thread(target=self._read_records, name="mcu-records", daemon=True),
            threading.Thread(target=self._read_complaints, name="mcu-complaints", daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        try:
            self._port = self._first_line.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            self._port = ""
        if not self._port:
            self.stop()
            raise DeviceFault(
                "the firmware process did not start",
                expected="the path of its pseudo terminal",
                found=self.complaints or "nothing",
                remedy="check that /dev/ptmx and /dev/pts are there and may be used",
            )

    def stop(self) -> None:
        """End the process and wait for it. Safe to call twice."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()  # the firmware ends when its stdin does
        try:
            process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def check(self) -> None:
        """Raises DeviceFault when the process is gone."""
        self._running()

    def kill(self) -> None:
        """End the process by SIGKILL, as a power cut ends a board."""
        process = self._running()
        process.kill()
        process.wait()

    def control(self, line: str) -> None:
        """One instruction to the world around the microcontroller, such as `speed 20.0`.

        The list is in docs/link.md. Raises DeviceFault when the process is gone.
        """
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def records(self) -> tuple[McuRecord, ...]:
        """All records so far of what the microcontroller applied, oldest first."""
        with self._changed:
            return tuple(self._records)

    def report(self) -> McuRecord:
        """What the microcontroller applies now; without asking, it records changes only.

        Raises DeviceFault when the process is gone or does not answer.
        """
        count_before = len(self.records())
        self.control("report")
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or len(self._records) > count_before, START_TIMEOUT_S
            )
            if len(self._records) > count_before:
                return self._records[-1]
        raise self._gone()

    def wait_for(self, wanted: Callable[[McuRecord], bool], *, timeout_s: float) -> McuRecord:
        """The first record, past or coming, for which `wanted` is true.

        Raises DeviceFault when none comes within `timeout_s`.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or any(map(wanted, self._records)), timeout_s
            )
            for record in self._records:
                if wanted(record):
                    return record
            last = self._records[-1] if self._records else None
            ended = self._ended
        if ended:
            raise self._gone()
        raise DeviceFault(
            f"the microcontroller did not come to the expected state within {timeout_s:g} s",
            expected="a record that fits",
            found=str(last),
            remedy="look at its records",
        )

    @property
    def complaints(self) -> str:
        """The process's stderr: sanitizer reports, instructions that it did not understand."""
        with self._changed:
            return "".join(self._complaints)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            raise self._gone()
        return self._process

    def _gone(self) -> DeviceFault:
        code = self._process.poll() if self._process is not None else None
        return DeviceFault(
            "the firmware process is not running",
            expected="a running process",
            found=f"exit status {code} {self.complaints[-2000:]}",
            remedy="start it again",
        )

    def _read_records(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        self._first_line.put(process.stdout.readline().strip())
        for line in process.stdout:
            with self._changed:
                try:
                    self._records.append(parse_record(line))
                except (ValueError, KeyError):
                    self._complaints.append(f"a record that is none: {line!r}\n")
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_complaints(self) -> None:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        for line in process.stderr:
            with self._changed:
                self._complaints.append(line)


def parse_record(line: str) -> McuRecord:
    """The record in one line of the host process's stdout. Raises ValueError, KeyError."""
    fields = {key: int(value) for key, value in (word.split("=") for word in line.split())}
    return McuRecord(
        tick_ms=fields["tick_ms"],
        action=Action(fields["action"]),
        latched=bool(fields["latched"]),
        ceiling_mps=fields["ceiling_cmps"] / 100,
        deceleration_mps2=fields["deceleration_cmps2"] / 100,
        speed_mps=fields["speed_cmps"] / 100,
        standstill=bool(fields["standstill"]),
        faults=tuple(n for bit, n in enumerate(fault_names()) if fields["faults"] >> bit & 1),
    )
