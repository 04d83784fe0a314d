"""Modules that take seconds to import are imported only where they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from patience import PATIENCE_S
from tiny_mission import write_mission

HEAVY = ("torch", "onnxscript", "sklearn", "matplotlib", "distributed")


def test_an_onnx_file_is_calibrated_without_pytorch(tmp_path: Path) -> None:
    mission = write_mission(tmp_path / "m")
    few = ["--set", "calibration.frames=8", "--set", "calibration.held_back=4"]
    program = (
        "import sys; from edge.cli import main\n"
        f"try: main({['calibrate', str(mission), *few, '--out', str(tmp_path / 'out')]})\n"
        f"except SystemExit as end: print(end.code or 0, *(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.stdout.splitlines()[-1].split() == ["0"], done.stdout + done.stderr
