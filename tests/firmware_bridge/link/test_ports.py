"""Why a port cannot be opened is said in one message; its later faults have types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.errors import DeviceFault
from firmware_bridge.link.line_speed import line_speed
from firmware_bridge.link.ports import PortLost, QueueingPort, SerialPort, WriteTimeout, memory_pair

HOLDER = """
import sys, serial
port = serial.Serial(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


def open_port(path: str | Path, *, baud: int = 115200) -> SerialPort:
    return SerialPort(str(path), baud=baud, read_timeout_ms=20, write_timeout_ms=20)


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """A pseudo terminal that nobody reads: (its other end, its path)."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def fill(port: SerialPort) -> int:
    """Write until the port takes no more; how many bytes it took."""
    taken = 0
    while True:
        try:
            port.write(bytes(1000))
        except WriteTimeout as timeout:
            return taken + timeout.written
        taken += 1000


@pytest.mark.parametrize("baud", [9600, 57600, 115200, 250_000, 1_000_000])
def test_the_rate_is_set_and_read_back(terminal: tuple[int, str], baud: int) -> None:
    port = open_port(terminal[1], baud=baud)
    assert line_speed(terminal[0]) == (baud, baud)
    port.check_baud()
    port.close()


@pytest.mark.requirement("R-LINK-47")
def test_a_device_that_works_at_another_rate_is_refused(terminal: tuple[int, str]) -> None:
    port = open_port(terminal[1], baud=57600)
    with serial.Serial(terminal[1], 58000):
        port.check_baud()  # within what a receiver bears
    with serial.Serial(terminal[1], 38400), pytest.raises(DeviceFault) as refused:
        port.check_baud()
    assert "does not work at 57600 baud" in refused.value.what
    assert refused.value.found == "38400 baud"
    assert "link.baud" in refused.value.remedy
    port.close()


@pytest.mark.parametrize("baud", [-1, 2**31, 2**40])
def test_a_rate_that_no_device_has_is_refused_as_such(terminal: tuple[int, str], baud: int) -> None:
    with pytest.raises(DeviceFault, match=f"does not work at {baud} baud"):
        open_port(terminal[1], baud=baud)
    open_port(terminal[1]).close()  # it was let go of


def test_how_much_of_a_write_got_out_is_known(terminal: tuple[int, str]) -> None:
    port = open_port(terminal[1])
    taken = fill(port)
    arrived = 0
    os.set_blocking(terminal[0], False)
    with pytest.raises(BlockingIOError):  # noqa: PT012 - until it is empty
        while True:
            arrived += len(os.read(terminal[0], 4096))
    assert arrived == taken
    port.close()


def test_a_port_that_takes_no_bytes_says_so_and_says_when_it_does_again(
    terminal: tuple[int, str],
) -> None:
    port = open_port(terminal[1])
    assert isinstance(port, QueueingPort)
    assert port.backs_up() is None
    fill(port)
    assert port.backs_up() == "the port takes no more bytes"
    while select.select([terminal[0]], [], [], 0.0)[0]:
        os.read(terminal[0], 4096)
    assert port.backs_up() is None
    taken = fill(port)
    port.close()  # what nobody takes is thrown away; the kernel would wait for it
    arrived = 0
    while select.select([terminal[0]], [], [], 0.0)[0]:
        arrived += len(os.read(terminal[0], 4096))
    assert arrived < taken / 2


def test_a_writer_held_up_for_long_has_written_what_it_wrote(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is away for longer than the write timeout right after the bytes went out."""
    real_write = os.write

    def away(descriptor: int, data: bytes) -> int:
        written = real_write(descriptor, data)
        time.sleep(0.05)
        return written

    port = open_port(terminal[1])
    monkeypatch.setattr(os, "write", away)
    for _ in range(5):
        port.write(b"0123456789")
    monkeypatch.undo()
    assert os.read(terminal[0], 4096) == b"0123456789" * 5
    port.close()


def test_a_write_waits_for_room_as_long_as_it_may(terminal: tuple[int, str]) -> None:
    port = SerialPort(terminal[1], baud=115200, read_timeout_ms=20, write_timeout_ms=20_000)
    taken = threading.Event()

    def take() -> None:
        while not taken.is_set():
            if select.select([terminal[0]], [], [], 0.05)[0]:
                os.read(terminal[0], 4096)

    taker = threading.Timer(0.1, take)
    taker.start()
    port.write(bytes(200_000))
    taken.set()
    taker.join()
    port.close()


def test_what_came_before_the_port_was_opened_is_not_read(terminal: tuple[int, str]) -> None:
    os.write(terminal[0], b"of another time")
    port = open_port(terminal[1])
    assert port.read() == b""
    os.write(terminal[0], b"now")
    assert port.read() == b"now"
    port.close()


def test_a_port_that_was_let_go_is_lost(terminal: tuple[int, str]) -> None:
    port = open_port(terminal[1])
    port.close()
    with pytest.raises(PortLost):
        port.write(b"x")
    with pytest.raises(PortLost):
        port.read()
    with pytest.raises(PortLost):
        port.backs_up()


@pytest.mark.requirement("R-LINK-46")
def test_a_queue_that_does_not_drain_backs_up_and_a_burst_does_not(
    terminal: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the kernel's count is made up: a pseudo terminal has none."""
    waiting = [400]
    monkeypatch.setattr(serial.Serial, "out_waiting", property(lambda _: waiting[0]))
    port = open_port(terminal[1])
    assert port.backs_up() is None
    time.sleep(0.04)
    assert port.backs_up() == "400 bytes wait to be sent"
    waiting[0] = 345  # what the line carries in 30 ms
    assert port.backs_up() is None
    waiting[0] = 346
    assert port.backs_up() is None
    time.sleep(0.04)
    assert port.backs_up() == "346 bytes wait to be sent"
    port.close()


def test_a_port_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DeviceFault, match="does not exist") as refused:
        open_port(tmp_path / "ttyUSB0")
    assert "ls /dev/serial/by-id" in refused.value.remedy
    assert refused.value.exit_code == 5


def test_a_regular_file_a_folder_and_a_device_that_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a port")
    for path in (tmp_path / "notes.txt", tmp_path, Path("/dev/null")):
        with pytest.raises(DeviceFault, match="is not a serial port"):
            open_port(path)
    assert (tmp_path / "notes.txt").read_text() == "not a port"


def test_a_port_held_by_another_program(firmware: HostFirmware) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, firmware.port],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DeviceFault, match="held by another program") as refused:
            open_port(firmware.port)
        assert f"fuser -v {firmware.port}" in refused.value.remedy
        holder.communicate("")
    open_port(firmware.port).close()


def test_a_port_without_permission(firmware: HostFirmware) -> None:
    Path(firmware.port).chmod(0o600)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            with pytest.raises(DeviceFault, match="may not be opened") as refused:
                open_port(firmware.port)
        finally:
            os.seteuid(0)
    else:
        Path(firmware.port).chmod(0)
        with pytest.raises(DeviceFault, match="may not be opened") as refused:
            open_port(firmware.port)
    assert "dialout" in refused.value.remedy


def test_reading_what_the_firmware_says_and_losing_it(firmware: HostFirmware) -> None:
    port = open_port(firmware.port)
    assert any(port.read() for _ in range(50))
    firmware.kill()
    with pytest.raises(PortLost):  # noqa: PT012 - bytes in flight may still be read before it
        for _ in range(200):
            port.read()
    with pytest.raises(PortLost):
        port.write(b"anybody there?")
    port.close()


def test_a_write_that_nobody_takes_ends_in_time(firmware: HostFirmware) -> None:
    port = open_port(firmware.port)
    firmware.control("freeze")
    slowest_s = 0.0
    with pytest.raises(WriteTimeout, match="20 ms"):  # noqa: PT012 - the buffer has to fill first
        for _ in range(1000):
            begun = time.monotonic()
            try:
                port.write(bytes(1024))
            finally:
                slowest_s = max(slowest_s, time.monotonic() - begun)
    assert slowest_s < 1.0
    port.close()


def test_the_memory_pair_carries_bytes_both_ways_and_can_be_unplugged() -> None:
    a, b = memory_pair(read_timeout_ms=10)
    a.write(b"to b")
    b.write(b"to a")
    assert (a.read(), b.read()) == (b"to a", b"to b")
    assert a.read() == b""
    threading.Timer(0.05, b.close).start()
    with pytest.raises(PortLost):  # noqa: PT012 - it is unplugged in the midst of reading
        for _ in range(500):
            a.read()
    with pytest.raises(PortLost):
        a.write(b"x")
