"""`brakepoint convert` end to end on a tiny mission, and what `run` accepts of it: the same bytes
twice, a full disk and a kill at every moment, and no model without a passing report.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
import pytest

from converters.conversion import convert
from converters.quantization.qdq_reader import take_apart
from converters.report.report import TIMES
from edge.contract.artifact import digest_file, json_file, read_json
from edge.contract.conversion_output import choose_model
from edge.contract.mission.loading import load_mission
from edge.engine.calibration_cache import read_cache
from edge.runtime.health.files import NO_FILES, read_health_files
from edge.runtime.health.profile import SCHEMA, fit
from firmware_bridge.errors import NotTrusted

FILES = (
    *("float.onnx", "int8.onnx", "cpu.onnx", "strong.onnx", "implicit.onnx"),
    *(f"calibration-{release}.cache" for release in ("8.6.1", "8.6.2", "10.3.0", "10.7.0")),
    *("ranges.json", "trtexec.md", "trtexec.sh"),
    *("convert.lock.json", "report.html", "report.json"),
)

CONVERT = (sys.executable, "-m", "edge.cli", "convert")

Command = Callable[..., tuple[int, str, str]]


def published(out: Path) -> dict[str, bytes]:
    """What stands in `out` for others, without the store of stages."""
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != convert.STORE}


@pytest.fixture(scope="module")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted once, in a process of its own."""
    out = tmp_path_factory.mktemp("converted") / "new" / "out"
    done = subprocess.run(
        [*CONVERT, str(tiny_mission), "--out", str(out), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == read_json(out / "report.json", "brakepoint.report/2")
    return out


@pytest.fixture
def copy(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "copy"))


def test_a_run_gets_the_profile_of_the_report_and_no_other(
    converted: Path, copy: Path, tiny_mission: Path
) -> None:
    """The tiny mission has too few frames for a profile, which its report says."""
    mission = load_mission(tiny_mission)
    report = read_json(converted / "report.json", "brakepoint.report/2")
    assert report["profile"]["state"] == "not made"
    assert read_health_files(converted, mission) == NO_FILES

    profile = fit(np.random.default_rng(0).normal(size=(40, 1, 6)))
    (copy / "profile.json").write_bytes(json_file(SCHEMA, profile.to_json()))
    artifact = {"sha256": digest_file(copy / "profile.json"), "bytes": 1}
    report["artifacts"]["profile.json"] = artifact
    (copy / "report.json").write_text(json.dumps(report))
    read = read_health_files(copy, mission).profile
    assert read is not None
    assert read.to_json() == profile.to_json()
    (copy / "profile.json").write_bytes(json_file(SCHEMA, {**profile.to_json(), "limit": 1e9}))
    with pytest.raises(NotTrusted, match="not the file that was judged"):
        read_health_files(copy, mission)


def test_the_caches_hold_the_scales_of_int8_and_of_every_other_tensor(converted: Path) -> None:
    pairs = take_apart(onnx.load(converted / "int8.onnx")).pairs
    caches = [read_cache(path.read_bytes()) for path in sorted(converted.glob("*.cache"))]
    assert [str(cache.release) for cache in caches] == ["10.3.0", "10.7.0", "8.6.1", "8.6.2"]
    for cache in caches:
        assert {"images", "a", "r", "map", "flat", "detections"} == set(cache.scales)
        for pair in pairs:
            if pair.kind == "activation":
                assert cache.scales[pair.tensor] == pair.scale
        assert cache.scales["map"] == cache.scales["flat"] == cache.scales["detections"]


def test_all_files_and_a_report_of_what_is_in_them(converted: Path) -> None:
    assert sorted(published(converted)) == sorted(FILES)
    report = read_json(converted / "report.json", "brakepoint.report/2")
    for name, artifact in report["artifacts"].items():
        assert artifact["sha256"] == digest_file(converted / name)
        assert artifact["size"] == (converted / name).stat().st_size
    for name in FILES[:5]:
        onnx.checker.check_model(onnx.load(converted / name), full_check=True)
    assert report["passed"]
    assert {name: one["agrees"] for name, one in report["lowerings"].items()} == {
        "strong": True,
        "ranges": True,
    }
    assert report["agreement"]["int8.onnx"]["of"] == 8
    assert len(report["calibration"]["frames"]) == 8
    assert not {*report["calibration"]["frames"]} & {*report["held_back"]["frames"]}
    assert report["quantized"]["operators"] == {"Conv": 2}


def without_times(path: Path) -> dict[str, Any]:
    report = read_json(path / "report.json", "brakepoint.report/2")
    return {key: report[key] for key in report if key not in TIMES}


def test_twice_gives_the_same_bytes(
    brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    code, out, _ = brakepoint("convert", tiny_mission, "--out", tmp_path / "again")
    assert code == 0
    assert "gates" in out
    for name in FILES[:4]:
        assert (tmp_path / "again" / name).read_bytes() == (converted / name).read_bytes()
    assert without_times(tmp_path / "again") == without_times(converted)


def test_other_frames_are_another_data_set_and_the_same_float(
    brakepoint: Command, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    code, _, _ = brakepoint(
        "convert", tiny_mission, "--out", tmp_path / "o", "--set", "data.seed=5"
    )
    assert code == 0
    assert (tmp_path / "o" / "float.onnx").read_bytes() == (converted / "float.onnx").read_bytes()
    one, two = (
        read_json(folder / "ranges.json", "brakepoint.ranges/1")["taken_from"]
        for folder in (converted, tmp_path / "o")
    )
    assert one.pop("data") != two.pop("data")
    assert one.pop("frames") != two.pop("frames")
    assert one == two


def test_a_failed_gate_exits_1_with_every_file_written_and_run_refuses_it(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    """A range that leaves out the vivid cells, so that INT8 sees none of them."""
    out = tmp_path / "out"
    clipped = ("--set", "calibration.percentile=91", "--set", "precision.search=none")
    code, printed, err = brakepoint("convert", tiny_mission, "--out", out, *clipped)
    assert code == 1
    assert "failed" in printed
    assert "gates failed" in err
    assert "found_min int8 >= 0.9; found_min cpu >= 0.9" in err
    own_numbers = {name for name in FILES if name.endswith(".cache")} | {"implicit.onnx"}
    assert set(published(out)) == set(FILES) - own_numbers, "those are judged by the same gate"
    code, _, err = brakepoint(*run(tiny_mission, out, "--precision", "int8"))
    assert code == 1
    assert f"cpu.onnx in {out} failed its gates" in err
    assert choose_model(out, load_mission(tiny_mission), "float") == out / "float.onnx"


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_run_refuses_what_failed_its_gates(
    brakepoint: Command, tiny_mission: Path, copy: Path, precision: str
) -> None:
    report = json.loads((copy / "report.json").read_text())
    name = {"float": "float.onnx", "int8": "cpu.onnx"}[precision]
    for gate in report["gates"]:
        if gate["artifact"] == name:
            gate["passed"] = False
    (copy / "report.json").write_text(json.dumps(report))
    code, _, err = brakepoint(*run(tiny_mission, copy, "--precision", precision))
    assert code == 1
    assert f"{name} in {copy} failed its gates" in err


def run(tiny_mission: Path, folder: Path, *more: str) -> tuple[str, ...]:
    source = str(tiny_mission.parent / "road")
    return ("run", str(tiny_mission), "--source", source, "--from", str(folder), *more)


@pytest.mark.parametrize("name", ["float.onnx", "cpu.onnx"])
def test_run_refuses_a_changed_model(
    brakepoint: Command, tiny_mission: Path, copy: Path, name: str
) -> None:
    data = bytearray((copy / name).read_bytes())
    data[-30] ^= 1
    (copy / name).write_bytes(data)
    precision = "float" if name == "float.onnx" else "int8"
    code, _, err = brakepoint(*run(tiny_mission, copy, "--precision", precision))
    assert code == 4
    assert "is not the file that was judged" in err
    assert "to mend" in err


def test_run_refuses_another_missions_model(
    brakepoint: Command, tiny_mission: Path, converted: Path
) -> None:
    other = ("--set", "model.preprocess.color=bgr")
    code, _, err = brakepoint(*run(tiny_mission, converted, *other))
    assert code == 4
    assert "was not converted for this mission" in err


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("gone", 3),
        ("no json", 4),
        ("another schema", 4),
        ("no gates", 4),
        ("no artifacts", 4),
        ("gates are words", 4),
        ("the model is gone", 3),
    ],
)
def test_run_refuses_a_report_that_is_not_whole(
    brakepoint: Command, tiny_mission: Path, copy: Path, change: str, code: int
) -> None:
    path = copy / "report.json"
    report = json.loads(path.read_text())
    if change == "gone":
        path.unlink()
    elif change == "no json":
        path.write_bytes(path.read_bytes()[:100])
    elif change == "the model is gone":
        (copy / "float.onnx").unlink()
    else:
        report |= {
            "another schema": {"schema": "brakepoint.report/0"},
            "no gates": {"gates": None},
            "no artifacts": {"artifacts": {}},
            "gates are words": {"gates": ["passed"]},
        }[change]
        path.write_text(json.dumps(report))
    found, _, err = brakepoint(*run(tiny_mission, copy))
    assert found == code
    assert "to mend" in err


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_an_out_that_is_a_file_is_refused_before_the_work(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" if where == "a file" else tmp_path / "file" / "out"
    # A model that is not there would be found first if work had begun.
    code, _, err = brakepoint(
        "convert", tiny_mission, "--out", out, "--set", "model.file=none.onnx"
    )
    assert code == 2
    assert "cannot write to" in err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any folder")
def test_an_out_that_is_not_writable_is_refused_before_the_work(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    code, _, err = brakepoint("convert", tiny_mission, "--out", tmp_path / "out")
    tmp_path.chmod(0o700)
    assert (code, "not writable" in err) == (2, True)


@pytest.mark.parametrize("former", [True, False])
def test_a_full_disk_leaves_the_former_set_or_nothing(
    tiny_mission: Path, converted: Path, tmp_path: Path, former: bool
) -> None:
    out = tmp_path / "out"
    if former:
        shutil.copytree(converted, out)
    before = published(out) if former else {}
    largest = max((converted / name).stat().st_size for name in FILES)
    done = subprocess.run(
        [*CONVERT, str(tiny_mission), "--out", str(out), "--set", "data.seed=5"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (largest - 200, largest - 200)
        ),
    )
    assert done.returncode == 5, done.stderr
    assert "nothing was left half-written" in done.stderr
    assert "Traceback" not in done.stderr
    assert published(out) == before


def in_a_child(work: Callable[[], None]) -> int:
    """The status of a forked child that does `work`: it opens files and nothing else."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(9)
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize("after", range(len(FILES) + 1))
def test_killed_between_any_two_renames_no_report_vouches_for_other_files(
    tiny_mission: Path, converted: Path, copy: Path, after: int
) -> None:
    """The former set is there; the new one has another report and other files."""
    files = {name: (converted / name).read_bytes() + b"\n" for name in FILES[:-3]}
    report = json.loads((converted / "report.json").read_text())
    for name, data in files.items():
        report["artifacts"][name]["sha256"] = sha256(data).hexdigest()
    files["convert.lock.json"] = b"{}"
    files["report.html"] = b"<!doctype html>"
    files["report.json"] = json.dumps(report).encode()
    renames = 0
    rename = Path.replace

    def killed(self: Path, target: Path) -> Path:
        nonlocal renames
        if renames == after:
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1
        return rename(self, target)

    def work() -> NoReturn:
        Path.replace = killed  # type: ignore[method-assign, assignment] # in the child alone
        convert._publish(copy, files)
        os._exit(0)

    status = in_a_child(work)
    assert os.WIFSIGNALED(status) is (after < len(FILES))
    loaded = load_mission(tiny_mission)
    report = json.loads((copy / "report.json").read_text())
    for precision in ("float", "int8"):
        with contextlib.suppress(NotTrusted):
            chosen = choose_model(copy, loaded, precision)  # type: ignore[arg-type] # one of two
            assert digest_file(chosen) == report["artifacts"][chosen.name]["sha256"]
    if after in (0, len(FILES)):
        for name in FILES[:-3]:
            assert report["artifacts"][name]["sha256"] == digest_file(copy / name)
