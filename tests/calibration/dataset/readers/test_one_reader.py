"""Every verb reads the same files of a folder to the same pixels, in the same order."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_sets import MAKERS, picture
from numpy.typing import NDArray

from calibration.dataset.checks.inspection import inspect_dataset
from calibration.dataset.frames.images import image_frames
from calibration.dataset.lock.lock import Lock, lock_dataset, read_lock, write_lock
from calibration.dataset.lock.verify import verify_files
from calibration.dataset.storage.open_storage import open_storage
from edge.cli import main
from edge.contract.mission.sections.device import Camera
from edge.perception.pictures.files import SUFFIXES
from edge.perception.values import Frame
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import SourceEnd
from firmware_bridge.errors import Missing, UsageError

CAMERA = Camera(width_px=64, height_px=48, fps=25.0, assumed_speed_mps=1.0)


def locked(root: Path) -> Lock:
    return lock_dataset(
        str(root), format_name="folder", fps=1.0, licence=None, progress=lambda *_: None
    )


def called(words: list[str]) -> object:
    """A verb's exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def shown(root: Path) -> list[NDArray[np.uint8]]:
    """What `run` shows of a folder."""
    now_ns = 0

    def pause(seconds: float) -> None:
        nonlocal now_ns
        now_ns += round(seconds * 1e9)

    source = open_source(str(root), CAMERA, lambda: now_ns)
    images = []
    while not isinstance(reading := source.read(pause), SourceEnd):
        assert isinstance(reading, Frame)
        images.append(reading.image)
    return images


def write(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed))


def turned(seed: int, orientation: int) -> bytes:
    """A JPEG of 64 x 48 stored pixels with this orientation in its EXIF."""
    whole = cv2.imencode(".jpg", picture(seed))[1].tobytes()
    entry = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    tags = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags + whole[2:]


def bomb() -> bytes:
    """A PNG of a few kilobytes that claims 28,000 x 28,000 pixels, 2.4 GB of them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 28_000, 28_000, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1_000_000), 9)
    mark = b"\x89PNG\r\n\x1a\n"
    return mark + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.requirement("R-RUN-67")
def test_one_list_of_suffixes_and_one_order(tmp_path: Path) -> None:
    names = [f"{number}{suffix}" for number, suffix in enumerate(SUFFIXES, start=5)]
    names += ["100.JPG"]
    for seed, name in enumerate(reversed(names)):
        write(tmp_path / name, seed)
    assert open_storage(str(tmp_path)).pictures == names
    frames = image_frames(tmp_path, table=None, group=None)
    assert [frame.name for frame in frames] == names
    lock = locked(tmp_path)
    assert [record.name for record in lock.records] == names
    for one, other in zip(shown(tmp_path), frames, strict=True):
        assert (one == other.read()).all()
    verify_files(lock, str(tmp_path), named=tmp_path / "l.json", progress=lambda *_: None)


@pytest.mark.parametrize("orientation", [3, 6])
def test_pictures_are_turned_alike_everywhere_and_data_check_says_so(
    orientation: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(turned(1, orientation))
    write(tmp_path / "b.png", 2)
    upright = np.asarray(cv2.imdecode(np.frombuffer(turned(1, 1), np.uint8), cv2.IMREAD_COLOR))
    expected = np.rot90(upright, 2 if orientation == 3 else 3)
    (first, _) = image_frames(tmp_path, table=None, group=None)
    assert (first.read() == expected).all()
    assert (shown(tmp_path)[0] == expected).all()
    record = locked(tmp_path).records[0]
    assert (record.height_px, record.width_px) == expected.shape[:2]
    called(["data", "check", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    (said,) = [one for one in found if one["check"] == "stored"]
    assert "1 picture turned as EXIF says" in said["sentence"]
    assert said["about"] == ["a.jpg"]


def test_labels_made_for_the_stored_pixels_of_a_turned_picture_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(turned(1, 6))
    labels = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 60, 20]}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    assert called(["data", "check", str(tmp_path)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "1 picture not of the size that the labels were made for" in text
    assert "1 picture turned as EXIF says" in text


def test_data_check_says_as_how_many_bits_a_picture_was_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture(1).astype(np.uint16) * 16)
    write(tmp_path / "b.png", 2)
    data = inspect_dataset(str(tmp_path), format_name=None, fps=1.0, progress=lambda *_: None)
    assert [one.bits for one in data.scanned] == [12, 8]
    frame = image_frames(tmp_path, table=None, group=None)[0]
    assert (frame.read() == picture(1)).all()


class TestLinks:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Half of the pictures are links, as git-annex, DVC and caches have them."""
        for seed in range(4):
            write(tmp_path / "set" / ".store" / f"{seed}.png", seed)
            write(tmp_path / "set" / f"{seed + 4}.png", seed + 4)
            (tmp_path / "set" / f"{seed}.png").symlink_to(f".store/{seed}.png")
        return tmp_path / "set"

    def test_none_is_lost_from_a_lock(self, root: Path, tmp_path: Path) -> None:
        lock = locked(root)
        assert [record.name for record in lock.records] == [f"{n}.png" for n in range(8)]
        write_lock(tmp_path / "l.json", lock)
        again = read_lock(tmp_path / "l.json")
        verify_files(again, str(root), named=tmp_path / "l.json", progress=lambda *_: None)
        assert len(shown(root)) == 8

    def test_one_that_is_named_itself_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        MAKERS["video"](tmp_path / "data")
        (tmp_path / "link.avi").symlink_to("data/drive.avi")
        lock = lock_dataset(
            str(tmp_path / "link.avi"),
            format_name=None,
            fps=1.0,
            licence=None,
            progress=lambda *_: None,
        )
        assert len(lock.records) == 3

    @pytest.mark.requirement("R-RUN-68")
    def test_one_that_leaves_the_root_is_named_by_every_verb(
        self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tmp_path / "elsewhere.png", 9)
        (root / "9.png").symlink_to("../elsewhere.png")
        for refused in (
            lambda: image_frames(root, table=None, group=None),
            lambda: shown(root),
        ):
            with pytest.raises(UsageError, match="1 links in") as error:
                refused()
            assert "9.png (leads to ../elsewhere.png)" in error.value.found
        for verb in (["data", "check", str(root)], ["data", "lock", str(root), "--out", "l.json"]):
            assert called(verb) == 2
            assert "9.png (leads to ../elsewhere.png)" in capsys.readouterr().err


@pytest.mark.requirement("R-RUN-69")
def test_a_small_file_that_claims_gigabytes_is_refused_by_every_verb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "0.png", 0)
    (tmp_path / "1.png").write_bytes(bomb())
    reason = "28000 x 28000 pixels, over the 67108864"
    assert called(["data", "check", str(tmp_path)]) == 1
    assert reason in " ".join(capsys.readouterr().out.split())
    assert called(["data", "lock", str(tmp_path), "--out", str(tmp_path / "l.json")]) == 3
    assert reason in " ".join(capsys.readouterr().err.split())
    with pytest.raises(Missing) as refused:
        image_frames(tmp_path, table=None, group=None)[1].read()
    assert reason in refused.value.found
    with pytest.raises(Missing, match=reason):
        shown(tmp_path)


def test_a_jpeg_with_a_hole_is_named_by_data_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "0.jpg", 0)
    whole = bytearray((tmp_path / "0.jpg").read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    (tmp_path / "1.jpg").write_bytes(bytes(whole))
    assert called(["data", "check", str(tmp_path)]) == 1
    assert "1.jpg: damaged: Corrupt JPEG data" in " ".join(capsys.readouterr().out.split())
