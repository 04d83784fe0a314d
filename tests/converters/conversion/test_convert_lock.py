"""`convert.lock.json`: the same inputs give the same bytes anywhere, `--locked` refuses others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from tiny_mission import write_mission

from converters.conversion import convert
from edge.contract.artifact import read_json
from edge.engine.model_choice import cache_name
from edge.engine.releases import CACHE_RELEASES

MADE = (
    *("float.onnx", "int8.onnx", "cpu.onnx", "strong.onnx", "implicit.onnx", "ranges.json"),
    *(cache_name(release) for release in CACHE_RELEASES),
    *("trtexec.md", "trtexec.sh", "convert.lock.json"),
)

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("locked") / "out"
    assert converted_by_a_child(tiny_mission, out, hash_seed=1).returncode == 0
    return out


@pytest.fixture
def out(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "out"))


def converted_by_a_child(
    mission: Path, out: Path, *more: str, hash_seed: int
) -> subprocess.CompletedProcess[str]:
    """In a process of its own, its folder that of `out`, sets in another order."""
    out.parent.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "convert", str(mission), "--out", out.name, *more],
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(os.path.realpath(path) for path in sys.path),
            "PYTHONHASHSEED": str(hash_seed),
        },
    )


def test_the_lock_names_every_input_and_output_and_no_path(
    converted: Path, tiny_mission: Path
) -> None:
    lock = read_json(converted / "convert.lock.json", "brakepoint.convert-lock/1")
    for name in MADE[:-1]:
        assert lock["outputs"][name] == sha256((converted / name).read_bytes()).hexdigest()
    model = (tiny_mission.parent / "tiny.onnx").read_bytes()
    assert lock["inputs"]["source"]["sha256"] == sha256(model).hexdigest()
    assert lock["inputs"]["mission"]["calibration.percentile"] == 99.99
    assert set(lock["inputs"]["tools"]) >= {"numpy", "onnx", "onnxruntime", "opencv", "torch"}
    assert str(tiny_mission.parent) not in json.dumps(lock)


def test_two_runs_from_other_folders_give_the_same_bytes(converted: Path, tmp_path: Path) -> None:
    mission = write_mission(tmp_path / "elsewhere")
    done = converted_by_a_child(mission, tmp_path / "there" / "out", hash_seed=2)
    assert done.returncode == 0, done.stderr
    for name in MADE:
        assert (tmp_path / "there" / "out" / name).read_bytes() == (converted / name).read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_files(
    brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path, threads: int
) -> None:
    setting = f"target.threads={threads}"
    code, _, _ = brakepoint("convert", tiny_mission, "--out", tmp_path / "o", "--set", setting)
    assert code == 0
    for name in MADE[:-1]:
        assert (tmp_path / "o" / name).read_bytes() == (converted / name).read_bytes()


def test_locked_takes_the_same_inputs(brakepoint: Command, tiny_mission: Path, out: Path) -> None:
    before = (out / "report.json").read_bytes()
    code, _, _ = brakepoint("convert", tiny_mission, "--out", out, "--locked")
    assert code == 0
    assert (out / "report.json").read_bytes() == before


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("calibration.percentile=99.5", ("mission calibration.percentile 99.99", "99.5")),
        ("gates.found_min=0.5", ("mission gates.found_min 0.9", "0.5")),
        ("data.seed=9", ("mission data.seed 0", "9", "data calibration", "data held_back")),
    ],
)
def test_locked_refuses_another_mission_and_says_which_keys(
    brakepoint: Command, tiny_mission: Path, out: Path, setting: str, told: tuple[str, ...]
) -> None:
    code, printed, err = brakepoint(
        "convert", tiny_mission, "--out", out, "--locked", "--set", setting
    )
    assert (code, printed) == (4, "")
    assert "the inputs are not those of" in err
    assert all(word in err for word in told)


@pytest.mark.parametrize(
    ("input_", "told"),
    [("model", "source sha256"), ("frame", "data "), ("ranges", "ranges sha256")],
)
def test_locked_refuses_another_network_frame_or_ranges(
    brakepoint: Command, tmp_path: Path, out: Path, input_: str, told: str
) -> None:
    mission = write_mission(tmp_path / "m")
    more: list[str | Path] = []
    if input_ == "model":
        path = mission.parent / "tiny.onnx"
        path.write_bytes(path.read_bytes() + b"\x0a\x00")  # a second, empty producer field
    elif input_ == "frame":
        path = mission.parent / "road" / "003.png"
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        more = ["--ranges", out / "ranges.json"]
    code, _, err = brakepoint("convert", mission, "--out", out, "--locked", *more)
    assert code == 4
    assert told in err


def test_locked_refuses_another_tool_and_this_program_changed(
    brakepoint: Command, tiny_mission: Path, out: Path, tmp_path: Path
) -> None:
    document = json.loads((out / "convert.lock.json").read_text())
    document["inputs"]["tools"]["onnxruntime"] = "1.0.0"
    document["inputs"]["code"]["sha256"] = "0" * 64
    text = json.dumps(document["inputs"], sort_keys=True, separators=(",", ":"))
    document["inputs_sha256"] = sha256(text.encode()).hexdigest()
    (tmp_path / "other.lock.json").write_text(json.dumps(document))
    code, _, err = brakepoint(
        "convert", tiny_mission, "--out", out, "--lock", tmp_path / "other.lock.json"
    )
    assert code == 4
    assert "tools onnxruntime 1.0.0" in err
    assert "code sha256 0000" in err


def test_locked_refuses_other_files_from_the_same_inputs_and_writes_none(
    brakepoint: Command, tiny_mission: Path, out: Path
) -> None:
    document = json.loads((out / "convert.lock.json").read_text())
    document["outputs"]["int8.onnx"] = "0" * 64
    (out / "convert.lock.json").write_text(json.dumps(document))
    (out / "report.json").unlink()
    code, _, err = brakepoint("convert", tiny_mission, "--out", out, "--locked")
    assert code == 4
    assert "from the same inputs other files were made" in err
    assert "int8.onnx 0000" in err
    assert not (out / "report.json").exists()


@pytest.mark.parametrize(("damage", "code"), [("gone", 3), ("half", 4), ("edited", 4)])
def test_a_lock_that_is_not_whole_is_refused(
    brakepoint: Command, tiny_mission: Path, out: Path, damage: str, code: int
) -> None:
    path = out / "convert.lock.json"
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(text[:200] if damage == "half" else text.replace("99.99", "99.98"))
    found, _, err = brakepoint("convert", tiny_mission, "--out", out, "--locked")
    assert found == code
    assert "convert.lock.json" in err


def test_a_file_that_is_no_longer_made_does_not_stay(
    brakepoint: Command, tiny_mission: Path, out: Path
) -> None:
    document = json.loads((out / "convert.lock.json").read_text())
    document["outputs"] |= {"former.onnx": "0" * 64, "../mine": "0" * 64}
    (out / "convert.lock.json").write_text(json.dumps(document))
    (out / "former.onnx").write_text("of a former run")
    (out.parent / "mine").write_text("another's")
    (out / "notes.txt").write_text("mine")
    assert brakepoint("convert", tiny_mission, "--out", out)[0] == 0
    left = {path.name for path in out.iterdir()}
    assert left == {*MADE, "report.html", "report.json", "notes.txt", convert.STORE}
    assert (out.parent / "mine").exists()
