"""IoU of masks against scikit-learn, a case by hand, and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from calibration.segmentation import IGNORED, intersection_over_union, pixel_counts


def test_a_case_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, IGNORED, 1]])
    said = np.array([[0, 1, 1], [1, 0, 7]])
    counts = pixel_counts(truth, said, classes=3)
    assert intersection_over_union(counts) == [1 / 2, 2 / 4, None]


def test_it_is_scikit_learns_and_frames_add_up() -> None:
    random = np.random.default_rng(0)
    truth, said = random.integers(0, 4, (2, 6, 20, 30)).astype(np.uint8)
    parts = [pixel_counts(t, s, classes=4) for t, s in zip(truth, said, strict=True)]
    whole = pixel_counts(truth, said, classes=4)
    assert np.array_equal(sum(reversed(parts), np.zeros_like(whole)), whole)
    wanted = jaccard_score(truth.ravel(), said.ravel(), labels=range(4), average=None)
    assert intersection_over_union(whole) == pytest.approx(wanted.tolist())


def test_masks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="a mask"):
        pixel_counts(np.zeros((2, 2), int), np.zeros((2, 3), int), classes=2)
    with pytest.raises(ValueError, match="true labels"):
        pixel_counts(np.full((2, 2), 5), np.zeros((2, 2), int), classes=2)
