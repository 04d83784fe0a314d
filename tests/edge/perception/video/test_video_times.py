"""Clips are played and sampled at the times that their files present frames at: variable rates,
gaps, times that repeat or go back, and headers that count other frames than there are.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_files import (
    number_of,
    raw_stream,
    write_avi,
    write_h264,
    write_mkv,
    write_mp4,
)
from numpy.typing import NDArray
from stepped_sources import CAMERA, SteppingClock, read_all

from calibration.dataset.readers.videos import frames as video_frames
from calibration.dataset.readers.videos import read_at, sample_frames
from calibration.dataset.storage.open_storage import open_storage
from edge.contract.mission.sections.device import Camera
from edge.perception.pixel_formats import Picture
from edge.perception.values import Detections, Frame
from edge.perception.video import read
from edge.runtime.loop.capture import CameraState, Capture, CapturedFrame
from edge.runtime.loop.mailbox import Mailbox
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import Source, SourceEnd
from edge.runtime.tracking.tracker import Tracker
from firmware_bridge.errors import Missing

VFR_MS = [0, 160, 320, 480, 640, 680, 720, 760, 800, 840]
"""A recorder that writes every fourth frame while nothing moves, then every one."""


def played(path: Path, *, fps: float = 50.0) -> tuple[list[Frame], SourceEnd]:
    clock = SteppingClock()
    camera = CAMERA.model_copy(update={"fps": fps})
    return read_all(open_source(str(path), camera, clock), clock)


def times_ms(frames: list[Frame]) -> list[int]:
    return [round((frame.captured_ns - frames[0].captured_ns) / 1e6) for frame in frames]


class TestPlayed:
    @pytest.mark.requirement("R-RUN-60")
    @pytest.mark.parametrize("container", ["mkv", "mp4"])
    def test_a_clip_of_variable_rate_keeps_the_time_of_every_frame(
        self, container: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f"vfr.{container}"
        if container == "mkv":
            write_mkv(path, VFR_MS)
        else:
            write_mp4(path, [b - a for a, b in zip(VFR_MS, [*VFR_MS[1:], 880], strict=True)])
        frames, end = played(path)
        assert times_ms(frames) == VFR_MS
        assert [frame.clip_ns for frame in frames] == [one * 10**6 for one in VFR_MS]
        assert [number_of(frame.image) for frame in frames] == list(range(10))
        assert (end.fault, end.frames, end.notes) == (None, 10, ())

    @pytest.mark.requirement("R-RUN-60")
    def test_a_gap_in_a_clip_is_a_gap(self, tmp_path: Path) -> None:
        frames, end = played(write_mkv(tmp_path / "gap.mkv", [0, 40, 2040, 2080]))
        assert times_ms(frames) == [0, 40, 2040, 2080]
        assert end.fault is None

    def test_a_gap_of_minutes_ends_the_clip_and_is_said(self, tmp_path: Path) -> None:
        frames, end = played(write_mkv(tmp_path / "gap.mkv", [0, 40, 3_600_040, 3_600_080]))
        assert len(frames) == 2
        assert end.fault is not None
        assert "no frame for 3600 s" in end.fault

    @pytest.mark.requirement("R-RUN-61", "R-RUN-65")
    def test_frames_whose_times_repeat_or_go_back_are_left_out_counted_and_said(
        self, tmp_path: Path
    ) -> None:
        frames, end = played(write_mkv(tmp_path / "odd.mkv", [0, 40, 40, 80, 60, 120]))
        assert [number_of(frame.image) for frame in frames] == [0, 1, 3, 5]
        assert times_ms(frames) == [0, 40, 80, 120]
        assert end.frames == 6
        assert end.notes[0].startswith("2 of 6 frames do not come at least 1 ms after")

    def test_joined_files_go_on_one_frame_later_and_it_is_said(self, tmp_path: Path) -> None:
        frames, end = played(write_mkv(tmp_path / "two.mkv", [20, 60, 900, 20, 60, 900]))
        assert times_ms(frames) == [0, 40, 880, 920, 960, 1800]
        assert any("times start over once" in note for note in end.notes)

    @pytest.mark.requirement("R-RUN-62")
    def test_a_stream_without_times_is_paced_by_its_rate_and_it_is_said(
        self, tmp_path: Path
    ) -> None:
        frames, end = played(write_h264(tmp_path / "raw.h264"))
        assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 4]
        assert times_ms(frames) == [0, 40, 80, 120, 160]
        assert (end.fault, end.frames) == (None, 5)
        assert end.notes[0].startswith("4 of 5 frames have no time in the file")
        entries = read_at(open_storage(str(tmp_path)), 25.0).entries
        assert [entry.row for entry in entries] == [0, 1, 2, 3, 4]


def test_time_to_contact_is_the_same_from_a_clip_of_variable_rate(tmp_path: Path) -> None:
    """A wall 40 m ahead comes closer at 10 m/s: after 1.6 s it is 2.4 s away, by any clip."""
    texture = np.random.default_rng(5).integers(40, 220, (24, 24, 3), np.uint8)

    def size_px(at_ms: int) -> int:
        return round(64.0 * 40.0 / (40.0 - 10.0 * at_ms / 1e3))

    def wall(at_ms: int) -> NDArray[np.uint8]:
        image, side = np.full((240, 240, 3), 90, np.uint8), size_px(at_ms)
        low = 120 - side // 2
        image[low : low + side, low : low + side] = cv2.resize(texture, (side, side))
        return image

    every = list(range(0, 1601, 40))
    quiet_first = [at for at in every if at % 160 == 0 or at > 640]
    quiet_last = [at for at in every if at % 120 == 0 or at < 640]
    for times in (every, quiet_first, quiet_last):
        path = write_mkv(tmp_path / "wall.mkv", times, images=[wall(at) for at in times])
        frames, _ = played(path)
        tracker, found = Tracker(), 0.0
        for frame, at in zip(frames, times, strict=True):
            low = 120.0 - size_px(at) // 2
            box = np.array([[low, low, low + size_px(at), low + size_px(at)]], np.float32)
            seen = Detections(box, np.full(1, 0.9, np.float32), np.zeros(1, np.int64))
            (track,) = tracker.update(
                seen, frame.captured_ns, frame_size=(240, 240), image=frame.image
            )
            found = track.time_to_contact_s
        assert found == pytest.approx((40.0 - 10.0 * times[-1] / 1e3) / 10.0, rel=0.12)


class TestRate:
    @pytest.mark.parametrize(
        ("times", "rate"),
        [
            ([40 * n for n in range(20)], 25.0),
            ([100 * n for n in range(20)], 10.0),
            (VFR_MS, 9 / 0.84),
            ([0, 200, 400], 25.0),
        ],
        ids=["as declared", "slower than declared", "variable", "too few to tell"],
    )
    def test_it_is_the_slower_one_of_what_is_declared_and_what_comes(
        self, times: list[int], rate: float, tmp_path: Path
    ) -> None:
        path = write_mkv(tmp_path / "clip.mkv", times)  # declares 25 frames a second
        source = open_source(str(path), CAMERA, SteppingClock())
        assert source.info.fps == pytest.approx(rate)


class TestCounts:
    @pytest.mark.requirement("R-RUN-63")
    @pytest.mark.parametrize("kind", ["avi", "mkv", "live mkv", "raw"])
    def test_the_stream_says_how_many_frames_there_are(self, kind: str, tmp_path: Path) -> None:
        """Sound that is longer than the picture, live recordings and bare streams: headers count
        too many frames, or none."""
        path = tmp_path / ("clip.m4v" if kind == "raw" else f"clip.{kind[-3:]}")
        if kind == "avi":
            write_avi(path, 10, header_frames=60)
        elif kind == "raw":
            raw_stream(write_avi(tmp_path / "clip.avi", 10), path)
        elif kind == "mkv":
            write_mkv(path, [40 * number for number in range(10)], duration_ms=8000.0)
        else:
            write_mkv(path, [40 * number for number in range(10)], live=True)
        frames, end = played(path)
        assert (len(frames), end.frames, end.fault) == (10, 10, None)
        reading = read_at(open_storage(str(path)), 25.0)
        assert [entry.row for entry in reading.entries] == list(range(10))

    @pytest.mark.requirement("R-RUN-64")
    @pytest.mark.parametrize("container", ["avi", "mkv"])
    def test_a_file_cut_short_plays_to_there_and_says_so(
        self, container: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f"cut.{container}"
        if container == "avi":
            write_avi(path, 40)
        else:
            write_mkv(path, [40 * number for number in range(40)])
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])
        frames, end = played(path)
        assert 3 < len(frames) < 40
        assert end.fault is not None
        assert end.fault.startswith(f"ended early: {end.frames} frames, and the file is shorter")
        with pytest.raises(Missing, match="not a video that can be read") as refused:
            read_at(open_storage(str(path)), 25.0)
        assert "ends early" in refused.value.found

    @pytest.mark.parametrize("counted", [None, 12, 13])
    def test_an_avi_whose_header_counts_more_frames_says_so(
        self, counted: int | None, tmp_path: Path
    ) -> None:
        """It may be longer sound, or frames that were lost in the middle: nobody can tell."""
        _, end = played(write_avi(tmp_path / "clip.avi", 10, header_frames=counted))
        said = ["the header counts 13 frames and 10 came"] if counted == 13 else []
        assert [note.split(":")[0] for note in end.notes] == said
        assert end.fault is None

    def test_a_hole_in_an_mp4_that_ends_it_is_said(self, tmp_path: Path) -> None:
        path = write_mp4(tmp_path / "hole.mp4", [40] * 30)
        data = bytearray(path.read_bytes())
        start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
        middle = start + (end - start) // 4
        data[middle:end] = bytes(end - middle)
        path.write_bytes(bytes(data))
        frames, last = played(path)
        assert len(frames) < 30
        assert last.fault == f"ended early: {last.frames} of 30 frames"


class TestTooSlow:
    """Reading a frame takes longer than the clip gives it, as with 4K at 60 frames a second."""

    @pytest.fixture
    def slow(self, tmp_path: Path) -> tuple[Source, SteppingClock]:
        clock = SteppingClock()
        source = open_source(str(write_mkv(tmp_path / "c.mkv", self.times)), CAMERA, clock)
        video = source._video  # type: ignore[attr-defined]
        grab = video.grab

        def slowly() -> object:
            clock.pause(0.12)
            return grab()

        video.grab = slowly
        return source, clock

    times = tuple(40 * number for number in range(40))

    @pytest.mark.requirement("R-RUN-65", "R-RUN-66")
    def test_every_frame_is_shown_or_dropped_and_counted(
        self, slow: tuple[Source, SteppingClock]
    ) -> None:
        source, clock = slow
        mailbox: Mailbox[CapturedFrame] = Mailbox()
        faults: list[tuple[str, str]] = []
        shown: list[Frame] = []

        def put(captured: CapturedFrame) -> None:
            shown.append(captured.frame)

        mailbox.put = put  # type: ignore[method-assign]
        capture = Capture(
            source, mailbox, clock=clock, on_fault=lambda kind, text: faults.append((kind, text))
        )
        capture.start()
        deadline_s = time.monotonic() + 60.0
        while capture.facts.camera is not CameraState.ENDED and time.monotonic() < deadline_s:
            time.sleep(0.01)
        capture.stop(timeout_s=10.0)
        assert capture.facts.captured == 40
        assert capture.facts.camera is CameraState.ENDED
        # At least every half second one is shown, stamped with its own time.
        assert 5 < len(shown) < 20
        assert [round(one.captured_ns - shown[0].captured_ns) for one in shown] == [
            one.clip_ns for one in shown
        ]
        assert [kind for kind, _ in faults] == ["source too slow"]
        assert "after its time" in faults[0][1]


class Reader:
    """A source that delivers frames so many milliseconds after their time."""

    def __init__(self, clock: SteppingClock, late_ms: list[int]) -> None:
        self.info, self._clock, self._late_ms = None, clock, late_ms

    def read(self, pause: object) -> Frame | SourceEnd:
        if not self._late_ms:
            return SourceEnd()
        self._clock.pause(0.04)
        late_ns = self._late_ms.pop(0) * 1_000_000
        captured_ns = self._clock.now_ns - late_ns
        return Frame(Picture(np.zeros((4, 4, 3), np.uint8)), captured_ns, "video", 0, captured_ns)

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("late_ms", "faults"),
    [
        ([0, 1500, 0, 1500, 1500, 0], []),
        ([0, 1500, 1500, 1500, 1500], ["source too slow"]),
        ([900] * 9, []),
    ],
    ids=["a machine that stood still", "too slow", "late, and not too late"],
)
def test_a_source_is_too_slow_when_frames_in_a_row_come_late(
    late_ms: list[int], faults: list[str]
) -> None:
    clock, found = SteppingClock(), []
    capture = Capture(
        Reader(clock, list(late_ms)),  # type: ignore[arg-type]
        Mailbox(),
        clock=clock,
        on_fault=lambda kind, _: found.append(kind),
    )
    capture.start()
    deadline_s = time.monotonic() + 60.0
    while capture.facts.camera is not CameraState.ENDED and time.monotonic() < deadline_s:
        time.sleep(0.01)
    capture.stop(timeout_s=10.0)
    assert found == faults


class TestSampled:
    def test_a_rate_takes_frames_by_their_times(self, tmp_path: Path) -> None:
        write_mkv(tmp_path / "vfr.mkv", VFR_MS)
        reading = read_at(open_storage(str(tmp_path)), 6.25)
        assert [entry.row for entry in reading.entries] == [0, 1, 2, 3, 4, 8]

    @pytest.mark.parametrize(
        ("frames", "rate", "fps", "taken"),
        [
            (30, 10.0, 5.0, list(range(0, 30, 2))),
            (30, 10.0, 1.0, [0, 10, 20]),
            (30, 10.0, 500.0, list(range(30))),
            (60, 30.0, 10.0, list(range(0, 60, 3))),
            (50, 29.97, 30000 / 1001, list(range(50))),
            (20, 25.0, 10.0, [0, 2, 5, 7, 10, 12, 15, 17]),
            (3, 25.0, 0.1, [0]),
            (0, 25.0, 1.0, []),
        ],
    )
    def test_a_constant_rate_is_taken_evenly(
        self, frames: int, rate: float, fps: float, taken: list[int]
    ) -> None:
        times = [(number, round(number * 1e9 / rate)) for number in range(frames)]
        assert sample_frames(times, fps) == taken

    def test_nothing_is_taken_from_a_gap(self, tmp_path: Path) -> None:
        write_mkv(tmp_path / "gap.mkv", [0, 40, 80, 2000, 2040, 2080])
        reading = read_at(open_storage(str(tmp_path)), 25.0)
        assert [entry.row for entry in reading.entries] == [0, 1, 2, 3, 4, 5]
        found = dict(video_frames(tmp_path / "gap.mkv", {1, 3}))
        assert {row: number_of(image) for row, image in found.items()} == {1: 1, 3: 3}


@pytest.mark.requirement("R-RUN-69")
def test_a_video_of_absurd_size_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_mkv(tmp_path / "clip.mkv", [0, 40])
    monkeypatch.setattr(read, "MAX_PIXELS", 64 * 64 - 1)
    camera = Camera(width_px=64, height_px=64, fps=25.0, assumed_speed_mps=1.0)
    with pytest.raises(Missing) as refused:
        open_source(str(path), camera, SteppingClock())
    assert "64 x 64 pixels" in refused.value.found
