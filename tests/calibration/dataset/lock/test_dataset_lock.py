"""The dataset lock: equal data give the same version, any change gives another, and nothing is left
half-written.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pytest
from data_sets import MAKERS, folder, picture, put

from calibration.dataset.lock.diff import difference
from calibration.dataset.lock.lock import Lock, lock_dataset, read_lock, write_lock
from edge.cli import main
from firmware_bridge.errors import Missing, NotTrusted, UsageError


def locked(source: str | Path, *, licence: str | None = None) -> Lock:
    return lock_dataset(
        str(source), format_name=None, fps=5.0, licence=licence, progress=lambda *_: None
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize("name", MAKERS)
def test_a_lock_says_the_same_wherever_the_data_lies(name: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    MAKERS[name](here)
    shutil.copytree(here, tmp_path / "there")
    one, other = locked(here), locked(f"file://{tmp_path / 'there'}")
    assert one.version == other.version
    write_lock(tmp_path / "a.json", one)
    write_lock(tmp_path / "b.json", one)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    again = read_lock(tmp_path / "a.json")
    assert again.records == one.records
    assert again.version == one.version
    assert again.source == str(here)


@pytest.mark.parametrize("name", ["folder", "npz", "video"])
def test_a_bucket_works_like_a_folder(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path)
    bucket = fsspec.filesystem("memory")
    bucket.put(f"{root}/", f"/bucket-{name}/", recursive=True)
    assert locked(f"memory://bucket-{name}").version == locked(root).version


def test_an_archive_works_like_a_folder(tmp_path: Path) -> None:
    root = MAKERS["folder"](tmp_path / "data")
    shutil.make_archive(str(tmp_path / "data"), "zip", root)
    assert locked(f"zip://::{tmp_path / 'data.zip'}").version == locked(root).version


def test_every_kind_of_change_is_another_version_and_diff_tells_it(tmp_path: Path) -> None:
    root = folder(tmp_path / "data")
    before = locked(root)
    put(root / "images" / "5.png", 99)
    put(root / "images" / "new.png", 98)
    (root / "images" / "0.png").unlink()
    table = (root / "labels.csv").read_text().replace("0.png,0,sunny,0,0,a\n", "")
    (root / "labels.csv").write_text(table.replace("2.png,1,sunny", "2.png,1,heavy fog"))
    found = difference(before, locked(root))
    assert not found.same
    assert found.added == ("images/new.png",)
    assert found.removed == ("images/0.png",)
    assert found.changed == ("images/5.png",)
    assert found.relabelled == ("images/2.png",)
    assert found.labels == {"a": (3, 2)}
    assert found.conditions["weather fog"] == (0, 1)
    assert locked(root, licence="MIT").version != locked(root).version


def test_the_command_line_locks_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder(tmp_path / "data")
    lock = str(tmp_path / "dataset.lock.json")
    code, out, _ = run(capsys, "data", "lock", str(root), "--out", lock, "--json")
    facts = json.loads(out)
    assert (code, facts["records"], facts["groups"], facts["format"]) == (0, 6, 3, "folder")
    assert facts["version"] == read_lock(Path(lock)).version
    assert run(capsys, "data", "diff", lock, lock)[0] == 0
    (root / "images" / "0.png").unlink()
    code, _, err = run(capsys, "data", "lock", str(root), "--out", lock)
    assert code == 2
    assert "labels.csv, line 2: names '0.png': no such picture" in err
    assert json.loads(Path(lock).read_text())["version"] == facts["version"]
    (root / "labels.csv").unlink()
    other = str(tmp_path / "other.json")
    assert run(capsys, "data", "lock", str(root), "--out", other)[0] == 0
    code, out, _ = run(capsys, "data", "diff", lock, other)
    assert code == 1
    assert "removed: 1\n  images/0.png" in out
    code, out, _ = run(capsys, "data", "diff", lock, other, "--json")
    assert json.loads(out)["removed"] == ["images/0.png"]


def test_a_cut_picture_is_named_and_no_lock_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    root = MAKERS["coco"](tmp_path / "data")
    cut = root / "val2017" / "000000000002.jpg"
    cut.write_bytes(cut.read_bytes()[:-400])
    code, _, err = run(capsys, "data", "lock", str(root), "--out", str(tmp_path / "lock.json"))
    assert code == 3
    assert "val2017/000000000002.jpg" in err
    assert "damaged: Premature end of JPEG file" in err
    assert not (tmp_path / "lock.json").exists()


def test_a_damaged_archive_and_a_short_video_are_named(tmp_path: Path) -> None:
    root = MAKERS["npz"](tmp_path)
    rows = [picture(seed, width_px=32, height_px=32) for seed in range(40)]
    np.savez(root / "train.npz", images=np.stack(rows))
    whole = (root / "train.npz").read_bytes()
    (root / "train.npz").write_bytes(whole[:5000] + bytes(2000) + whole[7000:])
    with pytest.raises(Missing, match="pictures cannot be read"):
        locked(root)


def test_two_rates_of_a_video_are_two_versions_and_a_slow_one_gives_every_frame(
    tmp_path: Path,
) -> None:
    root = MAKERS["video"](tmp_path)
    assert len(locked(root / "drive.avi").records) == 15
    every = lock_dataset(
        str(root), format_name="video", fps=500.0, licence=None, progress=lambda *_: None
    )
    assert len(every.records) == 30
    assert every.version != locked(root).version


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        ('"label":"a"', '"label":"b"', NotTrusted, "was changed after it was written"),
        ('"records":[', '"records":[3,', NotTrusted, "not a lock that can be read"),
        ("dataset-lock/1", "dataset-lock/2", NotTrusted, "another schema"),
        ('{"format"', '["format"', NotTrusted, "not valid JSON"),
    ],
)
def test_a_lock_that_was_edited_is_not_trusted(
    old: str, new: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "lock.json"
    write_lock(path, locked(folder(tmp_path / "data")))
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(error, match=words):
        read_lock(path)


@pytest.mark.parametrize("fps", ["0", "-1", "nan"])
def test_a_rate_that_samples_nothing(
    fps: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "data", "lock", str(tmp_path), "--fps", fps)
    assert code == 2
    assert "--fps" in err


def test_what_the_labels_say_of_size_does_not_matter_but_shares_become_pixels(
    tmp_path: Path,
) -> None:
    record = locked(MAKERS["yolo"](tmp_path)).records[0]
    assert record.boxes is not None
    first = record.boxes[0]
    assert (first.x1, first.y1, first.x2, first.y2) == (24.0, 12.0, 40.0, 36.0)


def test_a_locked_set_is_parted_by_whole_drives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, out = str(tmp_path / "lock.json"), tmp_path / "split.json"
    root = folder(tmp_path / "data")
    assert run(capsys, "data", "lock", str(root), "--out", lock)[0] == 0
    split = ("data", "split", lock, "--out", str(out))
    code, shown, _ = run(capsys, *split, "--parts", "train=2,val=1", "--json")
    assert code == 0
    written = json.loads(out.read_text())
    assert written["version"] == read_lock(Path(lock)).version
    assert json.loads(shown)["parts"]["train"]["share"] == pytest.approx(2 / 3)
    drives = {
        part: {record.group for record in read_lock(Path(lock)).records if record.name in names}
        for part, names in written["parts"].items()
    }
    assert len(drives["train"] | drives["val"]) == 3
    assert not drives["train"] & drives["val"]
    assert run(capsys, *split, "--folds", "3")[0] == 0
    assert list(json.loads(out.read_text())["parts"]) == ["fold 1", "fold 2", "fold 3"]
    whole = out.read_bytes()
    for wrong in (("--folds", "4"), ("--folds", "1"), ("--parts", "a=1,a=2"), ("--by", "mood")):
        code, _, err = run(capsys, *split, *wrong)
        assert code == 2
        assert "Traceback" not in err
    assert out.read_bytes() == whole


def test_a_licence_beside_the_data_is_taken(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright\n")
    assert locked(tmp_path).licence == "MIT License"
    assert locked(tmp_path, licence="own").licence == "own"


def test_real_data_can_be_locked(shared_data: Path) -> None:
    signs = locked(shared_data / "signs")
    assert len(signs.records) == 4902
    assert {record.split for record in signs.records} == {"train", "val"}
    by_split = {
        part: {record.group for record in signs.records if record.split == part}
        for part in ("train", "val")
    }
    assert not by_split["train"] & by_split["val"]
    fog = locked(shared_data / "fog_traffic")
    assert {record.conditions.weather for record in fog.records} == {"fog"}
    clip = locked(shared_data / "video" / "day_highway.mp4")
    assert len(clip.records) == 45
    assert clip.licence == "MIT License"


def test_a_name_without_letters_of_ours(tmp_path: Path) -> None:
    put(tmp_path / 'straße 雨 "<b>.png', 1)
    write_lock(tmp_path / "lock.json", locked(tmp_path))
    assert read_lock(tmp_path / "lock.json").records[0].name == 'straße 雨 "<b>.png'


def test_no_records_twice(tmp_path: Path) -> None:
    root = folder(tmp_path)
    with (root / "labels.csv").open("a") as table:
        table.write("0.png,9,sunny,0,0,b\n")
    with pytest.raises(UsageError, match="cannot be locked") as refused:
        locked(root)
    assert "a second time" in str(refused.value)
