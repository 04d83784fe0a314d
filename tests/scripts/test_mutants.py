"""The mutation script changes what matters, sees which tests notice, and leaves the checkout alone.

`scripts/mutants` tries every mutant and takes long; here are a few.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

SOURCE = '''
def limit(speed: float, ceiling: float = 2.0) -> float:
    """Not 3."""
    if speed < 0 and not ceiling:
        raise ValueError(f"{speed + 1}")
    log(speed)
    return min(speed, ceiling)
'''


@pytest.fixture(autouse=True)
def _scripts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts" / "mutation"))


def test_each_kind_of_change_is_made_once_and_what_people_read_is_left_alone() -> None:
    from python_mutants import mutants_of

    assert [mutant.change for mutant in mutants_of("edge.limit", SOURCE)] == [
        "2.0 -> 3.0",
        "if speed < 0 and (not ceiling) -> if True",
        "if speed < 0 and (not ceiling) -> if False",
        "speed < 0 and (not ceiling) -> speed < 0 or not ceiling",
        "speed < 0 and (not ceiling) -> not ceiling",
        "speed < 0 and (not ceiling) -> speed < 0",
        "speed < 0 -> speed <= 0",
        "speed < 0 -> speed >= 0",
        "0 -> 1",
        "not ceiling -> ceiling",
        "log(speed) -> pass",
        "min(speed, ceiling) -> max(speed, ceiling)",
    ]


def test_a_mutant_survives_tests_that_see_nothing_and_is_killed_by_one_that_looks(
    root: Path, tmp_path: Path
) -> None:
    """Tests that see nothing let a mutant survive; tests that look at it kill it."""
    (tmp_path / "test_blind.py").write_text("def test_blind(): import edge.runtime.policy.modes\n")
    (tmp_path / "test_seeing.py").write_text(
        "from edge.runtime.policy.fault_counter import FaultCounter\n"
        "def test_seeing():\n"
        "    assert FaultCounter(5).after(bad=True).active is False\n"
        "    counter = FaultCounter(2)\n"
        "    for _ in range(2): counter = counter.after(bad=True)\n"
        "    assert counter.active is True\n"
    )
    tests = [str(tmp_path / name) for name in ("test_blind.py", "test_seeing.py")]
    code = f"""
import json, sys, time
sys.path.insert(0, {str(root / "scripts" / "mutation")!r})
from python_mutants import Trial, mutants_of
def passes(mutant, test):
    trial = Trial.start(mutant, [test], cpu_s=300)
    while (passed := trial.passed(wall_s=600)) is None:
        time.sleep(0.02)
    return passed
mutant = next(m for m in mutants_of("edge.runtime.policy.fault_counter") if "level >= " in m.change)
print(json.dumps([passes(m, test) for m in (None, mutant) for test in {tests!r}]))
"""
    before = (root / "edge" / "runtime" / "policy" / "fault_counter.py").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE_S
    )
    assert json.loads(done.stdout) == [True, True, True, False]
    assert (root / "edge" / "runtime" / "policy" / "fault_counter.py").read_bytes() == before


def test_a_few_mutants_are_tried_and_the_exit_code_says_whether_all_were_seen(
    root: Path, tmp_path: Path
) -> None:
    fates_file = tmp_path / "fates.json"
    command = [
        "scripts/mutation/mutants.py",
        "--only",
        "metrics",
        "--limit",
        "1",
        f"--json={fates_file}",
    ]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    document = json.loads(fates_file.read_text())
    assert document["schema"] == "brakepoint.mutants/1"
    fates = [row["fate"] for row in document["mutants"]]
    assert len(fates) == 4  # one of each module
    assert "killed" in fates
    assert set(fates) <= {"killed", "equivalent", "survived"}
    assert done.returncode == int("survived" in fates), done.stdout + done.stderr
