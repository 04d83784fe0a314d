"""Confidence intervals have their stated coverage, also where frames come in drives."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.metrics.confidence_intervals import (
    REPLICATES,
    percentile_95,
    resamples,
    share_95,
    wilson_95,
)


def test_lone_frames_have_wilsons_interval() -> None:
    hit = np.array([1, 0, 1, 1, 0, 1, 1, 1])
    assert share_95(hit, np.ones(8, np.int64), np.arange(8)) == pytest.approx(wilson_95(6, 8))


def test_frames_of_one_drive_count_little() -> None:
    drives = np.repeat(np.arange(8), 50)
    hit = np.repeat([1, 0, 1, 1, 0, 1, 1, 1], 50)
    wide = share_95(hit, np.ones(400, np.int64), drives)
    narrow = wilson_95(300, 400)
    assert wide is not None
    assert wide[0] < narrow[0] - 0.2


def test_a_single_drive_tells_nothing_of_others() -> None:
    assert share_95(np.array([1, 0]), np.array([1, 1]), np.array([0, 0])) is None
    assert percentile_95([0.1, 0.2], 1) is None


def test_all_right_is_not_sure() -> None:
    interval = share_95(np.ones(90, np.int64), np.ones(90, np.int64), np.repeat(np.arange(3), 30))
    assert interval is not None
    assert interval[0] == pytest.approx(wilson_95(3, 3)[0])
    assert interval[0] < 0.5


@pytest.mark.parametrize(
    ("hits", "effective"),
    [
        ([4, 0, 2], 3.0),  # squares 8 x 3/2 = 12 over 12 x 12 x 0.25 / 12 = 3: an effect of 4
        ([4, 1, 1], 4.0),  # squares 6 x 3/2 = 9: an effect of 3
        ([2, 2, 2], 12.0),  # groups that are more alike than chance gain nothing
    ],
)
def test_the_design_effect_by_hand(hits: list[int], effective: float) -> None:
    """Three groups of four frames, half of them right; Kish: variance between groups over that of
    frames drawn alone. A fourth group has nothing to count and says nothing."""
    found, of, groups = np.array([*hits, 0]), np.array([4, 4, 4, 0]), np.arange(4)
    assert share_95(found, of, groups) == pytest.approx(wilson_95(effective / 2, effective))


def test_two_groups_are_enough_to_tell_how_they_differ() -> None:
    found, of = np.array([3, 1]), np.array([4, 4])  # squares 2 x 2 = 4: an effect of 2
    assert share_95(found, of, np.arange(2)) == pytest.approx(wilson_95(2, 4))


def test_a_share_of_nothing_and_of_one_group_that_is_all_right() -> None:
    none, one = np.zeros(2, np.int64), np.array([3, 4])
    assert share_95(none, none, np.arange(2)) is None
    assert share_95(one, one, np.zeros(2, np.int64)) == pytest.approx(wilson_95(1, 1))
    assert share_95(none, one, np.zeros(2, np.int64)) == pytest.approx(wilson_95(0, 1))


def test_the_middle_95_percent_of_what_is_known() -> None:
    values = np.append(np.arange(1001.0), [np.nan, np.inf])
    assert percentile_95(values, 2) == (25.0, 975.0)
    assert percentile_95([0.5, 0.5], 2) is None
    assert percentile_95([np.nan], 2) is None


def test_there_are_as_many_resamples_as_the_files_say() -> None:
    assert REPLICATES == 500
    assert resamples(np.arange(3)).shape == (500, 3)
    assert resamples(np.arange(3)).mean(axis=0) == pytest.approx(np.ones(3), abs=0.15)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(0)
    drives = np.repeat(np.arange(30), 20)
    held = 0
    for _ in range(300):
        rates = random.beta(6, 2, 30)  # drives differ: their mean is 0.75
        hit = (random.random(600) < rates[drives]).astype(np.int64)
        interval = share_95(hit, np.ones(600, np.int64), drives)
        assert interval is not None
        held += interval[0] <= 0.75 <= interval[1]
    assert 0.91 <= held / 300 <= 0.99


def test_resamples_draw_whole_groups_and_are_the_same_each_time() -> None:
    groups = np.array([0, 0, 1, 2, 2, 2])
    drawn = resamples(groups)
    assert np.array_equal(drawn, resamples(groups))
    assert np.array_equal(drawn[:, 0], drawn[:, 1])
    assert np.array_equal(drawn[:, 3], drawn[:, 5])
    assert set(drawn[:, [0, 2, 3]].sum(axis=1)) == {3.0}
