"""The firmware as a process: built once, ended with its owner, and its own death reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S

from firmware_bridge.emulation.build import build_firmware
from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
from firmware_bridge.errors import DeviceFault, Missing
from firmware_bridge.protocol.messages import Action


def test_boots_safe_and_says_so(firmware: HostFirmware) -> None:
    record = firmware.wait_for(lambda r: True, timeout_s=5)
    assert record.action is Action.COMFORT_STOP
    assert record.latched
    assert record.standstill
    assert "no_greeting" in record.faults
    assert Path(firmware.port).is_char_device()


def test_does_not_move_off_by_itself(firmware: HostFirmware) -> None:
    firmware.control("cruise 10")
    time.sleep(0.3)
    firmware.control("report")
    last = firmware.wait_for(lambda r: r.tick_ms > 250, timeout_s=5)
    assert last.speed_mps == 0.0
    assert last.standstill


def test_ends_with_its_owner(build_folder: Path, root: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from firmware_bridge.emulation.host_process import HostFirmware\n"
            "mcu = HostFirmware(build_folder=Path(sys.argv[1])); mcu.start()\n"
            "print(mcu.port, flush=True); time.sleep(60)",
            str(build_folder),
        ],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    port = Path(owner.stdout.readline().strip())
    assert port.exists()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 10
    while port.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not port.exists()


def test_its_death_is_noticed(build_folder: Path) -> None:
    with HostFirmware(build_folder=build_folder) as mcu:
        assert mcu.running
        mcu.kill()
        assert not mcu.running
        with pytest.raises(DeviceFault, match="not running"):
            mcu.control("speed 1")
        with pytest.raises(DeviceFault, match="not running"):
            mcu.wait_for(lambda r: r.action is Action.NONE, timeout_s=60)


def test_an_instruction_that_it_does_not_know_is_complained_about(build_folder: Path) -> None:
    with HostFirmware(build_folder=build_folder) as mcu:
        mcu.control("fly")
        deadline = time.monotonic() + 5
        while not mcu.complaints and time.monotonic() < deadline:
            time.sleep(0.01)
        assert mcu.complaints == "not understood: fly\n"
    mcu.stop()


@pytest.mark.parametrize("tool", ["make", "cc"])
def test_a_missing_tool_names_the_package(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in {"make", "cc"} - {tool}:
        (tmp_path / other).write_text("#!/bin/sh\n")
        (tmp_path / other).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=f"{tool} is not installed") as refused:
        build_firmware(tmp_path / "build")
    assert refused.value.remedy.startswith("apt-get install")


def test_two_programs_may_build_at_once(build_folder: Path, tmp_path: Path) -> None:
    built: list[Path] = []
    threads = [
        threading.Thread(target=lambda: built.append(build_firmware(tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(built)) == 1
    assert len(built) == 3
    before = built[0].stat().st_mtime_ns
    assert build_firmware(tmp_path).stat().st_mtime_ns == before
    assert not list(tmp_path.glob("*.unfinished"))


def test_a_folder_that_cannot_be_written_is_refused(build_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Missing, match="cannot be built in"):
        build_firmware(tmp_path / "file" / "builds")


def test_builds_go_to_the_users_cache() -> None:
    assert default_build_folder() == Path.home() / ".cache" / "brakepoint" / "firmware"


def test_the_verb_ends_with_code_5_when_the_firmware_dies(build_folder: Path, root: Path) -> None:
    del build_folder  # only skips where nothing can be built
    verb = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "firmware", "--seconds", "60"],
        cwd=root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert verb.stdout is not None
    assert verb.stdout.readline().startswith("/dev/")
    children = Path(f"/proc/{verb.pid}/task/{verb.pid}/children").read_text().split()
    (mcu,) = [pid for pid in children if "mcu" in Path(f"/proc/{pid}/comm").read_text()]
    os.kill(int(mcu), signal.SIGKILL)
    _, told = verb.communicate(timeout=PATIENCE_S)
    assert verb.returncode == 5
    assert "the firmware process is not running" in told
    assert "Traceback" not in told
