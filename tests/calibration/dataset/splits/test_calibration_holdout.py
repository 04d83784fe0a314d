"""The split into calibration and held-back frames: by whole groups, seeded, disjoint."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from road import NoiseFrame

from calibration.dataset.splits.calibration_holdout import split
from firmware_bridge.errors import UsageError


def frames(sizes: list[int]) -> list[NoiseFrame]:
    seeds = iter(range(10_000))
    return [
        NoiseFrame(next(seeds), group=f"drive-{group}")
        for group, size in enumerate(sizes)
        for _ in range(size)
    ]


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=10),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_sides_have_the_asked_size_and_share_no_group(
    sizes: list[int], calibrate: int, hold_back: int, seed: int
) -> None:
    try:
        parts = split(frames(sizes), calibrate=calibrate, hold_back=hold_back, seed=seed)
    except UsageError:
        assume(False)
    assert len(parts.calibration) == calibrate == len(set(parts.calibration))
    assert len(parts.held_back) == hold_back == len(set(parts.held_back))
    assert not {f.group for f in parts.calibration} & {f.group for f in parts.held_back}


def test_the_order_of_the_folder_does_not_matter_and_the_seed_does() -> None:
    there = frames([4] * 8)
    shuffled = random.Random(1).sample(there, len(there))
    asked = {"calibrate": 12, "hold_back": 6}
    first = split(there, **asked, seed=0)
    assert split(shuffled, **asked, seed=0) == first
    assert any(split(there, **asked, seed=seed) != first for seed in range(1, 4))


def test_a_long_drive_does_not_speak_for_all() -> None:
    there = frames([100, 5, 5, 5, 5, 5])
    for seed in range(8):
        parts = split(there, calibrate=12, hold_back=4, seed=seed)
        taken = [frame.group for frame in parts.calibration]
        assert max(taken.count(group) for group in set(taken)) <= 4


@given(
    st.lists(st.integers(1, 12), min_size=2, max_size=12),
    st.lists(st.integers(1, 40), min_size=2, max_size=4),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_how_many_are_calibrated_on_does_not_move_the_frames_that_judge(
    sizes: list[int], asked: list[int], hold_back: int, seed: int
) -> None:
    there, judging = frames(sizes), set()
    for calibrate in asked:
        with contextlib.suppress(UsageError):  # there may be too few of them
            parts = split(there, calibrate=calibrate, hold_back=hold_back, seed=seed)
            judging.add(parts.held_back)
    assert len(judging) <= 1


def test_frames_that_are_added_move_few_of_those_that_judge() -> None:
    for sizes, more in (([1] * 60, [1] * 6), ([12] * 12, [12])):
        before, after = (
            set(split(frames(every), calibrate=8, hold_back=24, seed=0).held_back)
            for every in (sizes, [*sizes, *more])
        )
        assert len(before & after) >= 12


def test_several_drives_judge_where_there_are_many() -> None:
    held = split(frames([50] * 16), calibrate=8, hold_back=24, seed=0).held_back
    drives = [frame.group for frame in held]
    assert {name: drives.count(name) for name in drives} == dict.fromkeys(drives, 6)


@pytest.mark.parametrize(
    ("sizes", "calibrate", "hold_back"),
    [([5, 5], 8, 4), ([100], 8, 4), ([], 8, 4), ([1] * 11, 8, 4)],
)
def test_too_few_says_how_many_there_are_and_how_to_ask_for_fewer(
    sizes: list[int], calibrate: int, hold_back: int
) -> None:
    with pytest.raises(UsageError) as refused:
        split(frames(sizes), calibrate=calibrate, hold_back=hold_back, seed=0)
    assert f"{sum(sizes)} frames in {len(sizes)} groups" in refused.value.found
    assert "--set calibration.frames=N" in refused.value.remedy


@pytest.mark.parametrize("seed", range(6))
def test_enough_frames_in_uneven_drives_are_enough_whatever_the_seed(seed: int) -> None:
    parts = split(frames([100, 8]), calibrate=64, hold_back=8, seed=seed)
    assert {frame.group for frame in parts.held_back} == {"drive-1"}
