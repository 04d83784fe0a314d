"""`data masks`: outlines of every format become the pixels that they enclose, or are refused by
file and line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import outlined_sets
import pycocotools.mask
import pytest
from data_sets import MAKERS, put
from numpy.typing import NDArray
from outlined_sets import HIGH, WIDE, coco, labelme, shape, yolo

from calibration.dataset.label_files.coco_segments import counts_of
from calibration.dataset.masks.masks import ids_of
from calibration.dataset.polygon_masks.write import MaskSet, write_mask_set
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import LabelReading
from calibration.dataset.storage.open_storage import open_storage
from firmware_bridge.errors import Missing, Refusal, UsageError

Words = NDArray[np.str_]


def write(root: Path, *, background: str | None = "background", out: str = "out") -> MaskSet:
    return write_mask_set(
        str(root),
        root.parent / out,
        format_name=None,
        background=background,
        progress=lambda _what, _done, _total: None,
    )


def read(root: Path) -> LabelReading:
    storage = open_storage(str(root))
    assert format_of(storage, None) == "masks"
    reading = READERS["masks"].read(storage, 1.0)
    assert reading.problems == ()
    return reading


def drawn(root: Path, **options: Any) -> Words:
    """What the project's own reader of masks says of every pixel of the only picture."""
    write(root, **options)
    out = root.parent / options.get("out", "out")
    (entry,) = read(out).entries
    assert entry.mask is not None
    names = np.full(256, "?", "U20")
    names[255] = "nobody knows"
    for number, label in entry.mask.names:
        names[number] = label
    return names[ids_of((out / entry.mask.file).read_bytes())]


def everywhere(word: str = "background") -> Words:
    return np.full((HIGH, WIDE), word, "U20")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def test_a_pixel_is_an_objects_if_its_centre_lies_inside(root: Path) -> None:
    found = drawn(labelme(root, [shape("car", 10.4, 5.6, 20.6, 5.6, 20.6, 9.4, 10.4, 9.4)]))
    wanted = everywhere()
    wanted[6:9, 10:21] = "car"  # centres from 10.5 to 20.5, and from 6.5 to 8.5
    np.testing.assert_array_equal(found, wanted)


def test_outlines_that_share_an_edge_leave_no_gap_and_share_no_pixel(root: Path) -> None:
    """Two triangles, of which one edge goes through centres."""
    corners = (10, 10, 30, 10, 30, 30, 10, 30)
    upper = shape("car", *corners[:6])
    lower = shape("person", *corners[:2], *corners[4:])
    found = drawn(labelme(root, [upper, lower]))
    square = found[10:30, 10:30]
    assert {str(word) for word in np.unique(square)} == {"car", "person"}
    assert (found != "background").sum() == 400
    assert [(square == word).sum() for word in ("car", "person")] in ([190, 210], [210, 190])


@pytest.mark.parametrize("first", ["large", "small"])
def test_the_smaller_lies_over_the_larger_whatever_comes_first(first: str, root: Path) -> None:
    large = shape("car", 10, 10, 40, 10, 40, 40, 10, 40)
    small = shape("person", 20, 20, 24, 20, 24, 30, 20, 30)
    both = [large, small] if first == "large" else [small, large]
    wanted = everywhere()
    wanted[10:40, 10:40] = "car"
    wanted[20:30, 20:24] = "person"
    np.testing.assert_array_equal(drawn(labelme(root, both)), wanted)


def test_of_two_of_one_size_the_later_lies_above(root: Path) -> None:
    one = shape("car", 10, 10, 20, 10, 20, 20, 10, 20)
    other = shape("person", 15, 10, 25, 10, 25, 20, 15, 20)
    found = drawn(labelme(root, [one, other]))
    assert (found == "car").sum() == 50
    found = drawn(labelme(root, [other, one]), out="again")
    assert (found == "car").sum() == 100


def test_sizes_are_of_what_lies_in_the_picture(root: Path) -> None:
    """A house that is mostly outside is the smaller one here."""
    house = shape("house", -500, 10, 4, 10, 4, 30, -500, 30)
    car = shape("car", 0, 10, 10, 10, 10, 30, 0, 30)
    found = drawn(labelme(root, [house, car]))
    assert [(found == word).sum() for word in ("house", "car")] == [80, 120]


@pytest.mark.parametrize("size", [8, 12])
def test_a_region_that_is_not_to_be_judged_has_a_size_as_any_object(size: int, root: Path) -> None:
    region = shape("car", 10, 10, 20, 10, 20, 20, 10, 20, flags={"ignore": True})
    person = shape("person", 10, 10, 10 + size, 10, 10 + size, 10 + size, 10, 10 + size)
    found = drawn(labelme(root, [person, region]))
    wanted = {8: (64, 36), 12: (44, 100)}[size]
    assert ((found == "person").sum(), (found == "nobody knows").sum()) == wanted


def test_what_no_outline_covers_is_background_another_label_or_not_judged(root: Path) -> None:
    labelme(root, [shape("car", 0, 0, 64, 0, 64, 10, 0, 10)])
    for background, word in (("background", "background"), ("road", "road"), (None, "")):
        found = drawn(root, background=background, out=f"out-{word}")
        wanted = everywhere(word or "nobody knows")
        wanted[:10] = "car"
        np.testing.assert_array_equal(found, wanted)


def test_a_background_that_is_a_label_has_one_id(root: Path) -> None:
    labelme(root, [shape("road", 0, 0, 9, 0, 9, 9), shape("car", 20, 20, 30, 20, 30, 30)])
    assert write(root, background="road").ids == {"road": 0, "car": 1}


def test_what_reaches_beyond_the_picture_is_cut_and_told(root: Path) -> None:
    found = yolo(root, "0 40 40 64.5 40 64.5 48.4 40 48.4", "1 0 0 4 0 4 4 0 4")
    written = write(found)
    assert (written.beyond, written.without_pixels, written.hidden) == (1, 0, 0)
    assert written.pixels[written.ids["car"]] == 24 * 8
    found = coco(root.parent / "coco", [{"segmentation": [[-900, -50, 9e4, -50, 9e4, 9e4]]}])
    assert write(found, out="of coco").beyond == 1


def test_outlines_without_a_pixel_and_under_others_are_told(root: Path) -> None:
    thin = shape("car", 10, 10.1, 30, 10.1, 30, 10.4, 10, 10.4)
    under = shape("car", 40, 10, 50, 10, 50, 20, 40, 20)
    left, right = shape("car", 40, 10, 45, 10, 45, 20, 40, 20), shape("car", 45, 10, 50, 10, 50, 20)
    right["points"].append([45, 20])
    written = write(labelme(root, [thin, under, left, right]))
    assert (written.without_pixels, written.hidden, written.objects) == (1, 1, {"car": 4})


def test_shapes_of_labelme_are_filled(root: Path) -> None:
    pixels = np.zeros((6, 9), np.uint8)
    pixels[1:5, 2:4] = 1
    png = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
    shapes = [
        shape("box", 9, 7, 2, 3, kind="rectangle"),
        shape("disc", 30, 20, 30, 25, kind="circle"),
        shape("stamp", 50, 30, 58, 35, kind="mask", mask=png),
        shape("line", 0, 40, 60, 40, kind="line"),
        shape("point", 5, 40, kind="point"),
    ]
    wanted = everywhere()
    wanted[3:7, 2:9] = "box"
    wanted[31:35, 52:54] = "stamp"
    y, x = np.mgrid[:HIGH, :WIDE] + 0.5
    wanted[(x - 30) ** 2 + (y - 20) ** 2 <= 25] = "disc"
    np.testing.assert_array_equal(drawn(labelme(root, shapes)), wanted)


def ellipse() -> NDArray[np.uint8]:
    y, x = np.mgrid[:HIGH, :WIDE]
    return np.asarray((x - 30) ** 2 / 200 + (y - 20) ** 2 / 90 < 1, np.uint8)


@pytest.mark.parametrize("kind", ["text", "numbers"])
def test_run_lengths_of_coco_are_its_pixels(kind: str, root: Path) -> None:
    pixels = ellipse()
    segment = pycocotools.mask.encode(np.asfortranarray(pixels))
    counts: Any = segment["counts"].decode()
    if kind == "numbers":
        flat = pixels.T.ravel()
        ends = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *ends, flat.size]).tolist()
    crowd = {"size": [HIGH, WIDE], "counts": counts}
    found = drawn(coco(root, [{"segmentation": crowd}]))
    np.testing.assert_array_equal(found == "car", pixels == 1)
    path = root / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"].append(
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]]}
    )
    path.write_text(json.dumps(document))
    found = drawn(root, out="crowd")
    np.testing.assert_array_equal(found == "nobody knows", pixels == 1)


def test_run_lengths_that_were_cut_short_are_refused(root: Path) -> None:
    text = pycocotools.mask.encode(np.asfortranarray(ellipse()))["counts"].decode()
    counts = counts_of(text[: len(text) // 2])
    assert counts is not None  # whole numbers, too few of them
    crowd = {"size": [HIGH, WIDE], "counts": text[: len(text) // 2]}
    said = refused(coco(root, [{"segmentation": crowd}]))
    assert f"run lengths of {sum(counts)} pixels in a picture of 3072" in said


def test_run_lengths_in_text_are_those_of_pycocotools() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        pixels = (random.random(random.integers(1, 40, 2)) < random.random()).astype(np.uint8)
        text = pycocotools.mask.encode(np.asfortranarray(pixels))["counts"].decode()
        counts = counts_of(text)
        assert counts is not None
        flat = np.repeat(np.arange(len(counts)) % 2, counts)
        np.testing.assert_array_equal(flat.reshape(pixels.T.shape).T, pixels)


def test_polygons_of_several_parts_are_one_object_and_much_as_pycocotools_draws_them(
    root: Path,
) -> None:
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([20 + 12 * np.cos(angles), 20 + 15 * np.sin(angles)], axis=1).ravel().tolist()
    parts = [ring, [40, 5, 60, 5, 60, 15, 40, 15]]
    found = drawn(coco(root, [{"segmentation": parts}])) == "car"
    theirs = pycocotools.mask.decode(
        pycocotools.mask.merge(pycocotools.mask.frPyObjects(parts, HIGH, WIDE))
    )
    assert (found != (theirs == 1)).sum() <= 8  # it rounds edges to a fifth of a pixel
    assert found[5:15, 40:60].all()


def test_a_crowd_with_a_box_alone_is_left_out_as_its_box(root: Path) -> None:
    crowd = {"bbox": [10, 10, 20, 5], "iscrowd": 1}
    found = drawn(coco(root, [crowd, {"segmentation": [[0, 0, 4, 0, 4, 4]]}]))
    assert (found[10:15, 10:30] == "nobody knows").all()
    assert (found == "nobody knows").sum() == 100


def test_parts_groups_conditions_and_licence_come_along(root: Path) -> None:
    MAKERS["coco"](root)
    path = root / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text())
    for row in document["annotations"]:
        x, y, wide, high = row["bbox"]
        row["segmentation"] = [[x, y, x + wide, y, x + wide, y + high, x, y + high]]
    path.write_text(json.dumps(document))
    before = READERS["coco"].read(open_storage(str(root)), 1.0)
    write(root)
    after = read(root.parent / "out")
    assert [entry.file for entry in after.entries] == [f"images/{e.file}" for e in before.entries]
    for kind in ("split", "group", "conditions"):
        found = [[getattr(one, kind) for one in each.entries] for each in (before, after)]
        assert found[0] == found[1]
    assert after.licence == before.licence == "CC BY 4.0"
    for entry in before.entries:
        copy = root.parent / "out" / "images" / entry.file
        assert copy.read_bytes() == (root / entry.file).read_bytes()


def test_pictures_that_nobody_labelled_are_left_out_and_told(root: Path) -> None:
    yolo(root, "0 1 1 9 1 9 9")
    put(root / "images" / "2.png", 2)
    put(root / "images" / "3.png", 3)
    (root / "labels" / "3.txt").touch()
    written = write(root)
    assert (written.pictures, written.unlabelled) == (2, 1)
    assert [one.name for one in read(root.parent / "out").entries] == [
        "images/1.png",
        "images/3.png",
    ]


def refused(root: Path, kind: type[Refusal] = UsageError) -> str:
    """What the refusal says; nothing must be written."""
    with pytest.raises(kind) as error:
        write(root)
    assert not (root.parent / "out").exists()
    assert [path.name for path in root.parent.iterdir()] == [root.name]
    return str(error.value)


CAR = [[0, 0, 9, 0, 9, 9]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: yolo(root, "0 1 1 9 1 9 9", "0 1 1 9 9"), "labels/1.txt, line 2: is a box"),
        (lambda root: labelme(root, [shape("car", 1, 1, 9, 9)]), "1.json, shape 1: is a 'polygon'"),
        (lambda root: coco(root, [{"segmentation": [[1, 1, 9, 9]]}]), "polygon of 4 numbers"),
        (lambda root: coco(root, [{"segmentation": [[1, 1, 9, 9, 3, 4, 5]]}]), "of 7 numbers"),
        (lambda root: coco(root, [{"segmentation": CAR}, {}]), "annotation 2: has a box and no"),
        (lambda root: coco(root, [{"segmentation": [["a"] * 6]}]), "a segmentation that is none"),
        (lambda root: coco(root, [{"segmentation": [[10**400] * 6]}]), "that is none"),
        (
            lambda root: coco(root, [{"segmentation": {"size": [48, 32], "counts": [48 * 32]}}]),
            "annotation 1: is of a picture of 32 x 48, this one has 64 x 48",
        ),
        (
            lambda root: coco(root, [{"segmentation": {"size": [48, 64], "counts": [9, 9]}}]),
            "run lengths of 18 pixels in a picture of 3072",
        ),
        (
            lambda root: coco(root, [{"segmentation": {"size": [48, 64], "counts": "a b"}}]),
            "run lengths that are none",
        ),
        (
            lambda root: coco(root, [{"segmentation": {"size": [48, 64], "counts": [-9, 3081]}}]),
            "run lengths that are none",
        ),
        (
            lambda root: labelme(root, [shape("car", 70, 1, 90, 1, 90, 9)]),
            "shape 1: lies outside of its picture of 64 x 48",
        ),
        (lambda root: labelme(root, [shape("car", 1, 1, 1e9, 1, 9, 9)]), "1e+09 pixels away"),
        (lambda root: labelme(root, [shape("car", 1, 1, 5, 1, 9, 1)]), "shape 1: has no area"),
        (
            lambda root: labelme(root, [shape("car", 1, 1, 5, 5, kind="mask")]),
            "shape 1: is a mask without `mask`",
        ),
        (
            lambda root: labelme(root, [shape("car", 1, 1, 5, 5, kind="mask", mask="aGVsbG8=")]),
            "shape 1: has a mask that cannot be read",
        ),
        (lambda root: yolo(root, "2 1 1 9 1 9 9"), "no outline to draw"),
        (lambda root: yolo(root, "0 1 1 9 1 9 9", names=""), "classes without a name"),
        (MAKERS["voc"], "a data set of the format 'voc'"),
        (MAKERS["masks"], "a data set of the format 'masks'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_file_and_line(
    make: Callable[[Path], Path], said: str, root: Path
) -> None:
    assert said in refused(make(root))


def test_a_mask_of_labelme_of_another_size_than_its_box_is_refused(root: Path) -> None:
    png = base64.b64encode(cv2.imencode(".png", np.ones((4, 4), np.uint8))[1].tobytes()).decode()
    stamp = shape("car", 1, 1, 5, 5, kind="mask", mask=png)
    assert "a mask of 4 x 4 for a box of 5 x 5" in refused(labelme(root, [stamp]))


def test_pictures_of_another_size_than_the_labels_say_are_refused_by_name(root: Path) -> None:
    labelme(root, [shape("car", 1, 1, 9, 1, 9, 9)])
    path = root / "1.json"
    path.write_text(path.read_text().replace('"imageWidth": 64', '"imageWidth": 640'))
    assert "1.png: labels for 640 x 48 pixels, a picture of 64 x 48" in refused(root)


def test_a_picture_that_cannot_be_read_is_named(root: Path) -> None:
    yolo(root, "0 1 1 9 1 9 9")
    (root / "images" / "1.png").write_bytes((root / "images" / "1.png").read_bytes()[:60])
    assert "images/1.png" in refused(root, Missing)


def test_a_mask_is_turned_as_its_picture_is(root: Path) -> None:
    """Labels are in the picture as it is shown: 48 wide and 64 high."""
    yolo(root, "0 0 0 32 0 32 24 0 24")
    exif = bytes.fromhex("45786966000049492a00080000000100120103000100000006000000")
    (root / "images" / "1.png").unlink()
    put(root / "images" / "1.jpg", 1)
    data = (root / "images" / "1.jpg").read_bytes()
    segment = b"\xff\xe1" + (len(exif) + 6).to_bytes(2, "big") + exif + b"\0\0\0\0"
    (root / "images" / "1.jpg").write_bytes(data[:2] + segment + data[2:])
    found = drawn(root)
    assert found.shape == (WIDE, HIGH)
    assert (found[:32, :24] == "car").all()
    assert (found == "car").sum() == 32 * 24


def test_a_folder_that_is_not_empty_or_lies_in_the_data_set_is_refused(root: Path) -> None:
    yolo(root, "0 1 1 9 1 9 9")
    mine = root.parent / "out" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("keep")
    with pytest.raises(UsageError, match="not a folder for a new data set"):
        write(root)
    assert mine.read_text() == "keep"
    with pytest.raises(UsageError, match="lies in the data set"):
        write(root, out="set/masked")
    mine.unlink()
    assert write(root).pictures == 1


@pytest.mark.parametrize(
    "name", ["labels/a.png", "images/a_leftImg8bit.png", "images/a_color.png", "a/masks/b.png"]
)
def test_pictures_that_would_be_taken_for_masks_are_refused_by_name(name: str, root: Path) -> None:
    put(root / name, 1)
    (root / name).with_suffix(".json").write_text(
        json.dumps({"shapes": [shape("car", 1, 1, 9, 1, 9, 9)], "imagePath": Path(name).name})
    )
    assert name in refused(root)


@pytest.mark.parametrize(
    "names",
    [
        ["images/train/a.jpg", "images/val/a.jpg"],
        ["train/images/a.png", "val/images/a.png"],
        ["a.jpg", "images/b.png"],
        ["annotations/a.jpg"],
        ["A b,c.png"],
    ],
)
def test_pictures_keep_their_folders_and_parts(names: list[str], root: Path) -> None:
    for number, name in enumerate(names):
        put(root / name, number)
        (root / name).with_suffix(".json").write_text(
            json.dumps({"shapes": [shape("car", 1, 1, 9, 1, 9, 9)], "imagePath": Path(name).name})
        )
    before = READERS["labelme"].read(open_storage(str(root)), 1.0).entries
    write(root)
    after = read(root.parent / "out").entries
    assert all(entry.mask is not None for entry in after)
    assert [entry.split for entry in after] == [entry.split for entry in before]
    assert len(after) == len(names)


def test_labels_with_commas_quotes_and_line_ends_keep_their_names(root: Path) -> None:
    labels = ['a, "b"', "c\u2028d", "#e", "f\ng"]
    shapes = [
        shape(label, 5 * row, 0, 5 * row + 4, 0, 5 * row + 4, 4) for row, label in enumerate(labels)
    ]
    found = drawn(labelme(root, shapes))
    assert {str(word) for word in np.unique(found)} == {"background", *labels}


def test_outlines_change_nothing_of_what_readers_say(root: Path) -> None:
    """Boxes, and with them locks, are those of before."""
    outlined_sets.coco(root, [{"segmentation": [[1, 1, 9, 9]]}, {"segmentation": "none"}])
    assert READERS["coco"].read(open_storage(str(root)), 1.0).problems == ()
