"""A part is declared or is a whole path element; a word inside a file name is not a part."""

from __future__ import annotations

import pytest

from calibration.dataset.label_files.part_names import Parts


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("images/train/1.jpg", "train"),
        ("images/Train/1.jpg", "train"),
        ("valid/images/1.jpg", "val"),
        ("val2017/1.jpg", "val"),
        ("Final_Training/Images/00014/1.ppm", "train"),
        ("test_images/1.jpg", "test"),
        ("annotations/instances_val2017.json", "val"),
        ("labels/bdd100k_labels_images_train.json", "train"),
        ("GT-final_test.csv", "test"),
        ("leftImg8bit/train_extra/bonn/1.png", "train"),
        ("train.npz", "train"),
        ("images/crossing_with_train_01.png", None),
        ("images/freight-train_3.png", None),
        ("images/test_track_01.png", None),
        ("train.png", None),
        ("valid_bend/1.png", None),
        ("train_station/1.png", None),
        ("test_track/1.png", None),
        ("train_vs_test/1.png", None),
        ("labels/freight_train.json", None),
    ],
)
def test_only_a_whole_path_element_is_a_part(path: str, part: str | None) -> None:
    assert Parts([path]).of(path) == part


def test_label_files_of_one_name_but_for_the_part_are_parts() -> None:
    parts = Parts(["night_train.json", "night_val.json", "tram_train.json", "a/1.png"])
    assert parts.of("night_train.json") == "train"
    assert parts.of("night_val.json") == "val"
    assert parts.of("tram_train.json") is None


def test_a_folder_for_each_class_is_no_part() -> None:
    files = ["set/bus/1.png", "set/train/1.png", "set/train/2.png"]
    assert Parts(files).of("set/train/1.png") is None
    assert Parts([*files, "other/train/bus/1.png"]).of("other/train/bus/1.png") == "train"
