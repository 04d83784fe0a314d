"""Progress of a long verb: a line per stage in a log, a bar on a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from patience import PATIENCE_S

from edge.progress import AGAIN_S, _lines

ESCAPE = "\x1b"


@pytest.fixture
def lock(tmp_path: Path) -> list[str]:
    """A verb that says its progress, on a few pictures."""
    root = tmp_path / "road"
    root.mkdir()
    for row in range(3):
        image = np.random.default_rng(row).integers(0, 256, (32, 32, 3), np.uint8)
        cv2.imwrite(str(root / f"{row}.png"), image)
    out = str(tmp_path / "dataset.lock.json")
    return [sys.executable, "-m", "edge.cli", "data", "lock", str(root), "--out", out]


def test_a_verb_whose_stderr_is_a_file_writes_lines_without_control_codes(
    lock: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        assert subprocess.run(lock, stderr=file, check=False, timeout=PATIENCE_S).returncode == 0
    said = log.read_text()
    assert re.search(r"^ +\d+\.\d s  \S", said, re.M), said
    assert ESCAPE not in said
    assert "\r" not in said


def test_a_verb_on_a_terminal_draws(lock: list[str]) -> None:
    ours, theirs = os.openpty()
    surroundings = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(lock, stderr=theirs, check=False, timeout=PATIENCE_S, env=surroundings)
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert ESCAPE in said


def test_a_stage_has_a_line_as_it_begins_and_now_and_then_while_it_lasts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 100.0
    advance = _lines(lambda: now)
    for done in range(100):
        advance("observe", done, 100)
        now += 1.0
    advance("report.html", 0, 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "    0.0 s  observe, 100"
    assert lines[1] == f"   {AGAIN_S} s  observe, 30 of 100"
    assert lines[-1] == "  100.0 s  report.html"
    assert len(lines) == 5


def test_a_log_that_cannot_be_written_to_ends_nothing(lock: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(lock, stderr=full, check=False, timeout=PATIENCE_S)
    assert (tmp_path / "dataset.lock.json").is_file()
    assert done.returncode == 0
