"""Masks: pairing with pictures, names of ids, and PNG files without ids."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_sets import masks, put, put_mask

from calibration.dataset.frames.images import image_frames
from calibration.dataset.masks.masks import NoMask, ids_of
from calibration.dataset.masks.pairing import pairs_of
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import LabelReading
from calibration.dataset.storage.open_storage import open_storage


def read(root: Path) -> LabelReading:
    storage = open_storage(str(root))
    assert format_of(storage, None) == "masks"
    return READERS["masks"].read(storage, 1.0)


def test_cityscapes_as_it_comes(tmp_path: Path) -> None:
    for part, city in (("train", "aachen"), ("val", "ulm")):
        for frame in ("000019", "000020"):
            stem = f"{city}_000003_{frame}"
            put(tmp_path / "leftImg8bit" / part / city / f"{stem}_leftImg8bit.png", 1)
            fine = tmp_path / "gtFine" / part / city
            put_mask(fine / f"{stem}_gtFine_labelIds.png", [7, 24, 0])
            put_mask(fine / f"{stem}_gtFine_labelTrainIds.png", [0, 11, 255])
            put(fine / f"{stem}_gtFine_color.png", 2)
            put_mask(fine / f"{stem}_gtFine_instanceIds.png", [7])
            (fine / f"{stem}_gtFine_polygons.json").write_text("{}")
    reading = read(tmp_path)
    assert len(reading.entries) == 4
    assert reading.problems == ()
    first = reading.entries[0]
    assert (first.group, first.split) == ("aachen_000003", "train")
    assert first.mask is not None
    assert first.mask.file.endswith("_gtFine_labelIds.png")
    assert {7: "road", 24: "person", 33: "bicycle"}.items() <= dict(first.mask.names).items()
    # No mask and no coloured picture of one is a road frame.
    assert len(image_frames(tmp_path, table=None, group=None)) == 4


def test_camvid_as_it_comes(tmp_path: Path) -> None:
    for part in ("train", "val"):
        put(tmp_path / part / "0001TP_006690.png", 3)
        put_mask(tmp_path / f"{part}annot" / "0001TP_006690.png", [0, 11])
    (tmp_path / "classes.txt").write_text("sky\nbuilding\n")
    reading = read(tmp_path)
    assert [entry.split for entry in reading.entries] == ["train", "val"]
    assert {entry.group for entry in reading.entries} == {"0001tp"}
    assert reading.entries[1].mask is not None
    assert reading.entries[1].mask.file == "valannot/0001TP_006690.png"
    assert reading.entries[1].mask.names == ((0, "sky"), (1, "building"))
    assert reading.label_files == ("classes.txt",)


def test_a_mask_without_a_picture_is_a_problem(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", 1)
    put_mask(tmp_path / "labels" / "a.png", [0])
    put_mask(tmp_path / "labels" / "b.png", [0])
    reading = read(tmp_path)
    assert [entry.name for entry in reading.entries] == ["a.jpg"]
    assert [problem.where for problem in reading.problems] == ["labels/b.png"]


def test_the_very_name_goes_before_one_with_a_tail() -> None:
    """Left and right cameras; `_l` is a tail of CamVid's masks."""
    cameras = ["a", "a_l", "a_r"]
    pairs = pairs_of(f"{kind}/{one}.png" for kind in ("images", "masks") for one in cameras)
    assert pairs.mask_of == {f"images/{one}.png": f"masks/{one}.png" for one in cameras}
    assert pairs_of(["images/a.png", "masks/a_l.png"]).mask_of == {"images/a.png": "masks/a_l.png"}
    both = pairs_of(["images/a.jpg", "masks/a.png", "masks/a_mask.png"])
    assert both.mask_of == {"images/a.jpg": "masks/a.png"}
    assert both.others == ("masks/a_mask.png",)


def test_two_masks_of_one_picture_are_a_problem_and_not_guessed(tmp_path: Path) -> None:
    root = masks(tmp_path)
    put_mask(root / "labels" / "train" / "1.png", [1, 0])
    put_mask(root / "masks" / "train" / "2_mask.png", [1, 0])  # the very name goes before it
    (problem,) = read(root).problems
    assert problem.where == "labels/train/1.png"
    assert "masks/train/1.png are masks of one picture" in problem.what


def test_two_pictures_of_one_mask_are_a_problem(tmp_path: Path) -> None:
    root = masks(tmp_path)
    put(root / "images" / "train" / "1.jpg", 9)
    reading = read(root)
    (problem,) = reading.problems
    assert (problem.where, problem.what.split(":")[0]) == (
        "images/train/1.jpg",
        "and images/train/1.png are pictures of one mask",
    )
    assert all(entry.mask is not None for entry in reading.entries)


def test_of_coarse_and_fine_and_of_all_ids_and_trained_ones_the_former_are_taken() -> None:
    picture = "leftImg8bit/train/bonn/bonn_000001_000019_leftImg8bit.png"
    stem = "train/bonn/bonn_000001_000019"
    fine, coarse = (
        [f"{kind}/{stem}_{kind}_{ids}.png" for ids in ("labelTrainIds", "labelIds")]
        for kind in ("gtFine", "gtCoarse")
    )
    found = pairs_of([picture, *fine, *coarse])
    assert found.mask_of == {picture: fine[1]}
    assert found.rivals == ()
    assert set(found.others) == {fine[0], *coarse}


def test_numbers_of_objects_are_no_labels_and_no_pictures(tmp_path: Path) -> None:
    put(tmp_path / "JPEGImages" / "a.jpg", 1)
    for kind in ("Class", "Object"):
        put_mask(tmp_path / f"Segmentation{kind}" / "a.png", [0, 1])
    (entry,) = read(tmp_path).entries
    assert entry.mask is not None
    assert entry.mask.file == "SegmentationClass/a.png"
    assert len(image_frames(tmp_path, table=None, group=None)) == 1


@pytest.mark.parametrize(
    "names",
    [
        ["train/mask/001.png", "train/nomask/001.png"],  # classes of pictures
        ["labels/1.png", "labels/2.png"],
        ["images/1.jpg", "labels/1.jpg"],  # a lossy file holds no ids
        ["images/1.jpg", "other/labels/1.png"],
    ],
)
def test_a_folder_that_merely_has_such_a_name_is_left_alone(names: list[str]) -> None:
    assert pairs_of(names).no_pictures == set()


def png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG in palette colours, which OpenCV does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    size = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size)
        + chunk(b"PLTE", palette.astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_rows_of_a_palette_are_ids_as_in_pascal_voc() -> None:
    palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]])
    pixels = np.random.default_rng(0).integers(0, 4, (6, 9)).astype(np.uint8)
    np.testing.assert_array_equal(ids_of(png(pixels, palette)), pixels)
    palette[3] = palette[1]
    with pytest.raises(NoMask, match="colour of this mask twice"):
        ids_of(png(pixels, palette))


def encoded(pixels: np.ndarray) -> bytes:
    _, data = cv2.imencode(".png", pixels)
    return data.tobytes()


def claiming(side_px: int) -> bytes:
    """A small grey PNG whose header claims side_px x side_px pixels."""
    data = encoded(np.zeros((4, 4), np.uint8))
    header = b"IHDR" + struct.pack(">II", side_px, side_px) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "0 bytes that are no PNG"),
        (encoded(np.zeros((4, 4, 3), np.uint8)), "8-bit colour, not label ids"),
        (encoded(np.zeros((4, 4), np.uint16)), "16-bit grey, not label ids"),
        (encoded(np.zeros((40, 40), np.uint8))[:-20], "end in the middle"),
        (claiming(28_000), "28000 x 28000 pixels, over the"),
        (encoded(np.zeros((40, 40), np.uint8)).replace(b"IDAT", b"IDAT\0", 1)[:-1], "checksum"),
    ],
)
def test_what_is_no_mask_is_said(data: bytes, said: str) -> None:
    with pytest.raises(NoMask, match=said):
        ids_of(data)
