"""What stands in the way of a port is said plainly; what happens to it later is told by type."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from firmware_bridge.emulator import HostFirmware
from firmware_bridge.errors import DeviceFault
from firmware_bridge.ports import PortLost, SerialPort, WriteTimeout, memory_pair

HOLDER = """
import sys, serial
port = serial.Serial(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


def open_port(path: str | Path) -> SerialPort:
    return SerialPort(str(path), baud=115200, read_timeout_ms=20, write_timeout_ms=20)


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
    assert port.read()
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
