"""IoU of masks against scikit-learn, a case by hand, and in parts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from calibration.dataset.records.ground_truth import IGNORED
from calibration.evaluation.figures.segmentation import Areas, Float64s, label_ious
from calibration.metrics.pixel_counts import Counts, pixel_counts


def ious(*frames: Counts) -> Float64s:
    """Of each label, over the pixels of all frames."""
    rows = range(frames[0].shape[0])
    seen = Areas(
        tuple(rows),
        both=np.array([np.diagonal(counts) for counts in frames]),
        true=np.array([counts.sum(axis=1) for counts in frames]),
        predicted=np.array([counts[:, :-1].sum(axis=0) for counts in frames]),
    )
    return label_ious(seen, np.ones((1, len(frames))))[0]


def test_a_case_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, IGNORED, 1]])
    said = np.array([[0, 1, 1], [1, 0, 7]])
    found = ious(pixel_counts(truth, said, classes=3))
    np.testing.assert_array_equal(found, [1 / 2, 2 / 4, np.nan])


def test_it_is_scikit_learns_and_frames_add_up() -> None:
    random = np.random.default_rng(0)
    truth, said = random.integers(0, 4, (2, 6, 20, 30)).astype(np.uint8)
    parts = [pixel_counts(t, s, classes=4) for t, s in zip(truth, said, strict=True)]
    whole = pixel_counts(truth, said, classes=4)
    assert np.array_equal(sum(reversed(parts), np.zeros_like(whole)), whole)
    wanted = jaccard_score(truth.ravel(), said.ravel(), labels=range(4), average=None)
    assert ious(whole) == pytest.approx(wanted)
    assert ious(*parts) == pytest.approx(wanted)


def test_masks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="a mask"):
        pixel_counts(np.zeros((2, 2), int), np.zeros((2, 3), int), classes=2)
    for strange in (-1, 2, 5):
        with pytest.raises(ValueError, match="true labels"):
            pixel_counts(np.full((2, 2), strange), np.zeros((2, 2), int), classes=2)


def test_255_is_what_pascal_voc_and_cityscapes_leave_out() -> None:
    truth = np.array([[255, 254], [0, 1]], np.uint8)
    with pytest.raises(ValueError, match="true labels 0 to 254"):
        pixel_counts(truth, np.zeros((2, 2), int), classes=2)
    truth[0, 1] = 255
    assert pixel_counts(truth, np.zeros((2, 2), int), classes=2).tolist() == [[1, 0, 0], [1, 0, 0]]
