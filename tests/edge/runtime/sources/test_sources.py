"""Sources and the capture thread: every bad input is one clear refusal or one recorded fault."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from stepped_sources import CAMERA, SteppingClock, read_all
from tiny_road import picture, write_clip

from edge.perception.values import Frame
from edge.runtime.clock import monotonic_ns
from edge.runtime.loop.capture import CameraState, Capture, CapturedFrame
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.sources.camera import CameraSource
from edge.runtime.sources.open_source import SOURCES, open_source
from edge.runtime.sources.source import BadFrame, CameraGone, Skipped, Source, SourceEnd
from firmware_bridge.errors import DeviceFault, Missing, UsageError


def opened(given: Path | str) -> Source:
    return open_source(str(given), CAMERA, monotonic_ns)


def no_pause(_: float) -> None:
    """For tests that look at frames, not at time."""


class Device:
    """A camera as OpenCV drives it; there is none on the machines that run the suite."""

    def __init__(
        self,
        *,
        size: tuple[int, int] = (128, 128),
        native_fps: float = 50.0,
        mjpg_fps: float = 50.0,
    ) -> None:
        self.size, self.there, self.stamp_ms, self.mode = size, True, 0.0, "native"
        self.settings: dict[int, float] = {}
        self.modes: dict[str, tuple[float, float, float]] = {}
        self._fps = {"native": native_fps, "MJPG": mjpg_fps}

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, number: int, value: float) -> bool:
        self.settings[number] = value
        if number == cv2.CAP_PROP_FOURCC:
            self.mode = int(value).to_bytes(4, "little").decode()
        if number == cv2.CAP_PROP_FPS:
            wide, high = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            self.modes[self.mode] = (self.settings[wide], self.settings[high], value)
        return True

    def get(self, number: int) -> float:
        if number == cv2.CAP_PROP_FPS:
            return self._fps[self.mode]
        return self.stamp_ms if number == cv2.CAP_PROP_POS_MSEC else 0.0

    def grab(self) -> bool:
        return self.there

    def retrieve(self) -> tuple[bool, Any]:
        return True, np.full((self.size[1], self.size[0], 3), 90, np.uint8)

    def release(self) -> None: ...


def _camera(_: Path, clock: SteppingClock) -> Source:
    device = Device()
    device.stamp_ms = 1.6e12  # a wall clock: frames are stamped when they are read
    return CameraSource("camera:0", 0, camera=CAMERA, clock=clock, open_capture=lambda _: device)


def _scenes(_: Path, clock: SteppingClock) -> Source:
    return open_source("scenes:clear_road", CAMERA, clock)


def _folder(tmp_path: Path, clock: SteppingClock) -> Source:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture())
    return open_source(str(tmp_path), CAMERA, clock)


def _video(tmp_path: Path, clock: SteppingClock) -> Source:
    return open_source(str(write_clip(tmp_path / "clip.mp4", frames=5, fps=50.0)), CAMERA, clock)


MAKERS = {"camera": _camera, "scenes": _scenes, "folder": _folder, "video": _video}


def test_there_is_a_maker_for_every_kind_of_source() -> None:
    assert MAKERS.keys() == SOURCES.keys()


@pytest.mark.parametrize("kind", MAKERS)
class TestEverySource:
    """The Source contract; a new row of the table is tested by being there."""

    def test_says_what_it_is(self, kind: str, tmp_path: Path) -> None:
        info = MAKERS[kind](tmp_path, SteppingClock()).info
        assert info.kind == kind
        assert info.given
        assert info.fps == (25.0 if kind == "scenes" else 50.0)

    def test_frames_come_one_period_apart_and_never_from_the_future(
        self, kind: str, tmp_path: Path
    ) -> None:
        clock = SteppingClock()
        source = MAKERS[kind](tmp_path, clock)
        frames: list[Frame] = []
        for _ in range(3):
            reading = source.read(clock.pause)
            assert isinstance(reading, Frame)
            assert reading.captured_ns <= clock.now_ns
            assert (reading.image.dtype, reading.image.shape[2]) == (np.uint8, 3)
            frames.append(reading)
            if kind == "camera":  # a device sets the pace itself
                clock.pause(0.02)
        period_ns = round(1e9 / source.info.fps)
        for one, other in itertools.pairwise(frames):
            assert other.index == one.index + 1
            assert other.captured_ns - one.captured_ns == period_ns

    def test_may_be_closed_twice(self, kind: str, tmp_path: Path) -> None:
        source = MAKERS[kind](tmp_path, SteppingClock())
        source.close()
        source.close()


class TestVideo:
    def test_plays_at_its_own_pace_with_due_times_as_stamps(self, tmp_path: Path) -> None:
        clip, clock = write_clip(tmp_path / "clip.mp4", frames=30, fps=25.0), SteppingClock()
        source = open_source(str(clip), CAMERA, clock)
        assert (source.info.kind, source.info.fps, source.info.frames) == ("video", 25.0, 30)
        frames, end = read_all(source, clock)
        assert [f.index for f in frames] == list(range(30))
        assert {b.captured_ns - a.captured_ns for a, b in itertools.pairwise(frames)} == {
            40_000_000
        }
        assert {f.stamp_source for f in frames} == {"video"}
        assert frames[0].image.shape == (128, 128, 3)
        assert end.fault is None

    def test_drops_frames_whose_time_has_passed_instead_of_playing_faster(
        self, tmp_path: Path
    ) -> None:
        clip, clock = write_clip(tmp_path / "clip.mp4", frames=30, fps=25.0), SteppingClock()
        source = open_source(str(clip), CAMERA, clock)
        first = source.read(clock.pause)
        clock.pause(0.5)
        second = source.read(clock.pause)
        assert isinstance(first, Frame)
        assert isinstance(second, Frame)
        assert second.index == 12
        assert second.captured_ns - first.captured_ns == 12 * 40_000_000

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(Missing, match=r"no source at .*none\.mp4"):
            opened(tmp_path / "none.mp4")

    @pytest.mark.parametrize("content", [b"", b"these are not the frames you look for" * 99])
    def test_a_file_that_is_no_video(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        path.write_bytes(content)
        with pytest.raises(Missing, match="not a video that can be read") as refused:
            opened(path)
        assert str(len(content)) in refused.value.found

    def test_a_clip_cut_before_its_index_is_refused(self, tmp_path: Path) -> None:
        clip = write_clip(tmp_path / "clip.mp4", frames=30)
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        with pytest.raises(Missing) as refused:
            opened(clip)
        assert "cut short" in refused.value.remedy

    def test_a_clip_cut_in_mid_frame_plays_to_there_and_says_so(
        self, shared_data: Path, tmp_path: Path
    ) -> None:
        whole = (shared_data / "video" / "day_highway.mp4").read_bytes()
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(whole[: len(whole) // 3])
        clock = SteppingClock()
        frames, end = read_all(open_source(str(cut), CAMERA, clock), clock)
        assert 10 < len(frames) < 221
        assert end.fault == f"ended early: {len(frames)} of 221 frames"

    def test_decoders_keep_their_chatter_to_themselves(self, tmp_path: Path) -> None:
        """In a process of its own, since a decoder listens only before its first use."""
        clip = write_clip(tmp_path / "clip.mp4", frames=30)
        clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
        program = (
            "import sys; from edge.contract.mission.sections.device import Camera;"
            "from edge.runtime.sources.open_source import open_source;"
            "from time import monotonic_ns;"
            "from firmware_bridge.errors import Missing;"
            "camera = Camera(width_px=1, height_px=1, fps=25.0, assumed_speed_mps=1.0)\n"
            "try:\n open_source(sys.argv[1], camera, monotonic_ns)\n"
            "except Missing as refusal:\n print(refusal.what)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(clip)], capture_output=True, text=True, check=True
        )
        assert "not a video that can be read" in done.stdout
        assert done.stderr == ""


class TestFolder:
    def fill(self, folder: Path, count: int = 5) -> Path:
        folder.mkdir()
        for index in range(count):
            cv2.imwrite(str(folder / f"{index:03}.{'jpg' if index % 2 else 'png'}"), picture())
        return folder

    def test_pictures_in_order_at_the_missions_pace(self, tmp_path: Path) -> None:
        clock = SteppingClock()
        source = open_source(str(self.fill(tmp_path / "road")), CAMERA, clock)
        frames, end = read_all(source, clock)
        assert (source.info.kind, source.info.frames) == ("folder", 5)
        assert [f.index for f in frames] == [0, 1, 2, 3, 4]
        assert frames[1].captured_ns - frames[0].captured_ns == 20_000_000
        assert end.fault is None

    @pytest.mark.requirement("R-RUN-67")
    def test_numbers_without_leading_zeros_are_in_the_order_they_were_numbered(
        self, tmp_path: Path
    ) -> None:
        for number in (*range(12), 100):
            shade = np.full((16, 16, 3), 10 + number, np.uint8)
            cv2.imwrite(str(tmp_path / f"frame_{number}.png"), shade)
        clock = SteppingClock()
        frames, _ = read_all(open_source(str(tmp_path), CAMERA, clock), clock)
        assert [int(f.image[0, 0, 0]) - 10 for f in frames] == [*range(12), 100]
        assert {b.captured_ns - a.captured_ns for a, b in itertools.pairwise(frames)} == {
            20_000_000
        }

    @pytest.mark.requirement("R-RUN-68")
    def test_links_that_leave_the_folder_are_refused_by_name(self, tmp_path: Path) -> None:
        folder = self.fill(tmp_path / "road")
        (folder / "005.png").symlink_to("000.png")
        clock = SteppingClock()
        assert len(read_all(open_source(str(folder), CAMERA, clock), clock)[0]) == 6
        cv2.imwrite(str(tmp_path / "elsewhere.png"), picture())
        (folder / "006.png").symlink_to("../elsewhere.png")
        (folder / "007.png").symlink_to("nowhere.png")
        with pytest.raises(UsageError, match="2 links") as refused:
            opened(folder)
        assert "006.png (leads to ../elsewhere.png), 007.png (leads nowhere)" in refused.value.found

    @pytest.mark.requirement("R-RUN-65")
    def test_the_tail_that_comes_too_late_is_counted(self, tmp_path: Path) -> None:
        source_clock = SteppingClock()
        source = open_source(str(self.fill(tmp_path / "road")), CAMERA, source_clock)
        source.read(source_clock.pause)
        source_clock.pause(0.4)
        assert source.read(source_clock.pause) == SourceEnd(frames=5)

    def test_what_only_decoding_shows_is_a_fault_of_that_frame_and_counted(
        self, tmp_path: Path
    ) -> None:
        folder = self.fill(tmp_path / "road", count=2)
        whole = (folder / "000.png").read_bytes()
        shutil.copy(folder / "000.png", folder / "002.bmp")  # a suffix does not say what it is
        (folder / "003.bmp").write_bytes(cv2.imencode(".bmp", picture())[1].tobytes()[:-500])
        clock = SteppingClock()
        source = open_source(str(folder), CAMERA, clock)
        readings = [source.read(clock.pause) for _ in range(5)]
        assert isinstance(readings[2], Frame)
        assert whole.startswith(b"\x89PNG")
        assert isinstance(readings[3], BadFrame)
        assert (readings[3].index, readings[4]) == (3, SourceEnd(frames=4))

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "road").mkdir()
        (tmp_path / "road" / "readme.txt").write_text("no pictures")
        with pytest.raises(Missing, match="no picture in"):
            opened(tmp_path / "road")

    @pytest.mark.parametrize("damage", ["foreign", "empty", "cut jpg", "cut png"])
    def test_an_unreadable_picture_is_named_before_the_run(
        self, damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        folder = self.fill(tmp_path / "road")
        victim = folder / ("002.png" if damage.endswith("png") else "003.jpg")
        whole = victim.read_bytes()
        victim.write_bytes(
            {"foreign": b"not a picture" * 9, "empty": b""}.get(damage, whole[: len(whole) // 2])
        )
        with pytest.raises(Missing, match="1 of 5 pictures") as refused:
            opened(folder)
        assert refused.value.found == victim.name
        assert capfd.readouterr().err == ""

    def test_a_picture_that_goes_bad_during_the_run_is_a_fault_of_that_frame(
        self, tmp_path: Path
    ) -> None:
        folder = self.fill(tmp_path / "road", count=3)
        source = opened(folder)
        (folder / "001.jpg").unlink()
        readings = [source.read(no_pause) for _ in range(4)]
        assert readings[1] == BadFrame("001.jpg: No such file or directory", 1)
        assert isinstance(readings[2], Frame)
        assert isinstance(readings[3], SourceEnd)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
    def test_a_folder_that_may_not_be_read(self, tmp_path: Path) -> None:
        folder = self.fill(tmp_path / "road")
        folder.chmod(0)
        try:
            with pytest.raises(Missing, match="cannot read the folder"):
                opened(folder)
        finally:
            folder.chmod(0o700)


class TestCamera:
    @pytest.mark.parametrize("given", ["camera:97", "/dev/video97"])
    def test_one_that_is_not_there(self, given: str, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(DeviceFault, match=f"no camera at {given}") as refused:
            opened(given)
        assert "ls /dev/video" in refused.value.remedy
        assert capfd.readouterr().err == ""

    def test_a_lasting_name_of_a_camera_is_the_camera(self, tmp_path: Path) -> None:
        """As in /dev/v4l/by-id."""
        (tmp_path / "usb-front-camera").symlink_to("/dev/video97")
        with pytest.raises(DeviceFault, match="no camera at") as refused:
            opened(tmp_path / "usb-front-camera")
        assert "/dev/video97" in refused.value.expected

    def test_unplugged_and_back(self, tmp_path: Path) -> None:
        """A clip stands in for the device: when it ends, grabbing fails as on an unplugged one."""
        # Every opening takes the first frame as proof of the size.
        clip = write_clip(tmp_path / "clip.mp4", frames=4)
        attempts: list[int] = []

        def plug(_: int) -> Any:
            attempts.append(len(attempts))
            # The first, and after two attempts at an empty socket the next.
            return cv2.VideoCapture(str(clip) if len(attempts) in (1, 4) else "")

        camera = CAMERA.model_copy(update={"fps": 25.0})
        source = CameraSource("camera:0", 0, camera=camera, clock=monotonic_ns, open_capture=plug)
        mailbox: Mailbox[CapturedFrame] = Mailbox()
        faults: list[str] = []
        capture = Capture(
            source, mailbox, clock=monotonic_ns, on_fault=lambda kind, _: faults.append(kind)
        )
        states: list[CameraState] = []
        capture.start()
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and capture.facts.captured < 6:
            if not states or states[-1] is not capture.facts.camera:
                states.append(capture.facts.camera)
            time.sleep(0.001)
        capture.stop(timeout_s=10.0)
        assert CameraState.GONE in states
        assert capture.facts.captured == 6
        # The clip gives frames faster than a camera could; that they come at once is said as well.
        assert next(kind for kind in faults if kind != "frame times") == "camera gone"
        assert capture.facts.camera is CameraState.ENDED
        assert not capture.crashed

    def test_a_drivers_stamp_is_taken_only_where_it_is_on_our_clock(self) -> None:
        device, clock = Device(), SteppingClock()
        source = CameraSource(
            "camera:0", 0, camera=CAMERA, clock=clock, open_capture=lambda _: device
        )
        device.stamp_ms = clock.now_ns / 1e6 - 15.0
        driver = source.read(no_pause)
        device.stamp_ms = 1.6e12  # a wall clock
        ours = source.read(no_pause)
        assert isinstance(driver, Frame)
        assert isinstance(ours, Frame)
        assert (driver.stamp_source, driver.captured_ns) == ("driver", clock.now_ns - 15_000_000)
        assert (ours.stamp_source, ours.captured_ns) == ("read", clock.now_ns)

    @pytest.mark.requirement("R-RUN-72")
    def test_a_driver_that_repeats_a_frame_or_goes_back_shows_nothing_new(self) -> None:
        device, clock = Device(), SteppingClock()
        source = CameraSource(
            "camera:0", 0, camera=CAMERA, clock=clock, open_capture=lambda _: device
        )
        readings = []
        for age_ms in (40.0, 40.0, 60.0, 39.5, 5.0):
            device.stamp_ms = clock.now_ns / 1e6 - age_ms
            readings.append(source.read(no_pause))
        assert [type(one) for one in readings] == [Frame, Skipped, Skipped, Skipped, Frame]
        assert [one.index for one in readings if isinstance(one, Skipped)] == [1, 2, 3]

    @pytest.mark.requirement("R-RUN-72")
    def test_a_camera_that_only_repeats_grows_old_and_it_is_said_once(self) -> None:
        device, clock = Device(), SteppingClock()
        source = CameraSource(
            "camera:0", 0, camera=CAMERA, clock=clock, open_capture=lambda _: device
        )
        device.stamp_ms = clock.now_ns / 1e6
        faults: list[str] = []
        capture = Capture(
            source, Mailbox(), clock=clock, on_fault=lambda kind, _: faults.append(kind)
        )
        capture.start()
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and capture.facts.captured < 20:
            time.sleep(0.001)
        capture.stop(timeout_s=10.0)
        assert capture.facts.captured >= 20
        assert capture.facts.newest_ns == round(device.stamp_ms * 1e6)
        assert faults == ["frame times"]

    @pytest.mark.requirement("R-RUN-70")
    def test_size_and_rate_are_asked_for_at_every_opening(self) -> None:
        devices: list[Device] = []

        def plug(_: int) -> Device:
            devices.append(Device())
            return devices[-1]

        source = CameraSource(
            "camera:0", 0, camera=CAMERA, clock=SteppingClock(), open_capture=plug
        )
        devices[0].there = False
        assert isinstance(source.read(no_pause), CameraGone)
        assert isinstance(source.read(no_pause), Frame)
        for device in devices:
            assert device.modes["native"] == (128, 128, 50.0)
            assert device.settings[cv2.CAP_PROP_BUFFERSIZE] == 1

    def test_a_camera_that_is_fast_enough_only_when_it_compresses_is_asked_to(self) -> None:
        device = Device(native_fps=10.0)
        CameraSource(
            "camera:0", 0, camera=CAMERA, clock=SteppingClock(), open_capture=lambda _: device
        )
        assert (device.mode, device.modes["MJPG"]) == ("MJPG", (128, 128, 50.0))

    @pytest.mark.requirement("R-RUN-70")
    @pytest.mark.parametrize(
        ("device", "found"),
        [
            ({"size": (96, 64)}, "96 x 64 pixels at 50 frames a second"),
            ({"native_fps": 10.0, "mjpg_fps": 30.0}, "128 x 128 pixels at 10 frames a second"),
        ],
    )
    def test_a_camera_that_answers_otherwise_is_refused(
        self, device: dict[str, Any], found: str
    ) -> None:
        with pytest.raises(DeviceFault, match="not the one that the mission describes") as refused:
            CameraSource(
                "camera:0",
                0,
                camera=CAMERA,
                clock=SteppingClock(),
                open_capture=lambda _: Device(**device),
            )
        assert refused.value.expected == "128 x 128 pixels at 50 frames a second"
        assert refused.value.found == found
        assert "v4l2-ctl" in refused.value.remedy

    @pytest.mark.requirement("R-RUN-70")
    def test_one_that_comes_back_with_another_size_stays_gone(self) -> None:
        devices, clock = [Device(), Device(size=(96, 64)), Device()], SteppingClock()
        source = CameraSource(
            "camera:0",
            0,
            camera=CAMERA,
            clock=clock,
            open_capture=lambda _: devices.pop(0),
        )
        assert isinstance(source.read(no_pause), Frame)
        source.close()
        gone = source.read(no_pause)
        assert isinstance(gone, CameraGone)
        assert "96 x 64" in gone.reason
        clock.pause(0.1)
        assert isinstance(source.read(no_pause), Frame)

    def test_a_frame_of_another_size_in_the_middle_of_a_run_is_a_lost_camera(self) -> None:
        device = Device()
        source = CameraSource(
            "camera:0", 0, camera=CAMERA, clock=SteppingClock(), open_capture=lambda _: device
        )
        device.size = (96, 64)
        gone = source.read(no_pause)
        assert gone == CameraGone("camera 0 delivers 96 x 64 pixels, not 128 x 128")
