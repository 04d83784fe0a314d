"""Signals that end a run: it stops the vehicle, writes a report, and exits with the right code."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from checkout import samples
from patience import PATIENCE_S
from tiny_road import write_clip, write_network


@pytest.mark.parametrize("numbers", [("SIGTERM",), ("SIGINT",), ("SIGINT", "SIGTERM")])
def test_a_signal_ends_a_run_with_a_stop_and_a_report(
    numbers: tuple[str, ...], root: Path, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=1500)
    network = write_network(tmp_path / "tiny.onnx")
    program = f"""
        import sys
        sys.path.insert(0, {str(samples("edge"))!r})
        from pathlib import Path
        from tiny_road import chosen, tiny_mission
        from edge.runtime.daemon import run
        from firmware_bridge.link.driver import LinkDriver
        from firmware_bridge.emulation.host_process import HostFirmware, default_build_folder
        with HostFirmware(build_folder=default_build_folder()) as mcu, LinkDriver(mcu.port) as link:
            link.wait_established(30.0)
            report = run(tiny_mission(Path({str(root)!r})), source={str(clip)!r},
                         model=chosen(Path({str(network)!r})), link=link,
                         on_event=lambda event: print(event.kind, flush=True))
            print("ended:", report.ended)
            print("last:", report.effective[-1].action.name)
            counts = report.frames
            print("adds up:", 0 < counts.captured == counts.inferred + counts.dropped < 1500)
            raise SystemExit(max((f.exit_code for f in report.faults if "link" not in f.kind
                                  and "stop" not in f.kind), default=0))
    """
    daemon = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert daemon.stdout is not None
    for line in daemon.stdout:
        if line.strip() == "frame":
            break
    for name in numbers:
        daemon.send_signal(getattr(signal, name))
    out, err = daemon.communicate(timeout=PATIENCE_S)
    assert daemon.returncode == 0, err
    assert "Traceback" not in err
    said = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)
    assert said == {"ended": "asked to", "last": "COMFORT_STOP", "adds up": "True"}
