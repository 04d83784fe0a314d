"""Pictures in a folder: unusable ones are refused by name, none is skipped silently."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from road import write_pictures

from calibration.dataset.frames.combined import combine
from calibration.dataset.frames.frame import data_digest
from calibration.dataset.frames.images import image_frames
from calibration.observation.sampling import in_quotas
from edge.contract.mission.sections.data import FurtherFrames
from edge.perception.pictures.files import SUFFIXES
from firmware_bridge.errors import Missing, UsageError


def test_pictures_below_too_by_name_and_hidden_ones_never(tmp_path: Path) -> None:
    names = ["b/2.png", "a.jpg", "b/1.JPG", "c.bmp"]
    write_pictures(tmp_path, [*names, ".trash/x.png"])
    (tmp_path / "readme.txt").write_text("no picture")
    found = image_frames(tmp_path, table=None, group=None)
    assert [frame.name for frame in found] == sorted(names)
    assert all(frame.group == frame.name for frame in found)
    assert {frame.read().shape for frame in found} == {(16, 16, 3)}


def test_the_data_digest_sees_names_order_and_contents(tmp_path: Path) -> None:
    write_pictures(tmp_path, ["a.png", "b.png"])
    found = image_frames(tmp_path, table=None, group=None)
    digest = data_digest(found)
    assert digest == data_digest(image_frames(tmp_path, table=None, group=None))
    assert digest != data_digest(found[::-1])
    (tmp_path / "a.png").write_bytes((tmp_path / "b.png").read_bytes())
    assert digest != data_digest(found)


@pytest.mark.parametrize("case", ["no such folder", "a file", "an empty folder", "1 other entries"])
def test_a_folder_without_pictures(case: str, tmp_path: Path) -> None:
    root = tmp_path / "road"
    if case == "a file":
        root.write_text("")
    elif case != "no such folder":
        root.mkdir()
    if case == "1 other entries":
        (root / "notes.txt").write_text("")
    with pytest.raises(Missing, match="no road frames in") as refused:
        image_frames(root, table=None, group=None)
    assert refused.value.found == case
    assert "--set data.root=FOLDER" in refused.value.remedy


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "gone"])
def test_a_picture_that_cannot_be_read_is_named(suffix: str, damage: str, tmp_path: Path) -> None:
    write_pictures(tmp_path, [f"road{suffix}"])
    (frame,) = image_frames(tmp_path, table=None, group=None)
    whole = frame.path.read_bytes()
    if damage == "gone":
        frame.path.unlink()
    else:
        frame.path.write_bytes(
            {"empty": b"", "cut": whole[: len(whole) // 2], "foreign": b"text" * 99}[damage]
        )
    with pytest.raises(Missing, match=f"cannot read the road frame .*road{suffix}"):
        frame.read()


def test_a_picture_that_claims_to_be_enormous_is_named(tmp_path: Path) -> None:
    (tmp_path / "road.png").write_bytes(huge_png())
    (frame,) = image_frames(tmp_path, table=None, group=None)
    with pytest.raises(Missing, match=r"road\.png"):
        frame.read()


class TestTable:
    def grouped(self, folder: Path, text: str, group: str = "drive") -> dict[str, str]:
        write_pictures(folder, ["a.png", "b.png", "sub/c.png", "one/d.png", "two/d.png"])
        (folder / "labels.csv").write_text(text, encoding="utf-8")
        return {f.name: f.group for f in image_frames(folder, table="labels.csv", group=group)}

    def test_only_its_rows_by_their_group_and_bare_names_where_they_are_unique(
        self, tmp_path: Path
    ) -> None:
        text = "file,weather,drive\na.png,rain,7\nc.png,,8\none/d.png,fog, 8 \n"
        assert self.grouped(tmp_path, text) == {"a.png": "7", "sub/c.png": "8", "one/d.png": "8"}

    def test_the_mark_that_spreadsheets_put_in_front_does_no_harm(self, tmp_path: Path) -> None:
        assert self.grouped(tmp_path, "\ufefffile,drive\na.png,1\n") == {"a.png": "1"}

    @pytest.mark.parametrize(
        ("text", "columns"),
        [
            ("file,weather\na.png,fog\n", "file, weather"),
            ("file,weather\n", "file, weather"),
            ("", "none"),
        ],
    )
    def test_no_such_column_lists_those_there_are(
        self, text: str, columns: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="has no column 'drive'") as refused:
            self.grouped(tmp_path, text)
        assert refused.value.found == f"columns: {columns}"

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("none.png,1", "'none.png'"),
            ("a.png,", "drive ''"),
            ("a.png", "drive ''"),
            ("d.png,1", "2 pictures have this name"),
            ("a.png,2", "drive '1' before"),
        ],
    )
    def test_a_line_that_cannot_be_used_is_named(
        self, line: str, words: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="line 3") as refused:
            self.grouped(tmp_path, f"file,drive\na.png,1\n{line}\n")
        assert words in refused.value.found

    def test_a_table_that_is_not_there_or_no_text(self, tmp_path: Path) -> None:
        write_pictures(tmp_path, ["a.png"])
        for content in (None, b"\xff\xfe\x00file"):
            if content is not None:
                (tmp_path / "labels.csv").write_bytes(content)
            with pytest.raises(Missing, match="cannot read the table"):
                image_frames(tmp_path, table="labels.csv", group="drive")


def test_folders_are_united_without_mixing_names_groups_or_conditions(tmp_path: Path) -> None:
    road, other = tmp_path / "road", tmp_path / "other"
    write_pictures(road, ["a.png", "b.png"])
    write_pictures(other, ["a.png", "c.png"])
    for folder, weather in ((road, "sunny"), (other, "rainy")):
        (folder / "t.csv").write_text(f"file,drive,weather\na.png,1,{weather}\n")
    (other / "t.csv").write_text("file,drive,weather\na.png,1,rainy\nc.png,1,unknown\n")
    first = image_frames(road, table="t.csv", group="drive")
    fog = FurtherFrames(name="fog", root=other, table="t.csv", group="drive", weather="fog")
    found = combine(first, [fog])
    assert [(one.name, one.group) for one in found] == [
        ("a.png", "1"),
        ("fog/a.png", "fog/1"),
        ("fog/c.png", "fog/1"),
    ]
    # A frame's own table outranks what is said of the whole folder.
    assert [one.conditions.weather for one in found] == ["clear", "rain", "fog"]
    assert found[1].digest() == image_frames(other, table=None, group=None)[0].digest()
    assert found[1].read().shape == (16, 16, 3)


def test_a_further_folder_whose_names_are_taken_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "road", ["fog/a.png"])
    write_pictures(tmp_path / "other", ["a.png"])
    first = image_frames(tmp_path / "road", table=None, group=None)
    with pytest.raises(UsageError, match="frames of one name") as refused:
        combine(first, [FurtherFrames(name="fog", root=tmp_path / "other")])
    assert refused.value.found == "fog/a.png"


def test_many_frames_of_which_nothing_is_known_do_not_crowd_out_the_others(tmp_path: Path) -> None:
    write_pictures(tmp_path / "road", [f"{row}.png" for row in range(6)])
    write_pictures(tmp_path / "fog", [f"{row}.png" for row in range(3)])
    first = image_frames(tmp_path / "road", table=None, group=None)
    fog = FurtherFrames(name="fog", root=tmp_path / "fog", weather="fog")
    order = in_quotas(combine(first, [fog]), seed=0)
    assert sum(one.name.startswith("fog/") for one in order[:6]) == 3
