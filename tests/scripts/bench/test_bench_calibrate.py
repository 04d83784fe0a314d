"""The benchmark runs, on few frames and without its peers; no time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S


@pytest.mark.slow
def test_the_short_benchmark_runs_and_its_ranges_are_right(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra [pretrained]")
    figures = tmp_path / "figures.json"
    arguments = ["--short", "--data", str(shared_data), "--json", str(figures)]
    done = subprocess.run(
        [sys.executable, str(root / "scripts" / "bench" / "calibrate.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert figures.exists(), done.stderr
    found = {row["network"]: row for row in json.loads(figures.read_text())}
    assert set(found) == {"yolox_nano", "efficientnet_lite0"}
    for row in found.values():
        assert row["memory_growth"] < 1.5
        assert row["runs"]["brakepoint"]["peak_mb"] < 800
    # Ranges that are right leave most of the signal; wrong ones leave nothing of it (error 1).
    assert found["efficientnet_lite0"]["int8_error"]["brakepoint"] < 0.1
    assert found["yolox_nano"]["int8_error"]["brakepoint"] < 0.7
