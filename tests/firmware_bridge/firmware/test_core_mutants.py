"""Small mutations of the core must be noticed by its cases or by the model of docs/link.md.

`scripts/mutation/c_mutants.py` tries every mutant and takes long; here are some of each file.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

SOURCE = """
#include <a.h> /* 1 < 2 */

/* if (this) */
static bool small(uint8_t value, bool on)
{
    uint8_t most = on ? BP_LIMITS.most_ms : 3u;

    if (!on && value < most) {
        count(value);
        return true;
    }
    return (value & 1u) == 0u;
}
"""


@pytest.fixture(autouse=True)
def _scripts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts" / "mutation"))
    for tool in ("cc", "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"the core cannot be built here: no {tool}")


def test_each_kind_of_change_is_made_once_and_what_people_read_is_left_alone() -> None:
    from c_changes import changes

    assert [change.identity for change in changes(SOURCE)] == [
        "small: uint8_t most = on ? BP_LIMITS.most_ms : 3u;"
        " -> uint8_t most = !(on) ? BP_LIMITS.most_ms : 3u;",
        "small: uint8_t most = on ? BP_LIMITS.most_ms : 3u;"
        " -> uint8_t most = on ? (BP_LIMITS.most_ms + 1u) : 3u;",
        "small: uint8_t most = on ? BP_LIMITS.most_ms : 3u;"
        " -> uint8_t most = on ? BP_LIMITS.most_ms : 4u;",
        "small: if (!on && value < most) { -> if (false) {",
        "small: if (!on && value < most) { -> if (true) {",
        "small: if (!on && value < most) { -> if (on && value < most) {",
        "small: if (!on && value < most) { -> if (!on || value < most) {",
        "small: if (!on && value < most) { -> if (!on && value <= most) {",
        "small: if (!on && value < most) { -> if (!on && value >= most) {",
        "small: count(value); -> ;",
        "small: return true; -> return false;",
        "small: return (value & 1u) == 0u; -> return (value | 1u) == 0u;",
        "small: return (value & 1u) == 0u; -> return (value & 2u) == 0u;",
        "small: return (value & 1u) == 0u; -> return (value & 1u) != 0u;",
        "small: return (value & 1u) == 0u; -> return (value & 1u) == 1u;",
    ]
    for change in changes(SOURCE):
        assert change.applied(SOURCE) != SOURCE
        assert change.applied(SOURCE).splitlines()[:5] == SOURCE.splitlines()[:5]


def test_what_is_said_to_be_equivalent_is_still_there() -> None:
    from c_mutants import equivalents, mutants, unknown_equivalents

    assert unknown_equivalents() == []
    identities = [mutant.identity for mutant in mutants()]
    assert len(identities) == len(set(identities))
    assert len(equivalents()) < len(identities) / 10


@pytest.mark.requirement("R-LINK-3", "R-LINK-17", "R-LINK-18", "R-LINK-21", "R-LINK-30")
def test_some_mutants_of_each_file_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from c_mutants import FILES, main

    code = main(["--limit", "8", "--json", str(tmp_path / "fates.json")])
    told = capsys.readouterr()
    assert code == 0, told.out + told.err
    document = json.loads((tmp_path / "fates.json").read_text())
    assert document["schema"] == "brakepoint.mutants/1"
    fates = [(row["module"], row["fate"]) for row in document["mutants"]]
    for file in FILES:
        assert (f"core/{file}", "killed") in fates
    assert {fate for _, fate in fates} <= {"killed", "equivalent"}


def test_a_mutant_that_nobody_looks_at_survives_and_fails_the_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import c_mutants

    monkeypatch.setattr(c_mutants, "all_cases", dict)
    monkeypatch.setattr(c_mutants, "disagreement", lambda *_lives, **_times: None)
    monkeypatch.setattr(c_mutants, "equivalents", dict)
    assert c_mutants.main(["--limit", "1"]) == 1
    assert "survived: core/safety.c:" in capsys.readouterr().out
