"""Every check finds its fault in a data set made faulty on purpose, and none in a sound one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_sets import MAKERS, picture, put, put_mask

from calibration.dataset.checks.inspection import Inspection, inspect_dataset
from calibration.dataset.checks.page import page_of
from calibration.dataset.checks.table import CHECKS, Finding, findings
from edge.cli import main
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing


def examined(source: Path) -> Inspection:
    return inspect_dataset(str(source), format_name=None, fps=5.0, progress=lambda *_: None)


def errors(found: list[Finding]) -> set[str]:
    return {finding.check for finding in found if finding.severity == "error"}


def yolo_line(*shares: float) -> str:
    return "1 " + " ".join(map(str, shares)) + "\n"


def save(path: Path, image: BgrImage) -> None:
    assert cv2.imwrite(str(path), image)


def noise(root: Path) -> None:
    random = np.random.default_rng(0)
    save(root / "images/train/0.jpg", random.integers(0, 256, (48, 64, 3), dtype=np.uint8))


def line(text: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / "labels/train/0.txt").write_text(text)

    return spoil


def cut(root: Path) -> None:
    path = root / "images/train/1.jpg"
    path.write_bytes(path.read_bytes()[:300])


def copied(root: Path) -> None:
    shutil.copy(root / "images/train/0.jpg", root / "images/val/copy.jpg")
    shutil.copy(root / "labels/train/0.txt", root / "labels/val/copy.txt")


def recompressed(root: Path) -> None:
    image = picture(0)
    bigger = cv2.resize(image, (128, 96), interpolation=cv2.INTER_LINEAR)
    path = str(root / "images/val/again.jpg")
    assert cv2.imwrite(path, bigger, [cv2.IMWRITE_JPEG_QUALITY, 70])


FAULTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "schema": ("cannot be meant", line("1 0.5 0.5 nan 0.2\n")),
    "unreadable": ("images/train/1.jpg", cut),
    "labels": ("train never sees: bus", lambda root: put_line(root, "2 0.5 0.5 0.2 0.2\n")),
    "boxes": ("outside", line(yolo_line(0.95, 0.5, 0.5, 0.2))),
    "duplicates": ("in several parts", copied),
    "near duplicates": ("in several parts", recompressed),
    "constant": ("of one colour", lambda root: save(root / "images/train/0.jpg", FLAT)),
    "random": ("of noise", noise),
}
FLAT = np.full((48, 64, 3), 90, np.uint8)


def put_line(root: Path, text: str) -> None:
    (root / "labels/val/3.txt").write_text(text)


@pytest.mark.parametrize("check", FAULTS)
def test_a_fault_is_found_by_its_check_and_no_other_error(check: str, tmp_path: Path) -> None:
    root = MAKERS["yolo"](tmp_path)
    assert errors(findings(examined(root))) == set()
    words, spoil = FAULTS[check]
    spoil(root)
    found = findings(examined(root))
    assert errors(found) == {check}
    (finding,) = (one for one in found if one.severity == "error")
    assert words in finding.sentence + str(finding.about)


def _locked(tmp_path: Path) -> Path:
    root, lock = MAKERS["folder"](tmp_path), tmp_path / "dataset.lock.json"
    with pytest.raises(SystemExit):
        main(["data", "lock", str(root), "--out", str(lock)])
    put(root / "images/0.png", 50)
    return lock


def _other_size(tmp_path: Path) -> Path:
    root = MAKERS["coco"](tmp_path)
    save(root / "val2017/000000000000.jpg", picture(7, width_px=40, height_px=30))
    return root


def _sixteen_bits(tmp_path: Path) -> Path:
    root = MAKERS["folder"](tmp_path)
    assert cv2.imwrite(str(root / "images/0.png"), picture(0).astype(np.uint16) * 16)
    return root


def _small_mask(tmp_path: Path) -> Path:
    root = MAKERS["masks"](tmp_path)
    put_mask(root / "masks/train/0.png", [0, 1], width_px=32)
    return root


def _track_in_two_parts(tmp_path: Path) -> Path:
    images = np.stack([picture(seed, width_px=32, height_px=32) for seed in range(2)])
    for part, image in zip(("train", "val"), images, strict=True):
        labels = np.zeros(1, int)
        np.savez(tmp_path / f"{part}.npz", images=image[None], labels=labels, tracks=labels)
    return tmp_path


def _one_rare_class(tmp_path: Path) -> Path:
    rows = ["file,label"]
    for number in range(26):
        put(tmp_path / f"{number}.png", number)
        rows.append(f"{number}.png,{'car' if number else 'bus'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


WITHOUT_AN_ERROR_ALONE: dict[str, Callable[[Path], Path]] = {
    "lock": _locked,
    "size": _other_size,
    "stored": _sixteen_bits,
    "masks": _small_mask,
    "leakage": _track_in_two_parts,
    "classes": _one_rare_class,
    "conditions": MAKERS["folder"],
    "licence": MAKERS["folder"],
}
"""Checks that other checks speak up beside, or that find no errors -> a data set with the fault."""


@pytest.mark.parametrize("check", WITHOUT_AN_ERROR_ALONE)
def test_a_fault_is_found_among_others(check: str, tmp_path: Path) -> None:
    found = findings(examined(WITHOUT_AN_ERROR_ALONE[check](tmp_path)))
    assert check in {finding.check for finding in found}


def test_there_is_a_faulty_data_set_for_every_check() -> None:
    assert FAULTS.keys() | WITHOUT_AN_ERROR_ALONE.keys() == CHECKS.keys()


def test_boxes_inside_out_thin_and_twice(tmp_path: Path) -> None:
    root = MAKERS["yolo"](tmp_path)
    twice = yolo_line(0.5, 0.5, 0.2, 0.2) * 2
    (root / "labels/train/0.txt").write_text(yolo_line(0.5, 0.5, -0.2, 0.2) + twice)
    (root / "labels/train/1.txt").write_text(yolo_line(0.5, 0.5, 0.01, 0.2))
    said = {one.sentence: one.severity for one in findings(examined(root)) if one.check == "boxes"}
    assert said == {
        "boxes without an area: 1 picture": "error",
        "boxes less than 2 pixels thin: 1 picture": "warning",
        "the same box twice: 1 picture": "warning",
    }


def test_pictures_of_another_size_than_their_labels(tmp_path: Path) -> None:
    root = MAKERS["coco"](tmp_path)
    save(root / "val2017/000000000000.jpg", picture(7, width_px=40, height_px=30))
    save(root / "val2017/000000000003.jpg", picture(8, width_px=65, height_px=48))
    said = {one.severity: one.about for one in findings(examined(root)) if one.check == "size"}
    assert said["error"] == ("val2017/000000000000.jpg",)
    assert said["warning"] == ("val2017/000000000003.jpg",)


def test_a_track_in_two_parts_is_a_leak(tmp_path: Path) -> None:
    images = np.stack([picture(seed, width_px=32, height_px=32) for seed in range(4)])
    for part, rows in (("train", slice(0, 2)), ("val", slice(2, 4))):
        np.savez(
            tmp_path / f"{part}.npz",
            images=images[rows],
            labels=np.zeros(2, int),
            tracks=np.array([4, 5, 5, 6])[rows],
        )
    found = findings(examined(tmp_path))
    assert errors(found) == {"leakage"}
    assert next(one for one in found if one.severity == "error").about == ("0/5",)


def test_one_picture_with_two_labels_is_an_error_even_in_one_part(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        put(tmp_path / name, 1)
    (tmp_path / "labels.csv").write_text("file,label\na.png,stop\nb.png,yield\n")
    (error,) = (one for one in findings(examined(tmp_path)) if one.severity == "error")
    assert (error.check, error.about) == ("duplicates", ("a.png = b.png",))


def test_classes_and_conditions_that_are_scarce_are_named(tmp_path: Path) -> None:
    rows = ["file,drive,label,weather"]
    for number in range(26):
        put(tmp_path / f"{number}.png", number)
        label = ("car", "Motor-Bike", "motorcycle")[min(2, max(0, number - 23))]
        rows.append(f"{number}.png,{number % 5},{label},{'hail' if number == 3 else 'rainy'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    said = [one.sentence for one in findings(examined(tmp_path))]
    assert any("2 of 3 classes are outnumbered" in sentence for sentence in said)
    assert "labels that look like one class: 'Motor-Bike' (1), 'motorcycle' (1)" in said
    assert "no record with weather clear, cloudy, fog, snow" in said
    assert "weather is not said of 1 of 26" in said
    assert any("weather 'hail'" in sentence for sentence in said)
    assert "no licence is stated" in said


def test_a_lock_is_held_against_what_is_there(tmp_path: Path) -> None:
    root = MAKERS["folder"](tmp_path / "data")
    lock = tmp_path / "dataset.lock.json"
    with pytest.raises(SystemExit) as ended:
        main(["data", "lock", str(root), "--out", str(lock), "--licence", "MIT"])
    assert ended.value.code == 0
    assert "lock" not in {finding.check for finding in findings(examined(lock))}
    put(root / "images/0.png", 50)
    put(root / "images/9.png", 51)
    (root / "images/4.png").unlink()
    said = {one.sentence: one.about for one in findings(examined(lock)) if one.check == "lock"}
    assert said["1 record changed since the lock"] == ("images/0.png",)
    assert said["1 record in the lock and no longer there"] == ("images/4.png",)
    assert said["1 record there and not in the lock"] == ("images/9.png",)
    shutil.rmtree(root)
    with pytest.raises(Missing, match="no data set"):
        examined(lock)


def test_every_check_has_a_remedy_and_is_documented(root: Path) -> None:
    text = (root / "docs" / "data.md").read_text()
    for name, check in CHECKS.items():
        assert f"| {name} |" in text
        assert check.remedy


def test_the_page_stands_alone_and_shows_strange_names_as_text(tmp_path: Path) -> None:
    root = MAKERS["folder"](tmp_path / "data")
    evil = "<script>alert(1)</script>"
    table = (root / "labels.csv").read_text().replace(",a\n", f",{evil}\n")
    (root / "labels.csv").write_text(table)
    shutil.copy(root / "images/0.png", root / "images/<img src=x onerror=y>.png")
    data = examined(root)
    page = page_of(data, findings(data))
    assert evil not in page
    assert "&lt;script&gt;" in page
    assert "<img src=x" not in page
    assert page.count("data:image/jpeg;base64,") >= 3
    assert "http" not in page.replace("data:image", "")
    assert "prefers-color-scheme: dark" in page


def test_exit_codes_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", "check", *arguments])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    (tmp_path / "data").mkdir()
    root = MAKERS["yolo"](tmp_path / "data")
    page = tmp_path / "page.html"
    code, out, _ = run(str(root), "--html", str(page))
    assert code == 0
    assert "4 records, 16 checks" in out
    assert page.read_text().startswith("<!doctype html>")
    cut(root)
    code, out, err = run(str(root), "--json")
    assert code == 1
    facts = json.loads(out)
    assert facts["findings"][0]["check"] == "unreadable"
    assert "1 picture cannot be read" in err
    assert run(str(tmp_path / "none"))[0] == 3


def test_real_faults_of_public_data_are_found(shared_data: Path) -> None:
    fog = [
        one for one in findings(examined(shared_data / "fog_traffic")) if one.severity == "error"
    ]
    assert [(one.check, one.about) for one in fog] == [
        ("duplicates", ("images/foggy-060.jpg = images/haze-024.jpg = images/haze-039.jpg",))
    ]
    signs = findings(examined(shared_data / "signs"))
    assert errors(signs) == {"near duplicates"}
    assert errors(findings(examined(shared_data / "video" / "day_highway.mp4"))) == set()
