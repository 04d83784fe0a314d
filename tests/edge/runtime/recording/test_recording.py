"""The annotated video keeps the timing of its clip, and is written atomically."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest
from checkout import samples
from clip_files import write_mkv
from patience import PATIENCE_S
from tiny_road import chosen, tiny_mission, write_clip, write_network

from edge.runtime.daemon import run
from firmware_bridge.link.driver import LinkDriver


def test_a_recording_of_a_variable_rate_keeps_the_time_of_the_clip(
    root: Path, link: LinkDriver, tmp_path: Path
) -> None:
    clip = write_mkv(tmp_path / "gap.mkv", [0, 40, 80, 1080, 1120])
    video = tmp_path / "annotated.mp4"
    report = run(
        tiny_mission(root),
        source=str(clip),
        model=chosen(write_network(tmp_path / "tiny.onnx")),
        link=link,
        on_event=lambda _: None,
        record=video,
    )
    assert report.recording is not None
    playback = cv2.VideoCapture(str(video))
    frames, fps = (playback.get(n) for n in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
    assert report.recording.frames == frames
    assert frames / fps == pytest.approx(1.16, abs=0.1)


def test_a_clip_that_changes_its_size_is_recorded_in_its_first(
    root: Path, link: LinkDriver, tmp_path: Path
) -> None:
    """Raw JPEG frames one after the other, the second half smaller."""
    sizes = [(128, 128)] * 12 + [(96, 64)] * 12
    jpegs = [cv2.imencode(".jpg", np.full((*size, 3), 90, np.uint8))[1].tobytes() for size in sizes]
    (tmp_path / "clip.mjpg").write_bytes(b"".join(jpegs))
    video = tmp_path / "annotated.mp4"
    report = run(
        tiny_mission(root),
        source=str(tmp_path / "clip.mjpg"),
        model=chosen(write_network(tmp_path / "tiny.onnx")),
        link=link,
        on_event=lambda _: None,
        record=video,
    )
    assert report.frames.captured == 24
    assert report.recording is not None, report.faults
    playback = cv2.VideoCapture(str(video))
    assert playback.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(24, abs=3)


@pytest.mark.requirement("R-RUN-71")
def test_a_recording_on_a_full_disk_is_said_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the middle alike."""
    clip = write_clip(tmp_path / "clip.mp4", frames=60, red=(0, 60))
    program = f"""
        import signal, resource, sys
        sys.path.insert(0, {str(samples("edge"))!r})
        from pathlib import Path
        from tiny_road import chosen, tiny_mission, write_network
        from edge.runtime.recording.annotated_video import AnnotatedVideo
        from edge.runtime.daemon import run
        from firmware_bridge.link.driver import LinkDriver
        from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
        here = Path({str(tmp_path)!r})
        network = write_network(here / "tiny.onnx")
        mission = tiny_mission(Path({str(root)!r}))
        with HostFirmware(build_folder=default_build_folder()) as mcu, LinkDriver(mcu.port) as link:
            link.wait_established(20.0)
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
            report = run(mission, source={str(clip)!r}, model=chosen(network), link=link,
                         on_event=lambda _: None, record=here / "out" / "rec.mp4")
        print(report.exit_code, report.recording, report.frames.captured)
        print([fault.text for fault in report.faults if fault.kind == "recording lost"][0])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first == "5 None 60"
    assert "was not written whole" in second or "large" in second
    assert list((tmp_path / "out").iterdir()) == []
