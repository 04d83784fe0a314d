"""Every format is recognised and read; an ambiguous or faulty folder gives one clear message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from data_sets import MAKERS, npz, picture, put, voc

from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.open_storage import open_storage
from edge.perception.conditions import Conditions
from firmware_bridge.errors import Missing, Refusal, UsageError


def read(root: Path, *, fps: float = 5.0) -> LabelReading:
    storage = open_storage(str(root))
    return READERS[format_of(storage, None)].read(storage, fps)


def test_there_is_a_data_set_for_every_reader() -> None:
    assert MAKERS.keys() == READERS.keys()


def test_every_format_is_documented(root: Path) -> None:
    page = (root / "docs" / "data.md").read_text()
    assert [name for name in READERS if f"| `{name}` |" not in page] == []


@pytest.mark.parametrize("name", MAKERS)
def test_a_format_is_recognised_and_read(name: str, tmp_path: Path) -> None:
    root = MAKERS[name](tmp_path)
    assert format_of(open_storage(str(root)), None) == name
    reading = read(root)
    assert reading.problems == ()
    assert reading.unknown_words == ()
    assert reading.entries
    for entry in reading.entries:
        assert (root / entry.file).is_file()


@pytest.mark.parametrize(
    ("name", "row", "wanted"),
    [
        (
            "folder",
            1,
            Entry(
                "images/1.png", "images/1.png", "0", label="b", conditions=Conditions("rain", "day")
            ),
        ),
        (
            "coco",
            1,
            Entry(
                "val2017/000000000001.jpg",
                "val2017/000000000001.jpg",
                "0",
                boxes=(Box("person", 1, 1, 9, 21), Box("person", 0, 0, 60, 40, ignored=True)),
                conditions=Conditions("fog"),
                split="val",
                width_px=64,
                height_px=48,
            ),
        ),
        (
            "voc",
            2,
            Entry(
                "JPEGImages/haze-002.jpg",
                "JPEGImages/haze-002.jpg",
                "JPEGImages/haze-002.jpg",
                boxes=(Box("car", 2, 3, 22, 13),),
                conditions=Conditions("fog"),
                split="val",
                width_px=64,
                height_px=48,
            ),
        ),
        (
            "bdd100k",
            3,
            Entry(
                "images/100k/train/b3.jpg",
                "images/100k/train/b3.jpg",
                "drive1",
                boxes=(Box("car", 2, 3, 22, 13),),
                conditions=Conditions("rain", "night", "highway"),
                split="train",
            ),
        ),
        (
            "gtsrb",
            6,
            Entry(
                "Final_Training/Images/00014/00001_00000.ppm",
                "Final_Training/Images/00014/00001_00000.ppm",
                "14/00001",
                label="14",
                split="train",
            ),
        ),
        (
            "yolo",
            0,
            Entry(
                "images/train/0.jpg",
                "images/train/0.jpg",
                "images/train/0.jpg",
                boxes=(
                    Box("car", 0.375, 0.25, 0.625, 0.75),
                    Box("person", 0.2, 0.2, 0.3, 0.3),
                ),
                boxes_are_shares=True,
                split="train",
            ),
        ),
        (
            "kitti",
            2,
            Entry(
                "training/image_2/000002.png",
                "training/image_2/000002.png",
                "training/image_2/000002.png",
                boxes=(
                    Box("Car", 2, 3, 22, 13),
                    Box("Person_sitting", 30, 10, 36, 20),
                    Box("DontCare", 40, 5, 60, 15, ignored=True),
                ),
                split="train",
            ),
        ),
        (
            "labelme",
            2,
            Entry(
                "2.png",
                "2.png",
                "2.png",
                boxes=(
                    Box("car", 2, 3, 22, 13),
                    Box("person", 30, 10, 36, 20),
                    Box("person", 48, 8, 52, 12, ignored=True),
                ),
                conditions=Conditions("fog"),
                width_px=64,
                height_px=48,
            ),
        ),
        (
            "openimages",
            1,
            Entry(
                "validation/001a.jpg",
                "validation/001a.jpg",
                "validation/001a.jpg",
                boxes=(
                    Box("Car", 0.25, 0.125, 0.5, 0.5),
                    Box("Person", 0.5, 0.5, 1, 1, ignored=True),
                ),
                boxes_are_shares=True,
                split="val",
            ),
        ),
        (
            "npz",
            7,
            Entry(
                "val/000001",
                "val.npz",
                "yield/8",
                row=1,
                label="yield",
                split="val",
                width_px=32,
                height_px=32,
            ),
        ),
        ("video", 2, Entry("drive/000004", "drive.avi", "drive", row=4)),
    ],
)
def test_an_entry_holds_what_the_data_set_says(
    name: str, row: int, wanted: Entry, tmp_path: Path
) -> None:
    entry = read(MAKERS[name](tmp_path)).entries[row]
    if name == "npz":
        wanted = Entry(**{**wanted.__dict__, "group": "1/8"})
    assert entry == wanted


def test_an_empty_label_file_is_no_object_and_an_absent_one_is_unknown(
    tmp_path: Path,
) -> None:
    root = MAKERS["yolo"](tmp_path)
    put(root / "images" / "train" / "new.jpg", 9)
    boxes = {entry.name: entry.boxes for entry in read(root).entries}
    assert boxes["images/train/2.jpg"] == ()
    assert boxes["images/train/new.jpg"] is None


@pytest.mark.parametrize("text", ["names: [person, car]\n", "names:\n- person\n- car\nnc: 2\n"])
def test_yolo_names_in_every_spelling(text: str, tmp_path: Path) -> None:
    root = MAKERS["yolo"](tmp_path)
    (root / "data.yaml").write_text(text)
    first = read(root).entries[0]
    assert first.boxes is not None
    assert [box.label for box in first.boxes] == ["car", "person"]


def test_several_rows_of_a_picture_are_its_boxes(tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    put(tmp_path / "b.png", 2)
    (tmp_path / "boxes.csv").write_text(
        "filename;class;xmin;ymin;xmax;ymax\na.png;car;1;2;3;4\na.png;bus;5;6;7;8\nb.png;;;;;\n"
    )
    first, second = read(tmp_path).entries
    assert first.boxes == (Box("car", 1, 2, 3, 4), Box("bus", 5, 6, 7, 8))
    assert second.boxes == ()


def _break_coco(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        path = root / "annotations" / "instances_val2017.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return broken


def _bytes(name: str, data: bytes) -> Callable[[Path], None]:
    def broken(root: Path) -> None:
        (root / name).write_bytes(data)

    return broken


def _write(name: str, text: str) -> Callable[[Path], None]:
    return _bytes(name, text.encode())


WRONG: list[tuple[str, Callable[[Path], None], str]] = [
    ("folder", _write("labels.csv", "speed,lane\n3,left\n"), "names no picture"),
    ("folder", _write("labels.csv", ""), "names no picture"),
    (
        "folder",
        lambda root: (root / "labels.csv").write_bytes(b"file\n\xff\xfe.png\n") and None,
        "not text",
    ),
    ("coco", _write("annotations/instances_val2017.json", '{"images": [{"id'), "not JSON"),
    ("coco", _break_coco(lambda document: document.pop("categories")), "no categories"),
    ("coco", _break_coco(lambda document: document.update(images="many")), "no images"),
    ("bdd100k", _write("labels/det_train.json", '[{"name": "b0.jpg"}, 3]'), "each with a name"),
    ("npz", _write("train.npz", "PK nothing"), "train.npz"),
    ("npz", lambda root: np.savez(root / "val.npz", pictures=np.zeros(3)), "arrays pictures"),
    ("npz", lambda root: np.savez(root / "val.npz", images=np.zeros((2, 8, 8, 3))), "float64"),
    ("npz", lambda root: np.savez(root / "val.npz", images=np.zeros((2, 0, 8, 3), "u1")), "(2, 0"),
    (
        "npz",
        lambda root: np.savez(
            root / "val.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.zeros(3)
        ),
        "`labels` (3,) for 2 images",
    ),
    ("video", _write("drive.avi", "RIFF nothing"), "no decoder opens"),
]


@pytest.mark.parametrize(("name", "spoil", "words"), WRONG)
def test_a_file_that_is_not_what_it_says_is_refused_by_name(
    name: str, spoil: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    root = MAKERS[name](tmp_path)
    spoil(root)
    with pytest.raises(Refusal) as refused:
        read(root)
    assert words in str(refused.value)


ABSENT: list[tuple[str, str, str]] = [
    ("folder", "images/3.png", "labels.csv, line 5"),
    ("coco", "val2017/000000000001.jpg", "image 1"),
    ("voc", "JPEGImages/haze-001.jpg", "haze-001.xml"),
    ("bdd100k", "images/100k/train/b1.jpg", "frame b1.jpg"),
    ("gtsrb", "Final_Training/Images/00000/00001_00001.ppm", "GT-00000.csv, line 5"),
    ("yolo", "images/train/1.jpg", "labels/train/1.txt"),
    ("kitti", "training/image_2/000001.png", "training/label_2/000001.txt"),
    ("labelme", "1.png", "1.json"),
]


@pytest.mark.parametrize(("name", "file", "where"), ABSENT)
def test_labels_of_an_absent_picture_are_a_problem_and_the_others_are_read(
    name: str, file: str, where: str, tmp_path: Path
) -> None:
    root = MAKERS[name](tmp_path)
    whole = len(read(root).entries)
    (root / file).unlink()
    reading = read(root)
    assert len(reading.entries) == whole - 1
    (problem,) = reading.problems
    assert where in problem.where
    assert "picture" in problem.what


def test_numbers_that_are_none_are_problems(tmp_path: Path) -> None:
    root = voc(tmp_path)
    path = root / "Annotations" / "haze-000.xml"
    path.write_text(path.read_text().replace("<xmin>2<", "<xmin>nan<"))
    (root / "Annotations" / "haze-001.xml").write_text("<annotation><obj")
    found = {problem.where: problem.what for problem in read(root).problems}
    assert "finite" in found["Annotations/haze-000.xml, object 1"]
    assert "not XML" in found["Annotations/haze-001.xml"]


def test_ids_that_are_none_or_twice_are_problems(tmp_path: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["images"][0]["id"] = [1]
        document["images"][2]["id"] = 1
        document["annotations"][0]["category_id"] = {}

    root = MAKERS["coco"](tmp_path)
    _break_coco(spoil)(root)
    said = [problem.what for problem in read(root).problems]
    assert said[:2] == ["has no id: [1]", "has the id 1, which an earlier row has"]
    assert "names image 0, which is not listed" in said


def test_a_name_that_two_pictures_have_is_not_guessed(tmp_path: Path) -> None:
    put(tmp_path / "day" / "1.png", 1)
    put(tmp_path / "night" / "1.png", 2)
    (tmp_path / "labels.csv").write_text("file,label\n1.png,a\n")
    (problem,) = read(tmp_path).problems
    assert "2 pictures have this name" in problem.what


def test_two_formats_in_one_folder_are_not_guessed(tmp_path: Path) -> None:
    voc(tmp_path)
    npz(tmp_path)
    storage = open_storage(str(tmp_path))
    with pytest.raises(UsageError, match="could be voc or npz"):
        format_of(storage, None)
    assert format_of(storage, "npz") == "npz"
    with pytest.raises(UsageError, match="no format 'cocoa'"):
        format_of(storage, "cocoa")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("none", Missing, "no data set"),
        ("memory://nowhere", Missing, "no data set"),
        ("gopher://x", UsageError, "cannot open"),
        ("file:///none/at/all", Missing, "no data set"),
    ],
)
def test_a_place_that_is_not_there(given: str, error: type[Refusal], words: str) -> None:
    with pytest.raises(error, match=words):
        open_storage(given)


def test_an_empty_folder_and_one_of_other_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data set that any reader knows"):
        read(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UsageError, match="no data set that any reader knows"):
        read(tmp_path)
    assert cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    assert [entry.name for entry in read(tmp_path).entries] == ["a.png"]


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"two\nlines.png"])
def test_a_file_name_that_is_no_text_is_refused(name: bytes, tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    (tmp_path / "a.png").rename(tmp_path / os.fsdecode(name))
    with pytest.raises(UsageError, match="cannot be written down") as refused:
        open_storage(str(tmp_path))
    assert str(refused.value).isascii()


def test_hidden_files_and_loops_of_links_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    put(tmp_path / ".trash" / "b.png", 2)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(open_storage(str(tmp_path)).files) == ["a.png"]


def test_masks_of_a_part_do_not_make_voc_another_format(tmp_path: Path) -> None:
    mask = voc(tmp_path) / "SegmentationClass" / "haze-000.png"
    mask.parent.mkdir()
    assert cv2.imwrite(str(mask), np.zeros((48, 64), np.uint8))
    storage = open_storage(str(tmp_path))
    assert READERS["masks"].recognises(storage)
    assert format_of(storage, None) == "voc"
    assert format_of(storage, "masks") == "masks"
