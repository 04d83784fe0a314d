"""The command line: one clear message and the right exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S

from edge.cli import main


def brakepoint(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=cwd,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ""),
        (["--version"], 0, ""),
        (["misson", "check"], 2, "brakepoint mission check --help"),
        (["mission", "check"], 2, "Missing argument"),
        (["mission", "check", "none.toml"], 3, "brakepoint init"),
        (["convert", "none.toml", "--out", "x"], 3, "brakepoint init"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, words: str) -> None:
    done = brakepoint(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("convrt m.toml --out x", ["convert"]),
        ("eval m.toml", ["evaluate"]),
        ("Convert m.toml", ["convert"]),
        ("fine-tune m.toml", ["finetune"]),
        ("misson check m.toml", ["mission check"]),
        ("mission chek m.toml", ["mission check"]),
        ("mission m.toml", ["mission check"]),
        ("data lok road", ["data lock"]),
        ("data --json", ["data lock", "data check", "data split"]),
        ("lock road", ["data lock"]),
        ("check m.toml", ["mission check", "policy check", "data check"]),
        ("engine biuld", ["engine build"]),
        ("xyzzy", []),
        ("quantize m.toml", []),
    ],
)
def test_a_verb_typed_wrong_is_told_the_right_one(
    typed: str, meant: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(typed.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    if meant:
        assert f"did you mean {' or '.join(meant)}? brakepoint {meant[0]} --help" in said
    else:
        assert "did you mean" not in said
        assert "brakepoint --help" in said


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("mission check --josn m.toml", "--json"),
        ("mission check --sett a=1 m.toml", "--set"),
        ("--json mission check", "options follow the verb"),
    ],
)
def test_an_option_typed_wrong_is_told_the_right_one(typed: str, words: str) -> None:
    done = brakepoint(*typed.split())
    assert done.returncode == 2
    assert words in done.stderr


def test_the_first_word_of_two_tells_what_may_follow() -> None:
    done = brakepoint("data", "--help")
    assert done.returncode == 0
    assert "data lock" in done.stdout
    assert "mission check" not in done.stdout
    assert brakepoint("data").returncode == 2


def test_init_writes_a_mission_that_checks_and_never_overwrites(tmp_path: Path) -> None:
    assert brakepoint("init", cwd=tmp_path).returncode == 0
    text = (tmp_path / "mission.toml").read_text()
    checked = brakepoint("mission", "check", "mission.toml", cwd=tmp_path)
    assert checked.returncode == 0
    assert "my-mission: ok" in checked.stdout
    again = brakepoint("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert (tmp_path / "mission.toml").read_text() == text


def test_init_into_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = brakepoint("init", str(tmp_path / "file" / "mission.toml"))
    assert done.returncode == 5
    assert "Traceback" not in done.stderr


def test_the_examples_without_their_files_name_what_to_put_where(root: Path) -> None:
    done = brakepoint(
        "convert", str(root / "examples" / "yolox_nano" / "mission.toml"), "--out", "unused"
    )
    assert done.returncode == 3
    assert "yolox_nano.onnx" in done.stderr
    assert "--set model.file=" in done.stderr
    assert not Path("unused").exists()
