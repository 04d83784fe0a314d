"""First light on real input: a real detector on a real clip leads to a safety action, and a killed
daemon leads to a stop. Everything runs through the command line and the firmware process.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from edge.contract.artifact import read_json
from firmware_bridge.emulation.host_process import HostFirmware, McuRecord, default_build_folder
from firmware_bridge.protocol.messages import Action

SPEED_MPS = 25.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "edge.cli", *arguments]


@pytest.fixture(scope="module")
def mission(root: Path, shared_data: Path) -> list[str]:
    """The example with the real files, and few frames: the suite has fifteen minutes."""
    settings = {
        "model.file": shared_data / "detectors" / "yolox_nano.onnx",
        "data.root": shared_data / "road_scenes",
        "calibration.frames": 16,
        "calibration.held_back": 8,
        "precision.search": "none",  # tests/scripts/bench/test_bench_int8.py
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return [str(root / "examples" / "yolox_nano" / "mission.toml"), *sets]


@pytest.fixture(scope="module")
def converted(mission: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("yolox") / "out"
    done = subprocess.run(
        command("convert", *mission, "--out", str(out)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    report = read_json(out / "report.json", "brakepoint.report/2")
    failed = [gate for gate in report["gates"] if gate["passed"] is False]
    assert done.returncode == (1 if failed else 0), done.stderr
    return out


@pytest.fixture
def mcu() -> Iterator[HostFirmware]:
    with HostFirmware(build_folder=default_build_folder()) as firmware:
        yield firmware


def wait_for(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def start(mission: list[str], converted: Path, shared_data: Path, mcu: HostFirmware, *more: str):  # type: ignore[no-untyped-def] # a Popen of text
    """A daemon on the clip, and the vehicle at speed once it has taken over."""
    clip = shared_data / "video" / "day_highway.mp4"
    arguments = ["--source", str(clip), "--from", str(converted), "--port", mcu.port, *more]
    daemon = subprocess.Popen(
        command("run", *mission, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        lambda: daemon.poll() is not None or mcu.report().action < Action.SLOW_DOWN,
        seconds=60,
        what="the daemon never took over",
    )
    if daemon.poll() is not None:
        pytest.fail(f"the daemon ended: {daemon.communicate()[1]}")
    mcu.control(f"speed {SPEED_MPS:g}")
    return daemon


def test_int8_is_reported_as_it_is(converted: Path) -> None:
    """The report judges INT8 on held-back frames and does not pass it over in silence."""
    report = read_json(converted / "report.json", "brakepoint.report/2")
    gates: dict[str, Any] = {gate["name"]: gate for gate in report["gates"]}
    found = [gate for name, gate in gates.items() if "found" in name]
    assert found
    for gate in found:
        assert gate["passed"] is (gate["measured"] >= 0.90)
    for name in ("float.onnx", "int8.onnx", "cpu.onnx", "ranges.json"):
        assert (converted / name).stat().st_size > 1000


def test_a_car_ahead_caps_the_speed(
    mission: list[str], converted: Path, shared_data: Path, mcu: HostFirmware, tmp_path: Path
) -> None:
    video = tmp_path / "annotated.mp4"
    daemon = start(mission, converted, shared_data, mcu, "--json", "--video", str(video))
    output, errors = daemon.communicate(timeout=PATIENCE_S)
    assert daemon.returncode == 0, errors
    report = json.loads(output)
    cars = [track["seconds"] for track in report["tracks"] if track["label"] == "car"]
    assert max(cars) >= 3.0
    caps = [row for row in report["timeline"] if row["action"] == "CAP_SPEED"]
    assert any(row["commanded"] and row["acknowledged"] and row["effective"] for row in caps)
    assert any(entry["action"] == "CAP_SPEED" for entry in report["effective"])
    assert report["frames"]["captured"] == 221
    assert (
        report["frames"]["captured"] == report["frames"]["inferred"] + report["frames"]["dropped"]
    )
    assert report["commands"]["acknowledged"] > 100
    # The run ends with a stop; by then the cap has slowed the vehicle.
    ended = [record for record in mcu.records() if record.action == Action.COMFORT_STOP][-1]
    assert ended.speed_mps < SPEED_MPS - 1.0
    assert video.stat().st_size > 10_000


def test_a_killed_daemon_leads_to_a_stop(
    mission: list[str], converted: Path, shared_data: Path, mcu: HostFirmware
) -> None:
    daemon = start(mission, converted, shared_data, mcu)
    time.sleep(1.5)
    before = mcu.report()
    assert before.action < Action.SLOW_DOWN
    assert not before.standstill
    daemon.send_signal(signal.SIGKILL)
    daemon.communicate()

    def first(action: Action) -> McuRecord | None:
        later = [r for r in mcu.records() if r.tick_ms > before.tick_ms and r.action == action]
        return later[0] if later else None

    wait_for(lambda: first(Action.COMFORT_STOP) is not None, seconds=10, what="no stop by itself")
    slowed, stopped = first(Action.SLOW_DOWN), first(Action.COMFORT_STOP)
    assert slowed is not None
    assert stopped is not None
    # The time-to-live is at most 300 ms, the stop follows 1000 ms later, both counted from their
    # own instants on the microcontroller's tick. A shared machine may run the kill and the process
    # late, so either is seen late, and the time between them may look shorter.
    assert 0 < slowed.tick_ms - before.tick_ms <= 300 + 200
    assert 1000 - 200 <= stopped.tick_ms - slowed.tick_ms <= 1300
    wait_for(lambda: mcu.report().speed_mps < before.speed_mps - 2.0, seconds=20, what="no braking")
