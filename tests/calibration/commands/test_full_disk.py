"""Files of data sets and clips on a full disk: one message, exit code 5, the old file untouched.

A limit on the size of files stands for the disk.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from data_sets import MAKERS


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["data", "lock", "data", "--out", "out/l.json"], "l.json"),
        (["data", "check", "data", "--html", "out/c.html"], "c.html"),
        (["scenes", "out/s.mp4", "--story", "clear_road"], "s.mp4"),
    ],
    ids=["lock", "page", "clip"],
)
def test_what_cannot_be_written_leaves_what_was_there(
    words: list[str], out: str, tmp_path: Path
) -> None:
    for folder in ("data", "out"):
        (tmp_path / folder).mkdir()
    MAKERS["yolo"](tmp_path / "data")
    (tmp_path / "out" / out).write_text("old")
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert "free space" in done.stderr
    assert [(p.name, p.read_text()) for p in (tmp_path / "out").iterdir()] == [(out, "old")]
