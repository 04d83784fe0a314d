"""Weighted AP equals that of pycocotools, for all frames, a subset, and repeated frames."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.dataset.records.ground_truth import Truth
from calibration.metrics.average_precision import (
    WRONG,
    average_precision,
    average_precision_50,
    hits_of,
    matches_of,
)
from edge.perception.values import Detections

FRAMES, CLASSES = 30, 3


def rough_detector(seed: int, *, ties: bool) -> tuple[list[Truth], list[Detections]]:
    random = np.random.default_rng(seed)
    truths, found = [], []
    for _ in range(FRAMES):
        count = int(random.integers(0, 5))
        corners = random.uniform(0, 80, (count, 2))
        boxes = np.hstack([corners, corners + random.uniform(20, 40, (count, 2))]).astype(
            np.float32
        )
        labels = random.integers(0, CLASSES - 1, count)
        truths.append(Truth(boxes, labels))
        shaken = boxes + random.normal(0, 2.5, boxes.shape).astype(np.float32)
        wild = np.tile(np.float32([5, 5, 30, 30]), (2, 1)) + random.uniform(0, 40, (2, 1))
        every = np.vstack([shaken, wild]).astype(np.float32)
        choice = [0.3, 0.5, 0.7, 0.9] if ties else random.random(len(every))
        scores = np.sort(random.choice(choice, len(every), replace=ties))[::-1]
        order = random.permutation(len(every))
        kinds = np.concatenate([labels, random.integers(0, CLASSES, 2)])[order]
        found.append(Detections(every[order], scores.astype(np.float32), kinds))
    return truths, found


@pytest.mark.parametrize("seed", range(3))
def test_every_subset_and_resample_equals_pycocotools(seed: int) -> None:
    random = np.random.default_rng(seed)
    for rows in (
        list(range(FRAMES)),
        list(range(0, FRAMES, 3)),
        sorted(random.integers(0, 30, 30)),
    ):
        # Of a frame that counts twice, pycocotools takes equal scores in another order.
        truths, found = rough_detector(seed, ties=len(set(rows)) == len(rows))
        hits = hits_of(truths, found, classes=CLASSES)
        weights = np.bincount(rows, minlength=FRAMES)[None].astype(np.float64)
        wanted = average_precision_50(
            [truths[row] for row in rows], [found[row] for row in rows], classes=CLASSES
        )
        for label in range(CLASSES):
            matches = matches_of(truths, found, hits, label=label)
            value = average_precision(matches, weights, ious=slice(0, 1))[0]
            if wanted[label] is None:
                assert np.isnan(value)
            else:
                assert value == pytest.approx(wanted[label], abs=1e-12)


def test_stricter_overlaps_lower_it() -> None:
    box = np.float32([[10, 10, 50, 50]])
    near = np.float32([[10, 10, 50, 40]])  # overlap 0.75
    truths = [Truth(box, np.array([0]))]
    found = [Detections(near, np.float32([0.9]), np.array([0]))]
    matches = matches_of(truths, found, hits_of(truths, found, classes=1), label=0)
    assert average_precision(matches, np.ones((1, 1)))[0] == pytest.approx(0.6)  # 0.50 to 0.75


def test_nothing_found_anywhere_and_nothing_there_anywhere() -> None:
    box, label = np.float32([[10, 10, 50, 50]]), np.array([0])
    there, found = Truth(box, label), Detections(box, np.float32([0.9]), label)
    none = Truth(box[:0], label[:0])
    (verdicts,) = hits_of([there], [Detections.empty()], classes=1)
    assert verdicts.shape == (0, 10)
    matches = matches_of([there], [Detections.empty()], [verdicts], label=0)
    assert average_precision(matches, np.ones((1, 1)))[0] == 0.0
    (verdicts,) = hits_of([none], [found], classes=1)
    assert verdicts.tolist() == [[WRONG] * 10]
    matches = matches_of([none], [found], [verdicts], label=0)
    assert np.isnan(average_precision(matches, np.ones((1, 1)))[0])
