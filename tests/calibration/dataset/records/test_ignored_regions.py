"""Regions to ignore, from the notation of every format: figures equal those of pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import put, voc
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from calibration.dataset.lock.diff import label_counts
from calibration.dataset.lock.lock import lock_dataset, read_lock, write_lock
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.records.record import ANY_LABEL, Box, LabelReading
from calibration.dataset.storage.open_storage import open_storage
from calibration.evaluation.data.label_mapping import map_labels
from calibration.evaluation.evaluate import ground_truth_digest
from calibration.evaluation.figures.detection import match_predictions
from calibration.evaluation.predictions.predict import Prediction
from calibration.metrics.average_precision import (
    average_precision,
    average_precision_50,
    hits_of,
    matches_of,
)
from calibration.metrics.matching import in_regions
from edge.perception.values import Detections, Floats


def boxes_in(random: np.random.Generator, count: int, smallest: float, largest: float) -> Floats:
    corners = random.uniform(0, 200, (count, 2))
    sides = random.uniform(smallest, largest, (count, 2))
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def frames(seed: int, *, most: int) -> tuple[list[Truth], list[Detections]]:
    """Objects of two labels, crowds, and detections near both, up to `most` in a frame."""
    random = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(6):
        objects = boxes_in(random, int(random.integers(0, max(most // 3, 2))), 10, 60)
        crowds = boxes_in(random, int(random.integers(0, 4)), 60, 150)
        labels, kinds = (random.integers(0, 2, len(one)) for one in (objects, crowds))
        truths.append(Truth(objects, labels, crowds, kinds))
        near = np.vstack([objects, boxes_in(random, 3, 10, 60)])
        count = int(random.integers(0, most + 1))
        shaken = near[random.integers(0, len(near), count)] + random.normal(0, 3, (count, 4))
        scores = np.sort(random.uniform(0.01, 1, count))[::-1].astype(np.float32)
        found.append(Detections(shaken.astype(np.float32), scores, random.integers(0, 2, count)))
    return truths, found


def by_pycocotools(
    truths: list[Truth], found: list[Detections], label: int
) -> tuple[float, float] | None:
    """AP50 and AP50:95 of a label, from annotations and results as COCO writes them."""

    def row(frame: int, box: Floats, label: int) -> dict[str, Any]:
        x1, y1, x2, y2 = map(float, box)
        area = (x2 - x1) * (y2 - y1)
        box_of = [x1, y1, x2 - x1, y2 - y1]
        return {"image_id": frame, "category_id": int(label), "bbox": box_of, "area": area}

    rows: list[dict[str, Any]] = []
    for frame, truth in enumerate(truths):
        rows += [
            {**row(frame, *one), "iscrowd": 0}
            for one in zip(truth.boxes, truth.labels, strict=True)
        ]
        rows += [
            {**row(frame, *one), "iscrowd": 1}
            for one in zip(truth.regions, truth.region_labels, strict=True)
        ]
    results = [
        {**row(frame, box, label), "score": float(score)}
        for frame, seen in enumerate(found)
        for box, label, score in zip(seen.boxes, seen.labels, seen.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {
            "images": [{"id": frame} for frame in range(len(truths))],
            "annotations": [{"id": number, **one} for number, one in enumerate(rows, start=1)],
            "categories": [{"id": 0}, {"id": 1}],
        }
        reference.createIndex()
        judge = COCOeval(reference, reference.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, label, 0, -1]
    if not (precision > -1).any():
        return None
    return float(precision[0].mean()), float(precision.mean())


@pytest.mark.parametrize(("seed", "most"), [(0, 12), (1, 12), (2, 12), (3, 260)])
def test_average_precision_is_pycocotools_with_crowds_and_above_100_detections(
    seed: int, most: int
) -> None:
    truths, found = frames(seed, most=most)
    if most > 200:  # above a hundred detections of one label in a frame
        found = [replace(seen, labels=np.zeros_like(seen.labels)) for seen in found]
        assert max(len(seen) for seen in found) > 150
    verdicts = hits_of(truths, found, classes=2)
    every = np.ones((1, len(truths)))
    single = average_precision_50(truths, found, classes=2)
    for label in range(2):
        matches = matches_of(truths, found, verdicts, label=label)
        mine = [
            float(average_precision(matches, every, ious=ious)[0])
            for ious in (slice(0, 1), slice(None))
        ]
        wanted = by_pycocotools(truths, found, label)
        assert wanted is not None
        assert mine == pytest.approx(wanted, abs=1e-9)
        assert single[label] == pytest.approx(wanted[0], abs=1e-9)


def test_a_label_that_is_only_a_crowd_is_not_judged() -> None:
    crowd = np.float32([[0, 0, 50, 50]])
    truths = [Truth(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), crowd, np.array([1]))]
    found = [Detections(crowd, np.float32([0.9]), np.array([1]))]
    assert average_precision_50(truths, found, classes=2) == [None, None]


def test_a_detection_is_in_a_region_by_its_own_area_and_label() -> None:
    regions = np.float32([[0, 0, 100, 100], [200, 0, 210, 10]])
    truth = Truth(
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), regions, np.array([0, 0], np.int64)
    )
    boxes = np.float32(
        [[0, 0, 10, 10], [95, 0, 105, 10], [96, 0, 106, 10], [0, 0, 10, 10], [5, 5, 5, 9]]
    )
    seen = Detections(boxes, np.ones(5, np.float32), np.array([0, 0, 0, 1, 0]))
    inside = in_regions(seen, truth, overlap_min=0.5)
    assert inside.tolist() == [True, True, False, False, False]
    beside = Detections(np.float32([[194, 0, 204, 10]]), np.float32([1]), np.array([0]))
    assert not in_regions(beside, truth, overlap_min=0.5).any()  # 4 of 10 pixels across
    speck = Detections(np.float32([[1, 1, 1.5, 1.5]]), np.float32([1]), np.array([0]))
    assert in_regions(speck, truth, overlap_min=0.5).all()
    assert not in_regions(seen, Truth(boxes, seen.labels), overlap_min=0.5).any()


def answer(truth: Truth, found: Detections) -> Prediction:
    return Prediction("a", "a", (), "0" * 64, truth, found, None, None, 0.0, None, None, "")


def test_what_lies_in_a_region_is_neither_found_nor_made_up() -> None:
    box, crowd = np.float32([[0, 0, 20, 20]]), np.float32([[100, 0, 200, 60]])
    inside, outside = [110, 10, 130, 30], [30, 100, 60, 130]
    found = Detections(
        np.float32([box[0], inside, outside]), np.float32([0.9, 0.8, 0.7]), np.array([0, 0, 0])
    )
    label = np.array([0])
    seen = match_predictions(
        [answer(Truth(box, label, crowd, label), found)], ["car"], [0], score_min=0.5
    )
    assert (seen.right.sum(), seen.missed.sum(), seen.false.sum()) == (1, 0, 1)
    assert seen.confusion.tolist() == [[1, 0], [1, 0]]
    assert len(seen.frames[0].detections) == 2  # the one in the crowd stands for nothing
    plain = match_predictions([answer(Truth(box, label), found)], ["car"], [0], score_min=0.5)
    assert plain.false.sum() == 2


def test_regions_are_part_of_what_was_judged_by() -> None:
    box, label = np.float32([[0, 0, 20, 20]]), np.array([0])
    one, other = Truth(box, label), Truth(box, label, box + 50, label)
    none = Detections.empty()
    assert ground_truth_digest([answer(one, none)]) != ground_truth_digest([answer(other, none)])


def read(root: Path) -> LabelReading:
    storage = open_storage(str(root))
    return READERS[format_of(storage, None)].read(storage, 1.0)


def coco_flag(key: str, value: object) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        put(root / "a.png", 1)
        annotation = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 3, 20, 10]}
        document = {
            "images": [{"id": 1, "file_name": "a.png"}],
            "categories": [{"id": 3, "name": "car"}],
            "annotations": [{**annotation, key: value}],
        }
        (root / "a.json").write_text(json.dumps(document))
        return root

    return make


def voc_difficult(word: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        voc(root)
        for path in (root / "Annotations").iterdir():
            text = path.read_text().replace("<bndbox>", f"<difficult>{word}</difficult><bndbox>")
            path.write_text(text)
        return root

    return make


def bdd_attribute(value: object) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        put(root / "a.jpg", 1)
        box = {"x1": 2, "y1": 3, "x2": 22, "y2": 13}
        label = {"id": 0, "category": "car", "box2d": box, "attributes": {"crowd": value}}
        (root / "det.json").write_text(json.dumps([{"name": "a.jpg", "labels": [label]}]))
        return root

    return make


def table_column(column: str, value: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        put(root / "a.png", 1)
        (root / "boxes.csv").write_text(
            f"file,label,xmin,ymin,xmax,ymax,{column}\na.png,car,2,3,22,13,{value}\n"
        )
        return root

    return make


@pytest.mark.parametrize(
    ("make", "ignored"),
    [
        (coco_flag("iscrowd", 1), True),
        (coco_flag("iscrowd", True), True),
        (coco_flag("iscrowd", "1"), True),
        (coco_flag("iscrowd", "0"), False),
        (coco_flag("iscrowd", "False"), False),
        (coco_flag("iscrowd", 0.0), False),
        (coco_flag("iscrowd", None), False),
        (coco_flag("ignore", 1), True),
        (voc_difficult("1"), True),
        (voc_difficult("0"), False),
        (voc_difficult("Unspecified"), False),
        (bdd_attribute(True), True),
        (bdd_attribute("false"), False),
        (table_column("difficult", "1"), True),
        (table_column("IsGroupOf", "0"), False),
    ],
)
def test_what_a_format_says_not_to_judge_is_kept_and_ignored(
    make: Callable[[Path], Path], ignored: bool, tmp_path: Path
) -> None:
    reading = read(make(tmp_path))
    assert reading.problems == ()
    assert {entry.boxes for entry in reading.entries} == {
        (Box("car", 2, 3, 22, 13, ignored=ignored),)
    }


@pytest.mark.parametrize(
    "make",
    [
        coco_flag("iscrowd", "perhaps"),
        coco_flag("iscrowd", 2),
        coco_flag("ignore", [1]),
        voc_difficult("very"),
        bdd_attribute({}),
        table_column("ignore", "x"),
    ],
)
def test_a_flag_that_is_neither_yes_nor_no_is_a_problem(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    problems = read(make(tmp_path)).problems
    assert problems
    assert all("is neither yes nor no" in problem.what for problem in problems)


@pytest.mark.parametrize("word", ["DontCare", "ignored regions", "Ignore", "don't care"])
def test_a_region_that_nobody_labelled_is_of_every_label(word: str, tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    (tmp_path / "b.csv").write_text(
        f"file,label,xmin,ymin,xmax,ymax\na.png,car,2,3,22,13\na.png,{word},30,3,40,13\n"
    )
    (entry,) = read(tmp_path).entries
    assert entry.boxes is not None
    assert entry.boxes[1] == Box(ANY_LABEL, 30, 3, 40, 13, ignored=True)
    mapping = map_labels(["car"], ["car", "person"], regions=[ANY_LABEL])
    assert mapping.regions(entry.boxes[1]) == (0, 1)
    assert mapping.regions(entry.boxes[0]) == ()
    assert mapping.object(entry.boxes[1]) is None


def test_a_neighbouring_class_is_no_mistake_where_the_model_has_no_label_for_it() -> None:
    van, crowd = Box("Van", 0, 0, 1, 1), Box("car", 0, 0, 1, 1, ignored=True)
    without = map_labels(["Car", "Van"], ["car"], regions=["car"])
    assert without.left_out == ("Van",)
    assert (without.object(van), without.regions(van)) == (None, (0,))
    assert (without.object(crowd), without.regions(crowd)) == (None, (0,))
    own = map_labels(["Car", "Van"], ["car", "van"])
    assert (own.object(van), own.regions(van)) == (1, ())
    assert map_labels(["cow", "car"], ["car"]).regions(Box("cow", 0, 0, 1, 1)) == ()


def test_a_lock_keeps_what_is_ignored_and_counts_no_label_of_it(tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    coco_flag("iscrowd", 1)(root)
    lock = lock_dataset(
        str(root), format_name=None, fps=1.0, licence=None, progress=lambda *_: None
    )
    path = tmp_path / "dataset.lock.json"
    write_lock(path, lock)
    assert read_lock(path) == lock
    assert lock.records[0].boxes == (Box("car", 2, 3, 22, 13, ignored=True),)
    assert label_counts(lock) == {}
