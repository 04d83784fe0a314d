"""Labels as common tools write them are read, or refused by file; none is ignored silently."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from data_sets import MAKERS, coco, gtsrb, put, voc, yolo

from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import Box, Entry, LabelReading, Problem
from calibration.dataset.storage.open_storage import open_storage
from firmware_bridge.errors import UsageError


def read(root: Path) -> LabelReading:
    storage = open_storage(str(root))
    return READERS[format_of(storage, None)].read(storage, 1.0)


def of_yolo(root: Path, text: str | bytes, names: str = "names: {0: person, 2: car}\n") -> Path:
    put(root / "images" / "1.png", 1)
    (root / "labels").mkdir(parents=True)
    data = text.encode() if isinstance(text, str) else text
    (root / "labels" / "1.txt").write_bytes(data)
    if names:
        (root / "data.yaml").write_bytes(names.encode())
    return root


CAR = (0.25, 0.25, 0.75, 0.75)


@pytest.mark.parametrize(
    "line",
    [
        "2 0.5 0.5 0.5 0.5\n",
        "2 0.5 0.5 0.5 0.5 0.93\n",
        "2.0 0.5 0.5 0.5 0.5\n",
        "2,0.5,0.5,0.5,0.5\n",
        "2\t0.5\t5e-1\t.5\t0.5",
        "\n\n2 0.5 0.5 0.5 0.5\r\n",
        "\ufeff2 0.5 0.5 0.5 0.5\n",
        "2 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n",  # a segment, or a turned box
        "2 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75 0.9\n",  # with a score
        "2 0.25 0.25 0.75 0.3 0.5 0.75\n",
        "2 0.25 0.4 0.4 0.25 0.75 0.4 0.75 0.6 0.5 0.75\n",  # five corners, no keypoints
    ],
)
def test_yolo_lines_of_every_tool_are_boxes(line: str, tmp_path: Path) -> None:
    reading = read(of_yolo(tmp_path, line))
    assert reading.problems == ()
    (entry,) = reading.entries
    assert entry.boxes == (Box("car", *CAR),)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("2 50 50 60 60\n", "shares of the picture"),
        ("2 0.5 0.5 0.5 0.5 7\n", "score 7"),
        ("2 0.5 0.5 0.5 0.5 0.1 0.2 2 0.3 0.4 2\n", "kpt_shape"),
        ("2 0.2 0.2 0.8 0.2 0.8 80\n", "no segment"),
        ("2 0.5 0.5 0.5 nan\n2 0.5 0.5 0.5 0.5\n", "finite"),
        ("2 0.5 0.5 0.5 0.5\ncar 0.5 0.5 0.5 0.5\n", "class number"),
        ("2 0.5 0.5 0.5 0.5\n2 0.5 0.5\n", "neither a box nor a segment"),
    ],
)
def test_yolo_lines_that_are_none_are_problems_by_line(
    line: str, what: str, tmp_path: Path
) -> None:
    storage = open_storage(str(of_yolo(tmp_path, line)))
    (problem,) = READERS["yolo"].read(storage, 1.0).problems
    assert problem.where.startswith("labels/1.txt, line ")
    assert what in problem.what


def test_keypoints_are_a_box_where_data_yaml_says_how_many(tmp_path: Path) -> None:
    line = "2 0.5 0.5 0.5 0.5 0.1 0.2 2 0.9 0.9 2\n"
    names = "names: {0: person, 2: car}\nkpt_shape: [2, 3]\n"
    (entry,) = read(of_yolo(tmp_path, line, names)).entries
    assert entry.boxes == (Box("car", *CAR),)


@pytest.mark.parametrize(
    "text",
    [
        "names:\n  0: person\n  2: car\n",
        "nc: 3\nnames: {0: person, 1: bicycle, 2: car}\n",
        "nc: 3\nnames: {\n  0: person,\n  2: car\n}\n",
        "names:\n  '0': person\n  '2': car\n",
        "names:  # three\n  - person\n\n  - bicycle\n  - car\n",
        "names: [ 'person',\n 'bicycle',  # any\n 'car' ]\n",
        "names:\r\n  0: person\r\n  2: car\r\n",
        "\ufeffnames:\n  0: person\n  2: car\n",
    ],
)
def test_yolo_names_are_read_as_yaml(text: str, tmp_path: Path) -> None:
    reading = read(of_yolo(tmp_path, "2 0.5 0.5 0.5 0.5\n", text))
    assert reading.problems == ()
    assert reading.entries[0].boxes == (Box("car", *CAR),)
    assert "data.yaml" in reading.label_files


def test_an_empty_line_of_classes_txt_is_a_class_too(tmp_path: Path) -> None:
    root = of_yolo(tmp_path, "2 0.5 0.5 0.5 0.5\n", names="")
    (root / "classes.txt").write_text("truck\n\ncar\n")
    assert read(root).entries[0].boxes == (Box("car", *CAR),)


@pytest.mark.parametrize(
    ("names", "where", "what"),
    [
        ("names: [tram, person]\n", "labels/1.txt, line 1", "class 2 has no name"),
        ("names: {0: person, car: 2}\n", "data.yaml", "neither a list of names nor"),
        ("names: [person, car\n", "data.yaml", "is not YAML"),
    ],
)
def test_a_number_without_a_name_is_a_problem_by_file(
    names: str, where: str, what: str, tmp_path: Path
) -> None:
    found = {
        one.where: one.what for one in read(of_yolo(tmp_path, "2 .5 .5 .5 .5\n", names)).problems
    }
    assert what in found[where]


def test_two_files_that_name_a_class_otherwise_are_a_problem(tmp_path: Path) -> None:
    root = of_yolo(tmp_path, "2 0.5 0.5 0.5 0.5\n")
    (root / "labels" / "classes.txt").write_text("person\nbicycle\nbus\n")
    (problem,) = read(root).problems
    assert problem == Problem("data.yaml", "calls class 2 'car', another file 'bus'")


def test_yolo_is_known_though_many_files_are_empty_or_all(tmp_path: Path) -> None:
    root = of_yolo(tmp_path, "2 0.5 0.5 0.5 0.5\n")
    for number in range(10, 50):
        put(root / "images" / f"{number:02}.png", number)
        (root / "labels" / f"{number:02}.txt").touch()
    boxes = {entry.name: entry.boxes for entry in read(root).entries}
    assert boxes["images/1.png"] == (Box("car", *CAR),)
    assert boxes["images/49.png"] == ()
    (root / "labels" / "1.txt").write_text("")
    assert {entry.boxes for entry in read(root).entries} == {()}


UNREAD: dict[str, tuple[str, str]] = {
    "a VIA project": ("via.json", '{"_via_settings": {}, "_via_img_metadata": {}}'),
    "CVAT": ("annotations.xml", "<?xml version='1.0'?><cvat><image id='0'/></cvat>"),
    "MOT": ("gt/gt.txt", "1,1,20,20,60,60,1,1,1\n"),
    "rows of JSON": ("labels.jsonl", '{"file": "1.png"}\n'),
    "Matlab": ("anno.mat", "MATLAB 5.0"),
    "a caption beside": ("images/1.txt", "a road in the rain\n"),
    "captions in a folder of labels": ("labels/1.txt", "car left of the road\n"),
    "a list with boxes": ("train.txt", "images/1.png 20,20,80,80,2\n"),
    "WIDER FACE": ("wider_face_train.txt", "images/1.png\n1\n20 20 60 60 0 0 0 0 0 0\n"),
    "Bosch": ("train.yaml", "- boxes:\n  - {label: Green, x_max: 2}\n  path: ./images/1.png\n"),
    "KITTI's tracking": ("label_02/0000.txt", "0 1 Car 0 0 -1.5 2 3 22 13 1 1 3 0 1 46 -1\n"),
    "Parquet": ("train.parquet", "PAR1"),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_label_files_that_no_reader_knows_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    put(tmp_path / "images" / "1.png", 1)
    (tmp_path / "README.txt").write_text("labels by hand: 1.png 2\n")
    (tmp_path / "train.txt").write_text("images/1.png\n002.png\n")
    (tmp_path / "data.yaml").write_text("path: .\nnames: [car]\n")
    (tmp_path / "dataset.split.json").write_text('{"schema": "brakepoint.dataset-split/1"}')
    assert [entry.name for entry in read(tmp_path).entries] == ["images/1.png"]
    name, text = UNREAD[kind]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    storage = open_storage(str(tmp_path))
    with pytest.raises(UsageError, match="1 label files that no reader knows") as refused:
        format_of(storage, None)
    assert name in refused.value.found
    assert all(reader.what in refused.value.expected for reader in READERS.values())
    assert READERS[format_of(storage, "folder")].read(storage, 1.0).entries[0].boxes is None


# XML in UTF-16 wants a byte order mark, and is never wider.
@pytest.mark.parametrize(
    ("name", "suffix", "encoding"),
    [
        ("voc", ".xml", "utf-16"),
        ("voc", ".xml", "utf-8-sig"),
        *(
            (*kind, encoding)
            for kind in (("coco", ".json"), ("kitti", ".txt"))
            for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig")
        ),
    ],
)
def test_label_files_in_unicode_of_any_width_are_read(
    name: str, suffix: str, encoding: str, tmp_path: Path
) -> None:
    root = MAKERS[name](tmp_path)
    before = read(root)
    for path in root.rglob(f"*{suffix}"):
        path.write_bytes(path.read_text().encode(encoding))
    assert read(root).entries == before.entries


@pytest.mark.parametrize(
    ("declared", "encoding"), [("GBK", "gbk"), ("ISO-8859-1", "latin-1"), ("utf-16", "utf-8")]
)
def test_xml_in_the_encoding_that_it_declares(declared: str, encoding: str, tmp_path: Path) -> None:
    root = voc(tmp_path)
    word = "汽车" if encoding == "gbk" else "piéton"
    for path in (root / "Annotations").iterdir():
        text = path.read_text().replace(">car<", f">{word}<")
        path.write_bytes(f'<?xml version="1.0" encoding="{declared}"?>{text}'.encode(encoding))
    reading = read(root)
    assert reading.problems == ()
    assert {box.label for entry in reading.entries for box in entry.boxes or ()} == {word}


def test_xml_in_no_encoding_at_all_is_a_problem(tmp_path: Path) -> None:
    root = voc(tmp_path)
    path = root / "Annotations" / "haze-000.xml"
    path.write_text('<?xml version="1.0" encoding="klingon"?><annotation/>')
    (problem,) = read(root).problems
    assert problem.where == "Annotations/haze-000.xml"


def test_voc_names_without_a_suffix_and_of_another_case(tmp_path: Path) -> None:
    root = voc(tmp_path)
    for number, said in enumerate(("haze-000", "HAZE-001.JPG", "old/haze-002.jpg")):
        path = root / "Annotations" / f"haze-{number:03d}.xml"
        path.write_text(path.read_text().replace(f"haze-{number:03d}.jpg", said))
    reading = read(root)
    assert reading.problems == ()
    assert all(entry.boxes for entry in reading.entries)


def test_a_picture_of_another_part_is_not_taken_for_the_one_that_is_named(tmp_path: Path) -> None:
    root = coco(tmp_path)
    path = root / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    document["images"][0]["file_name"] = "train2017/000000000000.jpg"
    path.write_text(json.dumps(document))
    (problem,) = read(root).problems
    assert "names 'train2017/000000000000.jpg': no such picture" in problem.what


def test_labels_beside_a_video_are_not_passed_over(tmp_path: Path) -> None:
    root = MAKERS["video"](tmp_path)
    (root / "drive.json").write_text('{"objects": []}')
    with pytest.raises(UsageError, match="no reader knows"):
        format_of(open_storage(str(root)), None)
    (root / "drive.json").write_text('{"schema": "brakepoint.clip-truth/1"}')
    assert format_of(open_storage(str(root)), None) == "video"


def change_coco(root: Path, **keys: Any) -> Path:
    path = root / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    for row in document["annotations"]:
        row.update(keys)
    path.write_text(json.dumps(document))
    return path


def test_coco_as_it_is_unpacked(tmp_path: Path) -> None:
    root = coco(tmp_path)
    before = read(root).entries
    document = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    others = {
        "captions_val2017.json": {
            "images": document["images"],
            "annotations": [{"id": 1, "image_id": 0, "caption": "a road"}],
        },
        "person_keypoints_val2017.json": {
            **document,
            "annotations": [{**row, "keypoints": [0] * 51} for row in document["annotations"]],
        },
        "image_info_test2017.json": {"images": [], "categories": document["categories"]},
    }
    for name, content in others.items():
        (root / "annotations" / name).write_text(json.dumps({"info": {}, **content}))
    reading = read(root)
    assert reading.problems == ()
    assert reading.entries == before
    assert {one.where.split("/")[1] for one in reading.skipped_files} == set(others)
    (root / "annotations" / "instances_val2017.json").unlink()
    (root / "annotations" / "captions_val2017.json").unlink()
    (root / "annotations" / "image_info_test2017.json").unlink()
    assert read(root).entries == before  # keypoints alone have the boxes


def test_coco_ids_as_tables_write_them(tmp_path: Path) -> None:
    root = coco(tmp_path)
    before = read(root).entries
    path = root / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    for row in document["annotations"]:
        row["image_id"], row["category_id"] = float(row["image_id"]), str(row["category_id"])
    for row in document["images"]:
        row["id"], row["width"], row["height"] = float(row["id"]), "64", 48.0
    path.write_text(json.dumps(document))
    assert read(root).problems == ()
    assert read(root).entries == before


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"bbox": "2 3 20 10"}, "4 finite numbers"),
        ({"bbox": "2266"}, "4 finite numbers"),
        ({"bbox": [True, 1, 2, 3]}, "4 finite numbers"),
        ({"bbox": []}, "4 finite numbers"),
        ({"image_id": True}, "names image True"),
    ],
)
def test_coco_values_of_another_kind_are_problems(
    keys: dict[str, Any], what: str, tmp_path: Path
) -> None:
    root = coco(tmp_path)
    change_coco(root, **keys)
    assert {what in problem.what for problem in read(root).problems} == {True}


@pytest.mark.parametrize("text", ["9" * 5000, "²"])
def test_numbers_that_python_makes_none_of_are_problems(text: str, tmp_path: Path) -> None:
    (problem,) = read(of_yolo(tmp_path / "yolo", f"2 .5 .5 .5 .5\n{text} .5 .5 .5 .5\n")).problems
    assert problem.where == "labels/1.txt, line 2"
    (tmp_path / "coco").mkdir()
    root = coco(tmp_path / "coco")
    change_coco(root, image_id=text)
    assert {problem.what[:12] for problem in read(root).problems} == {"names image "}


def test_coco_boxes_of_segments_and_sizes_and_names_that_are_none(tmp_path: Path) -> None:
    root = coco(tmp_path)
    path = change_coco(root, bbox=None, segmentation=[[2, 3, 22, 3, 22, 13]], iscrowd=0)
    first = read(root).entries[0]
    assert first.boxes == (Box("car", 2, 3, 22, 13),)
    document = json.loads(path.read_text())
    document["images"][0]["width"] = "wide"
    document["categories"][0]["name"] = None
    path.write_text(json.dumps(document))
    said = {problem.where.split(", ")[1]: problem.what for problem in read(root).problems}
    assert "no number of pixels" in said["image 0"]
    assert said["category 3"] == "has no name"


def entry_of(reading: LabelReading, stem: str) -> Entry:
    (found,) = (entry for entry in reading.entries if stem in entry.name)
    return found


def test_gtsrb_tables_that_lie_beside_their_folders(tmp_path: Path) -> None:
    root = gtsrb(tmp_path)
    before = read(root).entries
    images = root / "Final_Training" / "Images"
    for label in ("00000", "00014"):
        shutil.move(images / label / f"GT-{label}.csv", root / f"GT-{label}.csv")
    for number in range(2):
        put(root / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm", 50 + number)
    (root / "GT-final_test.csv").write_text(
        "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"
        "00000.ppm;64;48;5;5;58;43;16\n00001.ppm;64;48;5;5;58;43;1\n"
    )
    reading = read(root)
    assert reading.problems == ()
    assert tuple(one for one in reading.entries if one.split == "train") == before
    test = entry_of(reading, "Final_Test/Images/00000")
    assert (test.label, test.split) == ("16", "test")


def test_kitti_lines_that_are_none_are_problems(tmp_path: Path) -> None:
    root = MAKERS["kitti"](tmp_path)
    path = root / "training" / "label_2" / "000001.txt"
    path.write_text("Car 0 0 0 1 2 3\n")
    (problem,) = read(root).problems
    assert problem.where == "training/label_2/000001.txt, line 1"


def test_labelme_shapes_that_are_none_are_problems(tmp_path: Path) -> None:
    root = MAKERS["labelme"](tmp_path)
    path = root / "1.json"
    document = json.loads(path.read_text())
    document["shapes"] = [
        {"label": "car", "points": [[1, 2]], "shape_type": "rectangle"},
        {"label": "car", "points": [[1, 2], [3, 4]], "shape_type": "blob"},
        {"label": "", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"},
        "car",
    ]
    path.write_text(json.dumps(document))
    assert [problem.where for problem in read(root).problems] == [
        f"1.json, shape {number}" for number in (1, 2, 3, 4)
    ]


def test_pictures_with_one_label_file_for_two_are_a_problem(tmp_path: Path) -> None:
    root = yolo(tmp_path)
    put(root / "images" / "train" / "0.png", 7)
    (problem,) = read(root).problems
    assert problem.where == "labels/train/0.txt"
