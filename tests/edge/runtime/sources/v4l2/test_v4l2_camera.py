"""A camera through Video4Linux: the driver's times and numbers, and a message for what can fail.

The driver is simulated (`cameras/simulated_driver.py`); `test_vivid.py` tries the kernel's own.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cameras.simulated_driver import EOF, MONOTONIC, ON_ANOTHER_CLOCK, SOE, SimulatedDriver
from stepped_sources import CAMERA, SteppingClock

from edge.runtime.clock import monotonic_ns
from edge.runtime.sources.camera import Delivered, Lost
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.v4l2 import abi
from edge.runtime.sources.v4l2.refusals import ERRORS
from edge.runtime.sources.v4l2.v4l2_camera import V4l2Camera, V4l2Stream
from firmware_bridge.errors import DeviceFault


def connect(driver: SimulatedDriver) -> V4l2Stream:
    clock = driver.clock
    return V4l2Camera("/dev/video0", camera=CAMERA, clock=clock, kernel=driver).connect(clock.pause)


def take(stream: V4l2Stream, driver: SimulatedDriver) -> Delivered:
    reading = stream.read(driver.clock.pause, within_s=2.0)
    assert isinstance(reading, Delivered)
    return reading


@pytest.mark.requirement("R-RUN-132")
class TestTimes:
    @pytest.mark.parametrize(
        ("flags", "uncertainty_ns"), [(MONOTONIC | SOE, 0), (MONOTONIC | EOF, 40_000_000)]
    )
    def test_a_drivers_time_on_our_clock_is_the_capture_time_however_old(
        self, flags: int, uncertainty_ns: int
    ) -> None:
        driver = SimulatedDriver(SteppingClock(), flags=flags)
        driver.clock.pause(60.0)
        stream = connect(driver)
        for age_ms in (15, 700, 5000):
            driver.age_ns = age_ms * 1_000_000
            got = take(stream, driver)
            assert (got.stamp_source, got.uncertainty_ns) == ("driver", uncertainty_ns)
            assert driver.clock.now_ns - got.captured_ns == driver.age_ns

    @pytest.mark.parametrize(
        ("flags", "age_ns"),
        [(ON_ANOTHER_CLOCK | SOE, 15_000_000), (MONOTONIC | SOE, -15_000_000)],
        ids=["another clock", "ahead of the clock"],
    )
    def test_another_time_is_not_used(self, flags: int, age_ns: int) -> None:
        driver = SimulatedDriver(SteppingClock(), flags=flags)
        driver.age_ns = age_ns
        stream = connect(driver)
        take(stream, driver)
        got = take(stream, driver)
        assert (got.stamp_source, got.captured_ns) == ("read", driver.clock.now_ns)
        # Filled since the last look at the queue, 20 ms ago, from light of two periods at most.
        assert got.uncertainty_ns == 60_000_000

    def test_a_driver_that_leaves_the_time_out_has_none(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        driver.held_ns = 0
        assert take(connect(driver), driver).stamp_source == "read"


@pytest.mark.requirement("R-RUN-134")
class TestNumbers:
    def test_frames_that_the_driver_dropped_are_counted(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        stream = connect(driver)
        assert take(stream, driver).lost == 0
        driver.dropped = 3
        assert take(stream, driver).lost == 3
        assert take(stream, driver).lost == 0

    def test_of_several_that_wait_the_newest_is_taken_and_the_others_are_counted(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        stream = connect(driver)
        take(stream, driver)
        for _ in range(3):
            driver.clock.pause(0.02)
            driver.film()
        got = take(stream, driver)
        assert (got.captured_ns, got.lost) == (driver.clock.now_ns, 2)
        # All buffers are the driver's again: none was lost on the way.
        for _ in range(10):
            assert take(stream, driver).lost == 0

    def test_with_all_buffers_full_the_driver_drops_and_it_is_counted(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        stream = connect(driver)
        take(stream, driver)
        for _ in range(9):
            driver.film()
        assert take(stream, driver).lost == 3
        assert take(stream, driver).lost == 5

    def test_a_counter_that_begins_anew_or_stands_still_counts_nothing(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        stream = connect(driver)
        take(stream, driver)
        for dropped in (-2, -1, -1):
            driver.dropped = dropped
            assert take(stream, driver).lost == 0


class TestRefusals:
    @pytest.mark.parametrize("number", ERRORS)
    def test_every_error_of_opening_has_a_message_of_its_own(self, number: int) -> None:
        driver = SimulatedDriver(SteppingClock())
        driver.fault[0] = number
        with pytest.raises(DeviceFault) as refused:
            connect(driver)
        assert "/dev/video0" in refused.value.what
        assert refused.value.found == os.strerror(number)
        assert refused.value.remedy

    @pytest.mark.parametrize(
        "request_", [abi.VIDIOC_S_FMT, abi.VIDIOC_REQBUFS, abi.VIDIOC_STREAMON, abi.VIDIOC_QBUF]
    )
    def test_one_that_another_program_holds(self, request_: int) -> None:
        driver = SimulatedDriver(SteppingClock())
        driver.fault[request_] = errno.EBUSY
        with pytest.raises(DeviceFault, match="/dev/video0 is in use") as refused:
            connect(driver)
        assert "fuser -v /dev/video0" in refused.value.remedy
        assert driver.opened == driver.closed == 1

    def test_a_fault_in_the_middle_of_a_run_is_a_lost_camera_in_the_kernels_words(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        stream = connect(driver)
        take(stream, driver)
        driver.fault[abi.VIDIOC_DQBUF] = errno.EIO
        lost = stream.read(driver.clock.pause, within_s=2.0)
        assert isinstance(lost, Lost)
        assert lost.reason == "fails: Input/output error"
        assert lost.refusal is not None
        assert "dmesg" in lost.refusal.remedy
        stream.close()
        stream.close()
        assert driver.closed == 1

    @pytest.mark.parametrize(
        ("capability", "found", "remedy"),
        [
            (abi.V4L2_CAP_STREAMING, "no capture", "v4l2-ctl --list-devices"),
            (
                abi.V4L2_CAP_VIDEO_CAPTURE_MPLANE | abi.V4L2_CAP_STREAMING,
                "several planes",
                "gst:v4l2src device=/dev/video0",
            ),
        ],
    )
    def test_a_device_that_is_no_such_camera(
        self, capability: int, found: str, remedy: str
    ) -> None:
        driver = SimulatedDriver(SteppingClock())
        driver.capability = capability
        with pytest.raises(DeviceFault, match="no pictures that can be read directly") as refused:
            connect(driver)
        assert refused.value.found == f"A simulated camera: {found}"
        assert remedy in refused.value.remedy

    def test_pixel_formats_that_are_not_read(self) -> None:
        driver = SimulatedDriver(SteppingClock(), rates={"H264": 50.0})
        with pytest.raises(DeviceFault, match="no pixel format") as refused:
            connect(driver)
        assert refused.value.found == "H264"
        assert "gst:" in refused.value.remedy

    def test_a_format_whose_pixels_share_colours_is_not_asked_for_odd_sizes(self) -> None:
        driver = SimulatedDriver(SteppingClock(), rates={"YUYV": 50.0, "BGR3": 50.0})
        camera = CAMERA.model_copy(update={"width_px": 127})
        address = V4l2Camera("/dev/video0", camera=camera, clock=driver.clock, kernel=driver)
        got = take(address.connect(driver.clock.pause), driver)
        assert (got.picture.width_px, got.picture.pixel_format) == (127, "bgr")

    def test_half_frames(self) -> None:
        driver = SimulatedDriver(SteppingClock())
        driver.interlaced = True
        with pytest.raises(DeviceFault, match="not the one that the mission describes") as refused:
            connect(driver)
        assert "interlaced" in refused.value.found


def real(device: Path) -> DeviceFault:
    """The refusal of the real kernel."""
    with pytest.raises(DeviceFault) as refused:
        V4l2Camera(str(device), camera=CAMERA, clock=monotonic_ns).connect(lambda _: False)
    return refused.value


class TestOnThisKernel:
    def test_a_folder_in_the_place_of_a_camera(self, tmp_path: Path) -> None:
        """As a container engine makes it for a camera that is not plugged in."""
        refusal = real(tmp_path)
        assert refusal.what == f"{tmp_path} is a folder"
        assert f"--device {tmp_path}" in refusal.remedy

    @pytest.mark.parametrize(
        ("given", "what"), [("/dev", "is a folder"), ("/dev/null", "is no camera")]
    )
    def test_whatever_else_is_below_dev_is_a_camera_that_fails(self, given: str, what: str) -> None:
        with pytest.raises(DeviceFault, match=f"{given} {what}"):
            open_source(given, CAMERA, monotonic_ns)

    def test_a_file_in_the_place_of_a_camera(self, tmp_path: Path) -> None:
        file = tmp_path / "video0"
        file.write_bytes(bytes(100))
        assert real(file).what == f"{file} is no camera"

    def test_a_device_without_a_driver(self, tmp_path: Path) -> None:
        node = tmp_path / "video0"
        try:
            os.mknod(node, 0o600 | stat.S_IFCHR, os.makedev(81, 200))
        except PermissionError:
            pytest.skip("only root makes device nodes")
        refusal = real(node)
        if "not permitted" in refusal.found or "Permission denied" in refusal.found:
            pytest.skip("this container forbids unknown devices")
        assert refusal.what == f"no camera at {node}"

    def test_a_camera_that_this_user_may_not_open(self) -> None:
        with _as_nobody() as folder:
            file = folder / "video0"
            refusal = real(file)
        assert refusal.what == f"this user may not open {file}"
        assert "usermod -aG video" in refusal.remedy


@contextmanager
def _as_nobody() -> Iterator[Path]:
    """A folder with a file `video0` that the process may not open; root steps down for that."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "video0").touch()
        (folder / "video0").chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
