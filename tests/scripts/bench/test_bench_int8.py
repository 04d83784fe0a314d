"""The benchmark of INT8 runs, on few frames and without its peers; no time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S


@pytest.mark.slow
def test_the_short_benchmark_saves_a_detector_that_int8_ruins(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures.json"
    arguments = ["--short", "--case", "yolox_nano", "--data", str(shared_data)]
    done = subprocess.run(
        [
            sys.executable,
            str(root / "scripts" / "bench" / "int8.py"),
            *arguments,
            "--json",
            str(figures),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert figures.exists(), done.stderr
    (case,) = json.loads(figures.read_text())
    rows = case["networks"]
    assert rows["float.onnx"]["found"] == rows["float.onnx"]["of"] > 20
    # Quantized whole it finds nothing. Few frames choose less well than many, but they do choose.
    assert rows["int8.onnx"]["found"] > 0.8 * rows["int8.onnx"]["of"]
    assert rows["int8.onnx"]["accuracy"] > rows["float.onnx"]["accuracy"] - 0.1
    assert rows["int8.onnx"]["macs_int8_share"] >= 0.85
    assert "int8.onnx" in done.stdout
