"""Sources and the capture thread: every bad input is one clear refusal or one recorded fault."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from cameras.gstreamer_here import needs_gstreamer
from cameras.jetson_recipes import on_this_machine
from cameras.rtsp_server import NetworkCamera
from cameras.simulated_driver import SimulatedDriver
from stepped_sources import CAMERA, SteppingClock, read_all
from tiny_road import picture, write_clip

from edge.perception.values import Frame
from edge.runtime.clock import Clock, monotonic_ns
from edge.runtime.sources.camera import CameraSource
from edge.runtime.sources.gstreamer.pipeline_camera import PipelineCamera
from edge.runtime.sources.gstreamer.pipelines import PIPELINES, fill
from edge.runtime.sources.open_source import SOURCES, open_source
from edge.runtime.sources.source import BadFrame, Skipped, Source, SourceEnd
from edge.runtime.sources.v4l2.v4l2_camera import V4l2Camera
from firmware_bridge.errors import Missing, UsageError


def opened(given: Path | str) -> Source:
    return open_source(str(given), CAMERA, monotonic_ns)


def no_pause(_: float) -> None:
    """For tests that look at frames, not at time."""


@dataclass(frozen=True)
class Made:
    """An open source, and the time that it lives in."""

    source: Source
    clock: Clock
    pause: Callable[[float], None]


def stepped(source: Source, clock: SteppingClock) -> Made:
    return Made(source, clock, clock.pause)


def live(given: str) -> Made:
    return Made(open_source(given, CAMERA, monotonic_ns), monotonic_ns, time.sleep)


@contextmanager
def _camera(_: Path) -> Iterator[Made]:
    clock = SteppingClock()
    address = V4l2Camera("/dev/video0", camera=CAMERA, clock=clock, kernel=SimulatedDriver(clock))
    yield stepped(CameraSource(address, camera=CAMERA, clock=clock), clock)


@contextmanager
def _jetson(kind: str, **places: str | int) -> Iterator[Made]:
    """A recipe with this machine's elements in the places of a Jetson's."""
    recipes = fill(on_this_machine(PIPELINES[kind]), CAMERA, **places)
    address = PipelineCamera(kind, f"{kind}:0", recipes, clock=monotonic_ns)
    yield Made(CameraSource(address, camera=CAMERA, clock=monotonic_ns), monotonic_ns, time.sleep)


@contextmanager
def _rtsp(_: Path) -> Iterator[Made]:
    with NetworkCamera(fps=50) as camera:
        yield live(camera.url)


@contextmanager
def _pipeline(_: Path) -> Iterator[Made]:
    yield live("gst:videotestsrc is-live=true ! video/x-raw,width=128,height=128,framerate=50/1")


@contextmanager
def _scenes(_: Path) -> Iterator[Made]:
    clock = SteppingClock()
    yield stepped(open_source("scenes:clear_road", CAMERA, clock), clock)


@contextmanager
def _folder(tmp_path: Path) -> Iterator[Made]:
    clock = SteppingClock()
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture())
    yield stepped(open_source(str(tmp_path), CAMERA, clock), clock)


@contextmanager
def _video(tmp_path: Path) -> Iterator[Made]:
    clock = SteppingClock()
    clip = write_clip(tmp_path / "clip.mp4", frames=5, fps=50.0)
    yield stepped(open_source(str(clip), CAMERA, clock), clock)


MAKERS: dict[str, Callable[[Path], AbstractContextManager[Made]]] = {
    "camera": _camera,
    "csi": lambda _: _jetson("csi", number=0),
    "nvjpeg": lambda _: _jetson("nvjpeg", device="/dev/video0"),
    "rtsp": _rtsp,
    "gstreamer": _pipeline,
    "scenes": _scenes,
    "folder": _folder,
    "video": _video,
}
BY_GSTREAMER = ("csi", "nvjpeg", "rtsp", "gstreamer")


def test_there_is_a_maker_for_every_kind_of_source() -> None:
    assert MAKERS.keys() == SOURCES.keys()


@pytest.fixture(
    params=[
        pytest.param(kind, marks=[needs_gstreamer] if kind in BY_GSTREAMER else [])
        for kind in MAKERS
    ]
)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    with MAKERS[request.param](tmp_path) as made:
        yield made
        made.source.close()
        made.source.close()  # twice does no harm


class TestEverySource:
    """The Source contract; a new row of the table is tested by being there."""

    def test_says_what_it_is_and_frames_come_in_order_and_never_from_the_future(
        self, made: Made, request: pytest.FixtureRequest
    ) -> None:
        kind, info = request.node.callspec.params["made"], made.source.info
        assert info.kind == kind
        assert info.given
        assert info.fps == (25.0 if kind == "scenes" else 50.0)
        frames: list[Frame] = []
        for _ in range(3):
            reading = made.source.read(made.pause)
            while kind in BY_GSTREAMER and isinstance(reading, Skipped):
                reading = made.source.read(made.pause)  # a server's first pictures come at once
            assert isinstance(reading, Frame)
            assert reading.captured_ns <= made.clock()
            assert (reading.image.dtype, reading.image.shape[2]) == (np.uint8, 3)
            assert reading.image.flags.c_contiguous
            assert reading.stamp_source in ("driver", "pipeline", "read", "video")
            frames.append(reading)
        period_ns = round(1e9 / info.fps)
        for one, other in itertools.pairwise(frames):
            assert other.index > one.index if kind == "rtsp" else other.index == one.index + 1
            apart_ns = other.captured_ns - one.captured_ns
            # A live pipeline drops frames where the machine is busy.
            assert apart_ns >= 1_000_000 if kind in BY_GSTREAMER else apart_ns == period_ns


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

    @pytest.mark.parametrize("given", ["long" * 200, "a\0b", "~nobody-here/clip.mp4", ""])
    def test_what_cannot_be_a_name_of_anything(self, given: str) -> None:
        with pytest.raises((Missing, UsageError)) as refused:
            opened(given)
        assert refused.value.remedy

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
