"""The search on a real detector with one layer that INT8 ruins: it finds that layer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S


@pytest.mark.slow
def test_yolox_nano_survives_int8(root: Path, shared_data: Path, tmp_path: Path) -> None:
    settings = {
        "model.file": shared_data / "detectors" / "yolox_nano.onnx",
        "data.root": shared_data / "road_scenes",
        "calibration.frames": 24,
        "calibration.held_back": 12,
        "calibration.method": "mse",
        "precision.search_frames": 6,
        "gates.found_min": 0.6,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    mission = str(root / "examples" / "yolox_nano" / "mission.toml")
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "convert", mission, *sets, "--out", str(tmp_path / "o")],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["quantized"]["macs_int8_share"] >= 0.85
    left = [one for one in report["quantized"]["left_float"] if one["rule"] == "measured"]
    assert 0 < len(left) < 60
    assert all("task loss" in one["why"] for one in left)
    first, last = report["search"]["steps"][0], report["search"]["steps"][-1]
    assert last["task_loss"] < 0.3 * first["task_loss_plain"]
    assert last["task_loss"] == min(step["task_loss"] for step in report["search"]["steps"])
    assert report["quantized"]["range_scale"] >= 1.0
    for bias in report["quantized"]["score_bias"].values():
        assert abs(bias["change_after"]) <= abs(bias["change_before"])
