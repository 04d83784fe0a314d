"""The stage cache of `brakepoint convert`: unchanged stages are not run again, damaged entries are
not used, and a run killed after any stage ends with the files of an uninterrupted one.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.conversion import convert
from converters.conversion.stage_cache import Result, StageCache, open_cache
from converters.report.report import TIMES
from edge.contract.artifact import read_json
from firmware_bridge.errors import UsageError

STAGES = ("float", "observe", "quantize", "lower", "judge", "time", "profile", "report")

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def converted(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted once, in a process of its own and from another folder."""
    out = tmp_path_factory.mktemp("stages") / "out"
    done = child(tiny_mission, out, "")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def out(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "out"))


def child(mission: Path, out: Path, before: str, *more: str) -> subprocess.CompletedProcess[str]:
    """`convert` as a process that first runs the statements `before`."""
    code = f"{before}\nfrom edge.cli import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code, "convert", str(mission), "--out", str(out), *more],
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def digests(out: Path) -> dict[str, Any]:
    """All that a conversion says, times left out."""
    report = read_json(out / "report.json", "brakepoint.report/2")
    return {key: report[key] for key in report if key not in TIMES}


def unchanged(err: str) -> list[str]:
    return [line.split(":")[0] for line in err.splitlines() if line.endswith(": unchanged")]


def test_nothing_changed_so_nothing_is_made_and_the_report_is_the_same_file(
    brakepoint: Command, tiny_mission: Path, out: Path
) -> None:
    before = (out / "report.json").read_bytes()
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    code, _, err = brakepoint("convert", tiny_mission, "--out", out)
    assert code == 0
    assert unchanged(err) == list(STAGES)
    assert (out / "report.json").read_bytes() == before
    assert (out / "report.html").read_bytes() == page


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("gates.size_max_mb=0.000001", {"report"}),
        ("purpose.task=other", {"report"}),
        ("precision.task_loss_max=0.05", {"quantize"}),
        ("calibration.percentile=99.9", {"float", "observe", "quantize", "lower", "judge"}),
    ],
)
def test_only_what_follows_from_a_change_is_made_again(
    brakepoint: Command, tiny_mission: Path, out: Path, change: str, made: set[str]
) -> None:
    """What follows from a file stands where that file came out the same: cpu.onnx covers what
    occurs, whatever the percentile, and the search chooses the same at a task loss of 0.05."""
    code, _, err = brakepoint("convert", tiny_mission, "--out", out, "--set", change)
    assert code == (1 if change.startswith("gates") else 0)
    assert set(STAGES) - set(unchanged(err)) - {"report"} == made - {"report"}
    # and back: everything was kept
    _, _, err = brakepoint("convert", tiny_mission, "--out", out)
    assert unchanged(err) == list(STAGES)


def test_another_picture_or_network_is_noticed(
    brakepoint: Command, tiny_mission: Path, out: Path, tmp_path: Path
) -> None:
    mission = Path(shutil.copytree(tiny_mission.parent, tmp_path / "m")) / tiny_mission.name
    code, _, err = brakepoint("convert", mission, "--out", out)
    assert (code, unchanged(err)) == (0, list(STAGES)), "another folder with the same content"
    report = read_json(out / "report.json", "brakepoint.report/2")
    shutil.copy(mission.parent / "road" / "000.png", tmp_path / "other.png")
    name = report["held_back"]["frames"][-1]
    (mission.parent / "road" / name).write_bytes((tmp_path / "other.png").read_bytes() + b"\0")
    code, _, err = brakepoint("convert", mission, "--out", out)
    assert code == 0
    assert unchanged(err) == ["float", "observe", "quantize"]


def test_fresh_takes_nothing(brakepoint: Command, tiny_mission: Path, out: Path) -> None:
    before = digests(out)
    code, _, err = brakepoint("convert", tiny_mission, "--out", out, "--fresh")
    assert (code, unchanged(err)) == (0, [])
    assert digests(out) == before


@pytest.mark.parametrize("damage", ["bit", "half", "empty", "other version", "other facts"])
def test_a_damaged_result_is_told_and_made_anew(
    brakepoint: Command, tiny_mission: Path, out: Path, damage: str
) -> None:
    before = digests(out)
    for path in (out / convert.STORE).glob("*-*"):
        data = bytearray(path.read_bytes())
        if damage == "bit":
            data[len(data) // 2] ^= 1
        elif damage == "other version":
            data[:18] = b"brakepoint.stage/0"
        elif damage == "other facts":  # whole, but by a program that wrote other facts
            stage, _, key = path.name.partition("-")
            store = StageCache(path.parent, fresh=False, note=print)
            full = data.split(b'"key": "')[1][:64].decode()
            assert full.startswith(key)
            store.put(stage, full, Result({"of": "another"}, {}, 0.0, 0.0))
            continue
        path.write_bytes({"half": data[: len(data) // 2], "empty": b""}.get(damage, data))
    code, _, err = brakepoint("convert", tiny_mission, "--out", out)
    assert code == 0
    assert unchanged(err) == []
    for stage in STAGES[:-1]:  # the report is another, since it was timed anew
        assert f"{stage}: the stored result is damaged" in err
    assert digests(out) == before
    _, _, err = brakepoint("convert", tiny_mission, "--out", out)
    assert unchanged(err) == list(STAGES)


KILL = """
import os, signal
from converters.conversion.stage_cache import StageCache
put = StageCache.put
def killed(self, stage, *more):
    if stage == {stage!r} and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, stage, *more)
    if stage == {stage!r}:
        os.kill(os.getpid(), signal.SIGKILL)
StageCache.put = killed
"""


def test_killed_before_and_after_every_stage_it_goes_on_to_the_same_files(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    """One folder, killed again and again: before a result is stored in odd stages, after it in
    even ones."""
    out = tmp_path / "out"
    for row, stage in enumerate(STAGES):
        done = child(tiny_mission, out, KILL.format(stage=stage, before=row % 2 == 0))
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not list(out.glob("*.onnx")), "nothing is there before everything is judged"
        stored = STAGES[: row + (row % 2)]
        assert {path.name.split("-")[0] for path in (out / convert.STORE).glob("*-*")} >= {*stored}
    done = child(tiny_mission, out, "")
    assert done.returncode == 0, done.stderr
    assert unchanged(done.stderr)[:5] == list(STAGES[:5])
    assert digests(out) == digests(converted)
    for name in digests(converted)["artifacts"]:
        assert (out / name).read_bytes() == (converted / name).read_bytes()
    assert not list((out / convert.STORE).glob(".*")), "no half file is left"


def test_a_disk_that_fills_while_a_result_is_stored_leaves_the_stages_before(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sizes = {
        stage: next((converted / convert.STORE).glob(f"{stage}-*")).stat().st_size
        for stage in ("float", "quantize")
    }
    limit = sum(sizes.values()) // 2  # float fits, quantize does not
    done = child(
        tiny_mission,
        out,
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, -1))",
    )
    assert done.returncode == 5, done.stderr
    assert "run the same command again" in done.stderr
    done = child(tiny_mission, out, "")
    assert done.returncode == 0, done.stderr
    assert unchanged(done.stderr) == ["float", "observe"]
    assert digests(out) == digests(converted)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any folder")
def test_a_store_that_cannot_be_written_is_a_fault(
    brakepoint: Command, tiny_mission: Path, out: Path
) -> None:
    (out / convert.STORE).chmod(0o500)
    code, _, err = brakepoint("convert", tiny_mission, "--out", out, "--fresh")
    (out / convert.STORE).chmod(0o700)
    assert code == 5
    assert "Traceback" not in err


def test_two_conversions_do_not_work_in_one_folder(
    brakepoint: Command, tiny_mission: Path, out: Path
) -> None:
    with open_cache(out / convert.STORE, fresh=False, note=print):
        code, _, err = brakepoint("convert", tiny_mission, "--out", out)
    assert code == 2
    assert "another conversion is at work" in err


class TestStore:
    def store(self, folder: Path, fresh: bool = False) -> StageCache:
        folder.mkdir(exist_ok=True)
        return StageCache(folder, fresh=fresh, note=print)

    def test_facts_and_files_come_back(self, tmp_path: Path) -> None:
        made = Result({"nan": float("inf"), "text": "ü"}, {"a": b"", "b": b"\0\n"}, 1.5, 2.0)
        self.store(tmp_path).put("s", "k" * 64, made)
        assert self.store(tmp_path).get("s", "k" * 64) == made

    def test_the_digest_is_of_what_was_made_not_of_how_long_it_took(self) -> None:
        one, other = (Result([1], {"a": b"1"}, seconds, seconds) for seconds in (1.0, 2.0))
        assert one.digest == other.digest
        assert one.digest != Result([1], {"a": b"2"}, 1.0, 1.0).digest

    def test_a_result_under_a_name_that_is_not_its_own_is_not_taken(self, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        store.put("s", "1" * 64, Result([], {}, 0.0, 0.0))
        (tmp_path / f"s-{'1' * 32}").rename(tmp_path / f"s-{'2' * 32}")
        assert store.get("s", "2" * 64) is None

    def test_the_longest_unused_go_first_and_this_run_stays(self, tmp_path: Path) -> None:
        for row in range(4):
            self.store(tmp_path).put("s", str(row) * 64, Result([], {"a": bytes(1000)}, 0.0, 0.0))
            os.utime(tmp_path / f"s-{str(row) * 32}", (row, row))
        begun = self.store(tmp_path).begun("s", "9" * 64)
        begun.mkdir()
        (begun / "state").write_bytes(bytes(10_000))
        store = self.store(tmp_path)
        assert store.get("s", "0" * 64) is not None
        store.prune(kept_bytes=11_500)
        left = sorted(path.name[:3] for path in tmp_path.iterdir())
        assert left == ["s-0", "s-3", "s-9"]

    def test_what_a_killed_run_left_half_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / ".s-1.abcd").write_bytes(b"half")
        with open_cache(tmp_path, fresh=False, note=print):
            assert not (tmp_path / ".s-1.abcd").exists()

    def test_where_there_are_no_locks_it_says_so_and_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on a network share."""

        def refused(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr("fcntl.flock", refused)
        told: list[str] = []
        with open_cache(tmp_path / "s", fresh=False, note=told.append) as store:
            store.put("s", "1" * 64, Result([], {}, 0.0, 0.0))
        assert "cannot be locked" in told[0]
        assert store.get("s", "1" * 64) is not None

    def test_the_lock_ends_with_its_holder(self, tmp_path: Path) -> None:
        with (
            open_cache(tmp_path, fresh=False, note=print),
            pytest.raises(UsageError, match="another conversion"),
            open_cache(tmp_path, fresh=False, note=print),
        ):
            pass
        with open_cache(tmp_path, fresh=False, note=print):
            pass
