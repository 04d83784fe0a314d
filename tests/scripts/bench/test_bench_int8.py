"""The benchmark of INT8, on few frames and without its peers: a detector with one layer that INT8
ruins survives, and the search has found that layer. No time is asserted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S


@pytest.fixture(scope="module")
def work(root: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the short benchmark leaves: its folders, `figures.json` and `printed.txt`."""
    work = tmp_path_factory.mktemp("bench")
    arguments = ["--short", "--case", "yolox_nano", "--data", str(shared_data)]
    figures = work / "figures.json"
    done = subprocess.run(
        [
            sys.executable,
            str(root / "scripts" / "bench" / "int8.py"),
            *arguments,
            *("--json", str(figures), "--work", str(work)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert figures.exists(), done.stderr
    (work / "printed.txt").write_text(done.stdout)
    return work


@pytest.mark.slow
def test_the_short_benchmark_saves_a_detector_that_int8_ruins(work: Path) -> None:
    (case,) = json.loads((work / "figures.json").read_text())
    rows = case["networks"]
    assert rows["float.onnx"]["found"] == rows["float.onnx"]["of"] > 20
    # Quantized whole it finds nothing. Few frames choose less well than many, but they do choose.
    assert rows["int8.onnx"]["found"] > 0.8 * rows["int8.onnx"]["of"]
    assert rows["int8.onnx"]["accuracy"] > rows["float.onnx"]["accuracy"] - 0.1
    assert rows["int8.onnx"]["macs_int8_share"] >= 0.85
    assert "int8.onnx" in (work / "printed.txt").read_text()


@pytest.mark.slow
def test_the_search_finds_the_layer_that_int8_ruins(work: Path) -> None:
    file = work / "yolox_nano" / "fold0" / "brakepoint" / "report.json"
    report: dict[str, Any] = json.loads(file.read_text())
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
