"""Seeded faults of policies: the list fits the code, and a proof finds some of each kind.

`scripts/mutation/policy_mutants.py` tries the whole list and takes long; here are a few.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import tomllib
from patience import PATIENCE_S


@pytest.fixture(autouse=True)
def _scripts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts" / "mutation"))


def test_every_seeded_fault_fits_what_it_is_seeded_in(root: Path) -> None:
    from policy_mutants import mission_text, seeded

    faults = seeded()
    assert len(faults) == len({fault.name for fault in faults}) >= 40
    for fault in faults:
        text = mission_text() if fault.file == "mission" else (root / fault.file).read_text()
        assert fault.applied(text) != text
    kinds = Counter(Path(fault.file).suffix for fault in faults)
    assert kinds[".py"] >= 40
    assert kinds[".c"] >= 10
    assert kinds[""] >= 10
    tomllib.loads(mission_text())


@pytest.mark.requirement("R-RUN-120", "R-RUN-121")
@pytest.mark.parametrize(
    ("only", "prop"),
    [
        ("a gone camera only slows", "faults act"),
        ("the core does not miss its speed sensor", "mcu needs a sensor"),
        ("a softer stop for the same", "no rule shadowed"),
    ],
)
def test_a_proof_finds_one_of_each_kind(root: Path, tmp_path: Path, only: str, prop: str) -> None:
    found_file = tmp_path / "found.json"
    done = subprocess.run(
        [
            sys.executable,
            "scripts/mutation/policy_mutants.py",
            *("--only", only, "--trusting", "--json", str(found_file)),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(found_file.read_text())
    assert document["schema"] == "brakepoint.policy-faults/1"
    (row,) = document["faults"]
    assert row["fault"] == only
    assert row["found"].startswith(f"{prop}: ")
    assert "1 of 1 faults are found" in done.stdout


def test_a_fault_that_nothing_finds_fails_the_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import policy_mutants

    monkeypatch.setattr(policy_mutants, "found_by", lambda _fault: None)
    assert policy_mutants.main(["--only", "release while moving"]) == 1
    assert "NOT FOUND" in capsys.readouterr().out
    monkeypatch.setattr(policy_mutants, "found_by", lambda _fault: "numbers: wrong")
    assert policy_mutants.main(["--only", "release while moving"]) == 1
    assert "without any fault" in capsys.readouterr().err
