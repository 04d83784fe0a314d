"""Budgets of the test files fit into the limit of the suite, and exceeding one fails a session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from file_budgets import BUDGETS, SUITE_S, Budgets
from patience import PATIENCE_S


def test_all_budgets_together_fit_into_the_suites_limit(root: Path) -> None:
    budgets = Budgets.read()
    files = [str(path.relative_to(root / "tests")) for path in (root / "tests").rglob("test_*.py")]
    assert sum(map(budgets.of, files)) <= SUITE_S, f"lower some in {BUDGETS}"
    assert set(budgets.named_s) <= set(files), "names files that are not there"


def test_a_file_that_takes_too_much_processor_time_fails_the_session(
    root: Path, tmp_path: Path
) -> None:
    tests = tmp_path / "tests"
    (tests / "harness").mkdir(parents=True)
    for name in ("conftest.py", "harness/file_budgets.py", "harness/checkout.py"):
        source = (root / "tests" / name).read_text()
        (tests / name).write_text(source.replace("FIRST_S = 30.0", "FIRST_S = 0.0"))
    budgets = "default_s = 100\n[seconds]\n'test_busy.py' = 0.1\n"
    (tests / "harness" / "budgets.toml").write_text(budgets)
    (tests / "test_idle.py").write_text("import time\ndef test_idle(): time.sleep(0.5)\n")
    options = ("-q", "-p", "no:cacheprovider", "--rootdir=.", "-o", "pythonpath=tests/harness")
    command = [sys.executable, "-m", "pytest", *options]
    for busy_s, code in ((1.5, 1), (0.0, 0)):
        (tests / "test_busy.py").write_text(
            "import time\n"
            "def test_busy():\n"
            "    began_s = time.process_time()\n"
            f"    while time.process_time() - began_s < {busy_s}: pass\n"
        )
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
        assert done.returncode == code, done.stdout
        assert ("test_busy.py took" in done.stdout) == bool(code)
        assert "test_idle.py took" not in done.stdout
