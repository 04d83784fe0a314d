"""`brakepoint calibrate` on a real detector and real road frames, killed and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import PATIENCE_S

from calibration.observation.observation import NAME, read_observation
from edge.contract.artifact import read_json


@pytest.fixture
def arguments(root: Path, shared_data: Path) -> list[str]:
    settings = {
        "model.file": shared_data / "detectors" / "yolox_nano.onnx",
        "data.root": shared_data / "road_scenes",
        "calibration.frames": 150,
        "calibration.method": "max",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    mission = root / "examples" / "yolox_nano" / "mission.toml"
    return [sys.executable, "-m", "edge.cli", "calibrate", str(mission), *sets, "--json"]


def called(arguments: list[str], out: Path) -> dict[str, object]:
    done = subprocess.run(
        [*arguments, "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, object] = json.loads(done.stdout)
    return report


@pytest.mark.slow
def test_a_killed_calibration_goes_on_to_the_same_ranges(
    arguments: list[str], tmp_path: Path
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    running = subprocess.Popen(
        [*arguments, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (killed / NAME).exists() and running.poll() is None:
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.02)
    running.kill()
    running.wait()
    kept = len(read_observation(killed / NAME).frames)
    assert 0 < kept < 150
    assert not (killed / "ranges.json").exists()
    called(arguments, killed)
    report = called(arguments, whole)
    for name in ("ranges.json", NAME):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    # Told by conditions: the frames of road_scenes are sunny, cloudy, rainy and foggy.
    sampling = read_json(whole / "calibration.json", "brakepoint.calibration/1")["sampling"]
    assert sampling == report["sampling"]
    quotas = sampling["quotas"]
    assert any("fog" in name for name in quotas)
    # As many of each condition as of any other, but where there are no more of it.
    most = max(row["taken"] for row in quotas.values())
    for row in quotas.values():
        assert row["taken"] == row["offered"] or row["taken"] >= most - 20
