"""Shards of a calibration: together they give the result of one process; foreign shards are
refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S
from small_network import SPEC, TENSORS, PaintedFrame, painted, small_mission, small_network

from calibration.observation.observation import pack
from calibration.observation.observe import LocalObserver, Observer, subject_of
from calibration.observation.shards import Shard, ShardObserver, observe_shard, parse_shard
from calibration.ranges.calibrate import ObservedCalibration, calibrate, fit_in_quotas
from edge.contract.artifact import canonical_json
from firmware_bridge.errors import Missing, NotTrusted, UsageError

FRAMES = painted(60)


def quiet(what: str, done: int, total: int) -> None:
    pass


def calibrated(folder: Path, observer: Observer | None = None) -> ObservedCalibration:
    mission = small_mission(folder, 'calibration.method="auto"')
    model = small_network()
    return calibrate(model, TENSORS, FRAMES, mission, progress=quiet, observer=observer)


def shard(
    folder: Path, number: int, of: int, frames: list[PaintedFrame] = FRAMES, **more: str
) -> Path:
    model = small_network()
    subject = subject_of(model, tuple(more.get("tensors", TENSORS)), SPEC)
    seed = small_mission(folder).data.seed
    fit = fit_in_quotas(frames, seed=seed, threads=1, progress=quiet)
    observer = LocalObserver(model, subject, preprocess_spec=SPEC, threads=1)
    out = folder / f"{number}of{of}"
    observe_shard(Shard(number, of), fit.frames, observer, subject, out, progress=quiet)
    return out


@pytest.mark.parametrize("of", [1, 3, 16])
def test_all_shards_are_what_one_process_takes(tmp_path: Path, of: int) -> None:
    folders = [shard(tmp_path, number, of) for number in range(of, 0, -1)]
    joined, alone = calibrated(tmp_path, ShardObserver(folders)), calibrated(tmp_path)
    assert pack(joined.observation) == pack(alone.observation)
    assert canonical_json(joined.ranges.to_json()) == canonical_json(alone.ranges.to_json())
    assert joined.sampling == alone.sampling


def test_an_interrupted_shard_goes_on(tmp_path: Path) -> None:
    whole = {path.name: path.read_bytes() for path in sorted(shard(tmp_path, 2, 3).iterdir())}
    assert len(whole) == 4
    folder = tmp_path / "2of3"
    kept, gone, cut = sorted(folder.iterdir())[:3]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:500])
    before = kept.stat().st_mtime_ns
    shard(tmp_path, 2, 3)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert kept.stat().st_mtime_ns == before


def test_what_is_not_the_whole_is_refused(tmp_path: Path) -> None:
    first, second = shard(tmp_path, 1, 2), shard(tmp_path, 2, 2)
    with pytest.raises(UsageError, match="not all of them"):
        calibrated(tmp_path, ShardObserver([first]))
    with pytest.raises(UsageError, match="looked at twice"):
        calibrated(tmp_path, ShardObserver([first, second, second]))
    with pytest.raises(Missing, match="no shard in"):
        ShardObserver([first, tmp_path / "none"])
    part = sorted(second.iterdir())[1]
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NotTrusted, match="no whole observation"):
        calibrated(tmp_path, ShardObserver([first, second]))


def test_shards_of_other_frames_or_of_another_network_are_refused(tmp_path: Path) -> None:
    other = [PaintedFrame(seed, brightness=0.5) for seed in range(60)]
    (tmp_path / "other").mkdir()
    first, second = shard(tmp_path, 1, 2), shard(tmp_path / "other", 2, 2, other)
    with pytest.raises(NotTrusted, match="not of this mission's frames"):
        calibrated(tmp_path, ShardObserver([first, second]))
    fewer = shard(tmp_path, 2, 2, tensors=TENSORS[:2])
    with pytest.raises(UsageError, match="cannot be joined"):
        calibrated(tmp_path, ShardObserver([first, fewer]))


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1/17", "1", "a/b", "-1/2", "1/0"])
def test_no_shard_is_refused(text: str) -> None:
    assert parse_shard("16/16") == Shard(16, 16)
    with pytest.raises(UsageError, match="is no shard"):
        parse_shard(text)


@pytest.mark.slow
def test_shards_of_a_real_detector_join_to_the_same_files(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    settings = {
        "model.file": shared_data / "detectors" / "yolox_nano.onnx",
        "data.root": shared_data / "road_scenes",
        "calibration.frames": 24,
        "calibration.method": "max",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    mission = str(root / "examples" / "yolox_nano" / "mission.toml")

    def called(verb: str, *more: str, out: str) -> dict[str, object]:
        command = [sys.executable, "-m", "edge.cli", *verb.split(), mission, *more, *sets]
        done = subprocess.run(
            [*command, "--json", "--out", str(tmp_path / out)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    for number in (1, 2):
        told = called("calibrate", "--shard", f"{number}/2", out=f"{number}")
        assert told == {"shard": [number, 2], "frames": 12}
    called("ranges merge", str(tmp_path / "1"), str(tmp_path / "2"), out="merged")
    called("calibrate", out="alone")
    for name in ("ranges.json", "observation.npz"):
        merged, alone = (tmp_path / out / name for out in ("merged", "alone"))
        assert merged.read_bytes() == alone.read_bytes()
