"""Parts and folds keep groups whole, spread classes, and are the same for a seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from calibration.dataset.splits.group_folds import folds, parts
from converters.training.class_weights import balanced_draw, class_weights
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Sign:
    name: str
    group: str
    label: str


def signs(classes: int = 6, tracks: int = 10, frames: int = 7) -> list[Sign]:
    """Class c has c + 2 fewer tracks than asked for, so that classes differ in number."""
    return [
        Sign(f"{label}/{track}/{frame}", f"{label}/{track}", str(label))
        for label in range(classes)
        for track in range(tracks - label % 3)
        for frame in range(frames)
    ]


def test_every_row_is_judged_once_and_no_track_is_on_both_sides() -> None:
    records = signs()
    made = folds(records, 5, seed=3, strata=lambda sign: (sign.label,))
    judged = np.concatenate([fold.judge for fold in made])
    assert sorted(judged) == list(range(len(records)))
    for fold in made:
        assert set(fold.fit) | set(fold.judge) == set(range(len(records)))
        assert not {records[row].group for row in fold.fit} & {
            records[row].group for row in fold.judge
        }
        assert {records[row].label for row in fold.judge} == {str(label) for label in range(6)}
        assert abs(len(fold.judge) - len(records) / 5) <= 14


def test_a_seed_gives_the_same_parts_whatever_the_order_and_another_seed_others() -> None:
    records = signs()
    backwards = records[::-1]
    shares = {"train": 0.7, "val": 0.15, "test": 0.15}

    def names(given: list[Sign], seed: int) -> dict[str, set[str]]:
        made = parts(given, shares, seed=seed, strata=lambda sign: (sign.label,))
        return {part: {given[row].name for row in rows} for part, rows in made.items()}

    assert names(records, 1) == names(backwards, 1)
    assert names(records, 1) != names(records, 2)


def test_shares_and_classes_come_out_as_asked_for() -> None:
    records = signs(tracks=30)
    made = parts(
        records, {"train": 70, "val": 15, "test": 15}, seed=0, strata=lambda sign: (sign.label,)
    )
    assert sum(len(rows) for rows in made.values()) == len(records)
    for part, share in (("train", 0.70), ("val", 0.15), ("test", 0.15)):
        assert len(made[part]) / len(records) == pytest.approx(share, abs=0.03)
        counted = Counter(records[row].label for row in made[part])
        every = Counter(record.label for record in records)
        for label, count in every.items():
            assert counted[label] / count == pytest.approx(share, abs=0.06)


def test_every_part_gets_a_group_even_when_there_are_just_enough() -> None:
    records = [Sign("a", "1", "x"), Sign("b", "2", "x"), Sign("c", "3", "x")]
    made = parts(records, {"train": 0.98, "val": 0.01, "test": 0.01}, seed=0)
    assert all(len(rows) == 1 for rows in made.values())


@pytest.mark.parametrize(
    ("k", "words"), [(1, "2 or more"), (61, "records in 54 groups"), (0, "2 or more")]
)
def test_folds_that_cannot_be_made(k: int, words: str) -> None:
    with pytest.raises(UsageError, match=r"folds|parts") as refused:
        folds(signs(), k, seed=0)
    assert words in str(refused.value)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="parts"):
        parts(signs(), {"train": 1.0, "val": 0.0}, seed=0)
    with pytest.raises(UsageError, match="parts"):
        parts(signs(), {"train": 1.0, "val": float("nan")}, seed=0)


def test_class_weights_balance_the_classes() -> None:
    labels = ["a"] * 30 + ["b"] * 10 + ["c"] * 20
    weights = class_weights(labels)
    assert weights == {"a": 60 / 90, "b": 2.0, "c": 1.0}
    assert sum(weights[label] for label in labels) == pytest.approx(len(labels))


def test_a_balanced_draw_takes_the_classes_in_turn() -> None:
    labels = ["a"] * 30 + ["b"] * 3
    rows = balanced_draw(labels, 20, seed=5)
    assert Counter(labels[row] for row in rows) == {"a": 10, "b": 10}
    assert len({row for row in rows if labels[row] == "a"}) == 10
    assert {row for row in rows if labels[row] == "b"} == {30, 31, 32}
    np.testing.assert_array_equal(rows, balanced_draw(labels, 20, seed=5))
    assert balanced_draw([], 4, seed=0).size == 0
