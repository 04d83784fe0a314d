"""Cameras behind real GStreamer pipelines: their times, their mistakes, and their end."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cameras.gstreamer_here import needs_gstreamer
from patience import PATIENCE_S
from stepped_sources import CAMERA

from edge.perception.values import Frame
from edge.runtime.clock import monotonic_ns
from edge.runtime.sources.camera import CameraSource, Delivered
from edge.runtime.sources.gstreamer.pipeline_camera import own_pipeline
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import CameraGone
from firmware_bridge.errors import DeviceFault, Missing, Refusal, UsageError

pytestmark = needs_gstreamer

LIVE = "videotestsrc is-live=true ! video/x-raw,width=128,height=128,framerate=50/1"


def run_on(_: float) -> bool:
    return False


def refusal_of(given: str) -> Refusal:
    with pytest.raises(Refusal) as refused:
        open_source(given, CAMERA, monotonic_ns)
    return refused.value


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("videotestsr ! videoconvert", 'no element "videotestsr"'),
            ("videotestsrc patern=ball", 'no property "patern" in element "videotestsrc"'),
            ("videotestsrc pattern=bal", 'could not set property "pattern" in element'),
            ("videotestsrc ! ! videoconvert", "syntax error"),
            ("videotestsrc ! audioconvert", "could not link videotestsrc0 to audioconvert0"),
            ("videotestsrc ! video/x-raw,width=abc(", "could not parse caps"),
            ("", "syntax error"),
            ("videotestsrc " + 300 * "! identity " + "! nothing", 'no element "nothing"'),
        ],
    )
    def test_a_typing_error_is_one_message_in_gstreamers_words(
        self, text: str, words: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        refusal = refusal_of(f"gst:{text}")
        assert isinstance(refusal, UsageError)
        assert words in refusal.found
        assert "gst-launch-1.0" in refusal.remedy
        assert capfd.readouterr().err == ""

    @pytest.mark.requirement("R-RUN-135")
    def test_passwords_do_not_come_back_in_gstreamers_words(self) -> None:
        refusal = refusal_of("gst:videotestsrc pattern=ball foreground-color=geheim")
        assert "geheim" not in str(refusal)
        assert 'could not set property "foreground-color" in element' in refusal.found

    def test_a_pipeline_that_ends_in_no_picture(self) -> None:
        refusal = refusal_of("gst:audiotestsrc is-live=true")
        assert isinstance(refusal, UsageError)
        assert "could not link" in refusal.found

    def test_a_device_that_is_not_there(self) -> None:
        refusal = refusal_of("gst:v4l2src device=/dev/video97")
        assert isinstance(refusal, DeviceFault)
        assert "/dev/video97" in refusal.found

    def test_a_jetsons_camera_without_a_jetson(self) -> None:
        refusal = refusal_of("csi:0")
        assert isinstance(refusal, Missing)
        assert refusal.found == 'no element "nvarguscamerasrc"'
        assert "nvidia-l4t-gstreamer" in refusal.remedy

    @pytest.mark.parametrize("given", ["csi:", "csi:front", "nvjpeg:-1"])
    def test_a_camera_without_a_number(self, given: str) -> None:
        assert isinstance(refusal_of(given), UsageError)

    def test_a_codec_without_a_decoder(self) -> None:
        """Bytes that call themselves a codec which nothing here decodes."""
        refusal = refusal_of(
            "gst:videotestsrc is-live=true ! capssetter join=false replace=true "
            "caps=video/x-brakepoint-unknown ! decodebin"
        )
        assert isinstance(refusal, Missing)
        assert "gstreamer1.0-libav" in refusal.remedy

    @pytest.mark.requirement("R-RUN-70")
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            (LIVE.replace("width=128", "width=96"), "96 x 128 pixels at 50 frames a second"),
            (LIVE.replace("50/1", "30/1"), "128 x 128 pixels at 30 frames a second"),
        ],
    )
    def test_another_size_or_rate_than_the_missions(self, text: str, found: str) -> None:
        refusal = refusal_of(f"gst:{text}")
        assert isinstance(refusal, DeviceFault)
        assert refusal.found == found

    def test_without_gstreamer_it_says_what_to_install(self, tmp_path: Path) -> None:
        """In a process that finds libraries in an empty folder only."""
        program = (
            "import ctypes, sys\n"
            "from edge.runtime.sources.gstreamer import pipeline_process\n"
            "from edge.runtime.sources.gstreamer.pipeline_camera import own_pipeline\n"
            "from firmware_bridge.errors import Missing\n"
            "pipeline_process.COMMAND = pipeline_process.COMMAND.replace('libgst', 'libnone')\n"
            "hide = 'import ctypes; real = ctypes.CDLL\\n'\n"
            "hide += 'def absent(name): raise OSError(name + \": cannot open shared object\")\\n'\n"
            "hide += 'ctypes.CDLL = absent\\n'\n"
            "pipeline_process.COMMAND = hide + pipeline_process.COMMAND\n"
            "try:\n own_pipeline('gst:x', 'x', clock=lambda: 0).connect(lambda _: False)\n"
            "except Missing as refusal:\n print(refusal)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        assert "gst:x needs GStreamer" in done.stdout
        assert "apt-get install gstreamer1.0-plugins-base" in done.stdout
        assert done.stderr == ""


class TestTimes:
    @pytest.mark.requirement("R-RUN-132", "R-RUN-133")
    def test_live_pictures_have_the_pipelines_times_on_our_clock(self) -> None:
        before_ns = monotonic_ns()
        camera = own_pipeline(f"gst:{LIVE}", LIVE, clock=monotonic_ns)
        stream = camera.connect(run_on)
        times = []
        for _ in range(5):
            got = stream.read(run_on, within_s=60.0)
            assert isinstance(got, Delivered)
            assert (got.stamp_source, got.uncertainty_ns) == ("pipeline", None)
            assert before_ns < got.captured_ns <= monotonic_ns()
            times.append(got.captured_ns)
        stream.close()
        # The test source stamps to the nanosecond; a busy machine drops frames between.
        for one, other in itertools.pairwise(times):
            assert (other - one) % 20_000_000 == 0
            assert other > one

    def test_a_recording_is_paced_by_its_own_times(self) -> None:
        text = LIVE.replace("is-live=true", "num-buffers=3")
        stream = own_pipeline(f"gst:{text}", text, clock=monotonic_ns).connect(run_on)
        readings = [stream.read(run_on, within_s=60.0) for _ in range(4)]
        stream.close()
        *pictures, end = readings
        assert [one.stamp_source for one in pictures if isinstance(one, Delivered)] == ["video"] * 3
        assert end.reason == "ended its stream"  # type: ignore[union-attr]

    def test_rows_that_are_padded(self) -> None:
        """GStreamer pads rows of BGR to four bytes."""
        camera = CAMERA.model_copy(update={"width_px": 130, "height_px": 65})
        given = "gst:" + LIVE.replace("width=128,height=128", "width=130,height=65")
        source = open_source(f"{given} ! videoflip method=none", camera, monotonic_ns)
        frame = source.read(run_on)
        source.close()
        assert isinstance(frame, Frame)
        assert frame.image.shape == (65, 130, 3)
        assert frame.image.flags.c_contiguous
        # Bars from white on the left to blue on the right, the same in every one of the upper rows.
        assert frame.image[10, 5].min() > 180
        assert (frame.image[:40] == frame.image[:1]).all()


class TestProcess:
    @pytest.mark.requirement("R-RUN-136")
    def test_a_plugin_that_crashes_is_a_lost_camera_that_comes_back(self) -> None:
        source = open_source(f"gst:{LIVE}", CAMERA, monotonic_ns)
        assert isinstance(source, CameraSource)
        assert isinstance(source.read(run_on), Frame)
        os.kill(_pid_of(source), signal.SIGSEGV)
        gone = source.read(run_on)
        while isinstance(gone, Frame):  # what the pipe still held
            gone = source.read(run_on)
        assert isinstance(gone, CameraGone)
        assert gone.reason.endswith("its process ended with signal SIGSEGV")
        assert isinstance(source.read(run_on), Frame)
        source.close()

    @pytest.mark.requirement("R-RUN-130", "R-RUN-136")
    def test_a_pipeline_that_hangs_is_gone_in_time_and_its_process_is_killed(self) -> None:
        source = open_source(f"gst:{LIVE}", CAMERA, monotonic_ns)
        assert isinstance(source, CameraSource)
        assert isinstance(source.read(run_on), Frame)
        hung = _pid_of(source)
        os.kill(hung, signal.SIGSTOP)
        gone = source.read(run_on)
        while isinstance(gone, Frame):
            gone = source.read(run_on)
        assert gone == CameraGone(f"{source.info.given} delivers no frame within 2 s")
        back = source.read(run_on)
        assert isinstance(back, Frame)
        assert not Path(f"/proc/{hung}").exists()
        source.close()

    @pytest.mark.requirement("R-RUN-136")
    def test_the_process_ends_with_the_one_that_started_it(self) -> None:
        program = (
            "import os, sys\n"
            "from edge.runtime.sources.gstreamer.pipeline_camera import own_pipeline\n"
            "camera = own_pipeline('gst:x', sys.argv[1], clock=lambda: 0)\n"
            "stream = camera.connect(lambda _: False)\n"
            "print(stream._process.pid, flush=True)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, LIVE],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == -signal.SIGKILL
        child = Path(f"/proc/{int(done.stdout)}")
        deadline_s = time.monotonic() + 60.0
        while child.exists() and _state(child) != "Z":
            assert time.monotonic() < deadline_s
            time.sleep(0.01)

    @pytest.mark.requirement("R-RUN-135")
    def test_other_users_of_the_machine_do_not_see_the_pipeline(self) -> None:
        text = LIVE.replace("videotestsrc", "videotestsrc name=geheim")
        stream = own_pipeline("gst:x", text, clock=monotonic_ns).connect(run_on)
        pid = stream._process.pid
        seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        stream.close()
        assert b"geheim" not in seen
        assert b"child_process" in seen

    def test_a_run_that_ends_does_not_wait_for_a_camera(self) -> None:
        """Opening, reading: each looks every 0.1 s whether the run is over."""
        began_s = time.monotonic()
        silent = "videotestsrc is-live=true ! valve drop=true ! video/x-raw"
        stream = own_pipeline(f"gst:{silent}", silent, clock=monotonic_ns).connect(run_on)
        stream.read(lambda _: True, within_s=60.0)
        stream.close()
        assert time.monotonic() - began_s < 60.0


def _pid_of(source: CameraSource) -> int:
    stream = source._stream
    assert stream is not None
    return int(stream._process.pid)  # type: ignore[attr-defined]


def _state(process: Path) -> str:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
