"""What holds for a camera of any kind: proved at every opening, gone, opened again, never repeated.

The camera is a simulated driver behind Video4Linux; the capture thread is the real one.
"""

from __future__ import annotations

import errno
import itertools
import time
from pathlib import Path

import pytest
from cameras.simulated_driver import SimulatedDriver
from stepped_sources import CAMERA, SteppingClock

from edge.perception.values import Frame
from edge.runtime.loop.capture import CameraState, Capture, CapturedFrame
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.sources.camera import FRAME_WITHIN_S, CameraSource, declared_rate
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import CameraGone, Damaged, Reading, Skipped
from edge.runtime.sources.v4l2 import abi
from edge.runtime.sources.v4l2.v4l2_camera import V4l2Camera
from firmware_bridge.errors import DeviceFault


def source_of(driver: SimulatedDriver) -> CameraSource:
    clock = driver.clock
    address = V4l2Camera("/dev/video0", camera=CAMERA, clock=clock, kernel=driver)
    return CameraSource(address, camera=CAMERA, clock=clock)


def read(source: CameraSource, driver: SimulatedDriver) -> Reading:
    return source.read(driver.clock.pause)


class TestOpening:
    @pytest.mark.requirement("R-RUN-70")
    def test_size_and_rate_are_asked_for_at_every_opening(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        driver.fault[abi.VIDIOC_DQBUF] = errno.ENODEV
        assert isinstance(read(source, driver), CameraGone)
        driver.fault.clear()
        assert isinstance(read(source, driver), Frame)
        assert driver.opened == 2
        assert driver.modes == [("YUYV", 128, 128, 50.0)] * 2

    def test_a_camera_that_is_fast_enough_only_when_it_compresses_is_asked_to(self) -> None:
        driver = SimulatedDriver(SteppingClock(), rates={"YUYV": 10.0, "MJPG": 50.0})
        source = source_of(driver)
        assert [mode[0] for mode in driver.modes] == ["YUYV", "MJPG"]
        frame = read(source, driver)
        assert isinstance(frame, Frame)
        assert abs(int(frame.image.mean()) - 90) <= 1
        assert source.info.how == "pixel format MJPG"

    @pytest.mark.requirement("R-RUN-70")
    @pytest.mark.parametrize(
        ("size", "rates", "found"),
        [
            ((96, 64), {"YUYV": 50.0}, "96 x 64 pixels at 50 frames a second (YUYV)"),
            (
                None,
                {"YUYV": 10.0, "MJPG": 30.0},
                "128 x 128 pixels at 10 frames a second (YUYV); "
                "128 x 128 pixels at 30 frames a second (MJPG)",
            ),
        ],
    )
    def test_a_camera_that_answers_otherwise_is_refused(
        self, size: tuple[int, int] | None, rates: dict[str, float | None], found: str
    ) -> None:
        driver = SimulatedDriver(SteppingClock(), size=size, rates=rates)
        with pytest.raises(DeviceFault, match="not the one that the mission describes") as refused:
            source_of(driver)
        assert refused.value.expected == "128 x 128 pixels at 50 frames a second"
        assert refused.value.found == found
        assert "v4l2-ctl -d /dev/video0" in refused.value.remedy
        assert driver.opened == driver.closed == 1

    def test_a_driver_that_tells_no_rate_is_accepted(self) -> None:
        driver = SimulatedDriver(SteppingClock(), rates={"YUYV": None})
        assert isinstance(read(source_of(driver), driver), Frame)

    @pytest.mark.parametrize(
        ("fps", "rate"), [(25.0, "25"), (29.97, "30000/1001"), (59.94, "60000/1001"), (7.5, "15/2")]
    )
    def test_rates_are_asked_for_as_cameras_declare_them(self, fps: float, rate: str) -> None:
        assert str(declared_rate(fps)) == rate

    def test_frames_from_before_the_run_are_not_shown(self) -> None:
        """While the network is loaded the driver fills its buffers."""
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        for _ in range(10):
            driver.clock.pause(0.02)
            driver.film()
        driver.clock.pause(3.0)
        begun_ns = driver.clock.now_ns
        frame = read(source, driver)
        assert isinstance(frame, Frame)
        assert frame.captured_ns >= begun_ns

    @pytest.mark.parametrize("given", ["camera:97", "/dev/video97"])
    def test_one_that_is_not_there(self, given: str, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(DeviceFault, match="no camera at /dev/video97") as refused:
            open_source(given, CAMERA, time.monotonic_ns)
        assert "ls -l /dev/video*" in refused.value.remedy
        assert capfd.readouterr().err == ""

    def test_a_lasting_name_of_a_camera_is_the_camera(self, tmp_path: Path) -> None:
        """As in /dev/v4l/by-id; followed anew at each opening."""
        link = tmp_path / "usb-front-camera"
        link.symlink_to("/dev/video97")
        with pytest.raises(DeviceFault, match="no camera at") as refused:
            open_source(str(link), CAMERA, time.monotonic_ns)
        assert str(link) in refused.value.expected


class TestLossAndReturn:
    @pytest.mark.requirement("R-RUN-70")
    def test_one_that_comes_back_with_another_size_stays_gone(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        assert isinstance(read(source, driver), Frame)
        driver.fault[abi.VIDIOC_DQBUF] = errno.ENODEV
        assert isinstance(read(source, driver), CameraGone)
        driver.fault.clear()
        driver.size = (96, 64)
        for _ in range(3):
            gone = read(source, driver)
            assert isinstance(gone, CameraGone)
            assert "96 x 64" in gone.reason
        driver.size = None
        assert isinstance(read(source, driver), Frame)
        assert driver.opened == driver.closed + 1

    @pytest.mark.requirement("R-RUN-130")
    def test_one_that_delivers_nothing_is_gone_in_time(self) -> None:
        driver = SimulatedDriver(SteppingClock(), rates={"YUYV": None})
        source = source_of(driver)
        assert isinstance(read(source, driver), Frame)
        driver.frozen = True
        began_s = time.monotonic()
        gone = read(source, driver)
        assert gone == CameraGone(f"/dev/video0 delivers no frame within {FRAME_WITHIN_S:g} s")
        assert time.monotonic() - began_s >= FRAME_WITHIN_S

    @pytest.mark.requirement("R-RUN-130", "R-RUN-72")
    def test_a_driver_that_repeats_a_frame_shows_nothing_new_and_is_gone_in_time(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        first = read(source, driver)
        assert isinstance(first, Frame)
        driver.held_ns = first.captured_ns
        readings = [read(source, driver)]
        while not isinstance(readings[-1], CameraGone):
            readings.append(read(source, driver))
        assert all(isinstance(one, Skipped) for one in readings[:-1])
        assert [one.index for one in readings[:-1]] == list(range(1, len(readings)))
        assert (driver.clock.now_ns - first.captured_ns) / 1e9 == pytest.approx(2.0, abs=0.05)
        driver.held_ns = None
        back = read(source, driver)
        assert isinstance(back, Frame)
        assert back.index == len(readings) + 1  # the last repetition was a frame too

    @pytest.mark.requirement("R-RUN-72")
    def test_a_time_that_goes_back_is_skipped(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        readings = []
        for age_ms in (10, 40, 49.5, 9):
            driver.age_ns = round(age_ms * 1e6)
            readings.append(read(source, driver))
        assert [type(one) for one in readings] == [Frame, Skipped, Skipped, Frame]

    @pytest.mark.requirement("R-RUN-134")
    def test_a_damaged_frame_is_counted_and_not_shown(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        assert isinstance(read(source, driver), Frame)
        whole = driver.flags
        driver.flags = whole | abi.V4L2_BUF_FLAG_ERROR
        assert read(source, driver) == Damaged("the driver marks it as damaged", 1)
        driver.flags, driver.cut_bytes = whole, 100
        assert read(source, driver) == Damaged("32668 of 32768 bytes", 2)
        driver.cut_bytes = 0
        frame = read(source, driver)
        assert isinstance(frame, Frame)
        assert frame.index == 3

    @pytest.mark.requirement("R-RUN-130")
    def test_one_that_delivers_only_damage_is_gone_in_time(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        source = source_of(driver)
        assert isinstance(read(source, driver), Frame)
        driver.flags |= abi.V4L2_BUF_FLAG_ERROR
        readings = [read(source, driver) for _ in range(101)]
        assert [type(one) for one in readings] == [Damaged] * 99 + [CameraGone] * 2


class TestCaptureThread:
    def capture(
        self, driver: SimulatedDriver, faults: list[tuple[str, str]]
    ) -> tuple[Capture, Mailbox[CapturedFrame]]:
        mailbox: Mailbox[CapturedFrame] = Mailbox()
        return (
            Capture(
                source_of(driver),
                mailbox,
                clock=driver.clock,
                on_fault=lambda kind, text: faults.append((kind, text)),
            ),
            mailbox,
        )

    def wait_for(self, capture: Capture, state: CameraState, captured: int = 0) -> None:
        deadline_s = time.monotonic() + 60.0
        while capture.facts.camera is not state or capture.facts.captured < captured:
            assert time.monotonic() < deadline_s, capture.facts
            time.sleep(0.001)

    def test_unplugged_and_back(self) -> None:
        driver, faults = SimulatedDriver(SteppingClock()), []
        capture, _ = self.capture(driver, faults)
        capture.start()
        self.wait_for(capture, CameraState.LIVE, 3)
        driver.fault |= {0: errno.ENOENT, abi.VIDIOC_DQBUF: errno.ENODEV}
        while len(faults) < 2:
            time.sleep(0.001)
        before = capture.facts.captured
        driver.fault.clear()
        self.wait_for(capture, CameraState.LIVE, before + 3)
        capture.stop(timeout_s=10.0)
        assert {kind for kind, _ in faults} == {"camera gone"}
        assert [text for _, text in faults] == [
            "/dev/video0 fails: No such device",
            "no camera at /dev/video0: No such file or directory",
        ]
        assert capture.facts.camera is CameraState.ENDED
        assert not capture.crashed

    def test_a_camera_that_only_repeats_or_is_damaged_is_said_once(self) -> None:
        driver, faults = SimulatedDriver(SteppingClock()), []
        capture, _ = self.capture(driver, faults)
        driver.held_ns = driver.clock.now_ns
        capture.start()
        self.wait_for(capture, CameraState.LIVE, 20)
        newest_ns = capture.facts.newest_ns
        driver.flags |= abi.V4L2_BUF_FLAG_ERROR
        self.wait_for(capture, CameraState.GONE)
        capture.stop(timeout_s=10.0)
        assert [kind for kind, _ in faults] == ["frame times", "damaged frame", "camera gone"]
        assert newest_ns == capture.facts.newest_ns

    @pytest.mark.requirement("R-RUN-131")
    def test_one_that_is_gone_is_tried_again_ever_more_slowly(self) -> None:
        driver, faults = SimulatedDriver(SteppingClock()), []
        capture, _ = self.capture(driver, faults)
        driver.fault |= {0: errno.ENOENT, abi.VIDIOC_DQBUF: errno.ENODEV}
        capture.start()
        while len(driver.tried_s) < 6:  # the first time is that of the run's begin
            time.sleep(0.01)
        capture.stop(timeout_s=10.0)
        waited_s = [b - a for a, b in itertools.pairwise(driver.tried_s[1:])]
        assert all(
            waited >= back_off
            for waited, back_off in zip(waited_s, (0.2, 0.4, 0.8, 1.6), strict=False)
        )

    @pytest.mark.requirement("R-RUN-133")
    def test_the_origins_of_capture_times_are_counted_with_their_uncertainty(self) -> None:
        driver, faults = SimulatedDriver(SteppingClock()), []
        capture, _ = self.capture(driver, faults)
        capture.start()
        self.wait_for(capture, CameraState.LIVE, 3)
        exact = capture.stamps
        driver.flags = abi.V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC  # of the end of the frame
        before = capture.facts.captured
        self.wait_for(capture, CameraState.LIVE, before + 3)
        capture.stop(timeout_s=10.0)
        assert exact.keys() == {"driver"}
        assert exact["driver"].uncertainty_ns == 0
        assert capture.stamps["driver"].uncertainty_ns == 40_000_000
        assert capture.stamps["driver"].frames == capture.facts.captured
