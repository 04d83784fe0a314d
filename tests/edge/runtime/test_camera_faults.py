"""Whole runs on a network camera that fails in every way, down to what the firmware applies.

The camera is a real RTSP server, the vehicle the real firmware as a process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cameras.gstreamer_here import needs_gstreamer
from cameras.rtsp_server import NetworkCamera
from tiny_road import chosen, tiny_mission, write_network

from edge.contract.mission.schema import Mission
from edge.runtime.daemon import run
from edge.runtime.recording.events import RunEvent
from edge.runtime.recording.run_report import RunReport
from firmware_bridge.emulation.host_process import HostFirmware
from firmware_bridge.link.driver import LinkDriver
from firmware_bridge.protocol.messages import Action

pytestmark = needs_gstreamer

FPS = 10
SECRET = "geheim"


@pytest.fixture
def mission(root: Path) -> Mission:
    """Slow enough in its demands that a busy test machine is not what fails."""
    return tiny_mission(
        root,
        camera={"width_px": 128, "height_px": 128, "fps": float(FPS)},
        budget={"infer_ms": 300.0, "end_to_end_ms": 400.0},
        link={"acknowledge_within_ms": 500},
        policy={
            "rules": [
                {
                    "name": "pedestrian",
                    "why": "a person cannot be passed",
                    "when": {"label": "pedestrian", "confidence": 0.5, "zone": "corridor"},
                    "confirm": {"k": 1, "of": 1},
                    "action": "COMFORT_STOP",
                    "deceleration_mps2": 2.0,
                    "clear": "standstill",
                    "hold_ms": 0,
                }
            ]
        },
    )


class Drive:
    """A run on a thread, and what the firmware applies meanwhile."""

    def __init__(self, mission: Mission, network: Path, link: LinkDriver, source: str) -> None:
        self.texts: list[str] = []
        self.faults: list[str] = []
        self._applied = Action.COMFORT_STOP
        self._changed = threading.Condition()
        self._until = threading.Event()
        self._reports: list[RunReport] = []
        self._thread = threading.Thread(
            target=lambda: self._reports.append(
                run(
                    mission,
                    source=source,
                    model=chosen(network),
                    link=link,
                    on_event=self._listen,
                    until=self._until,
                )
            )
        )
        self._thread.start()

    def _listen(self, event: RunEvent) -> None:
        self.texts.append(event.text)
        with self._changed:
            if event.kind == "effective":
                self._applied = Action[event.values["action"]]
            if event.kind == "fault":
                self.faults.append(f"{event.values['kind']}: {event.values['text']}")
            self._changed.notify_all()

    def wait_until_it(self, does: Callable[[Action], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: does(self._applied), 60.0), self.texts

    def moves(self) -> None:
        self.wait_until_it(lambda applied: applied == Action.NONE)

    def stops(self) -> None:
        self.wait_until_it(lambda applied: applied == Action.COMFORT_STOP)

    def says(self, fault: str) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: any(fault in one for one in self.faults), 60.0)
            assert found, self.faults

    def end(self) -> RunReport:
        self._until.set()
        self._thread.join(60.0)
        assert self._reports, "the run did not end"
        return self._reports[0]


@pytest.mark.requirement("R-RUN-7", "R-RUN-130", "R-RUN-133", "R-RUN-135")
def test_a_network_camera_that_is_killed_hangs_and_comes_back_stops_and_releases_the_vehicle(
    mission: Mission, link: LinkDriver, mcu: HostFirmware, tmp_path: Path
) -> None:
    network = write_network(tmp_path / "tiny.onnx")
    with NetworkCamera(fps=FPS, account=f"joe:{SECRET}") as camera:
        drive = Drive(mission, network, link, camera.url.replace("//", f"//joe:{SECRET}@"))
        drive.moves()
        camera.kill()
        drive.stops()
        drive.says("camera gone")
        camera.start()
        drive.moves()
        camera.stop()
        drive.stops()
        drive.says("delivers no frame within 2 s")
        camera.go_on()
        drive.moves()
        report = drive.end()
    assert report.exit_code == 0, report.faults
    assert {fault.kind for fault in report.faults} >= {"camera gone"}
    assert report.source.kind == "rtsp"
    times = report.payload()["capture_times"]
    assert times["pipeline"]["uncertainty_ms"] is None
    assert sum(row["frames"] for row in times.values()) <= report.frames.captured
    everything = "".join(drive.texts) + str(report.to_json())
    assert SECRET not in everything
    assert camera.url in everything


@pytest.mark.requirement("R-RUN-7", "R-RUN-70")
def test_a_camera_that_comes_back_with_another_size_keeps_the_vehicle_stopped(
    mission: Mission, link: LinkDriver, mcu: HostFirmware, tmp_path: Path
) -> None:
    network = write_network(tmp_path / "tiny.onnx")
    with NetworkCamera(fps=FPS) as camera:
        drive = Drive(mission, network, link, camera.url)
        drive.moves()
        camera.kill()
        camera.start(size=(96, 64))
        drive.stops()
        drive.says("96 x 64 pixels at 10 frames a second")
        report = drive.end()
    assert [row.action for row in report.effective][-1] == Action.COMFORT_STOP
    assert report.effective[-1].latched
    assert report.exit_code == 5
    assert report.faults[-1].kind == "camera gone at the end"
