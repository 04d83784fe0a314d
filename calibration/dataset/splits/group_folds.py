"""Divides records by whole groups (drives, tracks), stratified: train/val/test and k folds.

In: records, shares and a seed. Out: rows of each part. The same records and seed give the same
parts everywhere, in whatever order the records come. Never splits a group. The split for
calibration is in `calibration_holdout.py`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import UsageError

Rows = NDArray[np.int64]


class HasGroup(Protocol):
    """Anything with a unique name and a group that must not be split."""

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...


R = TypeVar("R", bound=HasGroup)
Strata = Callable[[R], Iterable[str]]
"""The strata of a record: its class, its classes, its weather. Each is spread evenly."""


@dataclass(frozen=True)
class Fold:
    """Rows of `records` to train on and rows to judge on, ascending; no group is in both."""

    fit: Rows
    judge: Rows


def folds(
    records: Sequence[R], k: int, *, seed: int, strata: Strata[R] = lambda record: ()
) -> list[Fold]:
    """`k` folds: every row is judged in exactly one of them.

    Raises:
        UsageError: fewer than `k` groups, or `k` below 2.
    """
    if k < 2:
        raise UsageError(
            f"{k} folds cannot be made",
            expected="2 or more",
            found=str(k),
            remedy="ask for 2 or more folds",
        )
    shares = {str(number): 1.0 / k for number in range(k)}
    judged = parts(records, shares, seed=seed, strata=strata)
    return [
        Fold(fit=np.setdiff1d(np.arange(len(records)), rows), judge=rows)
        for rows in judged.values()
    ]


def parts(
    records: Sequence[R],
    shares: Mapping[str, float],
    *,
    seed: int,
    strata: Strata[R] = lambda record: (),
) -> dict[str, Rows]:
    """Rows of `records` for each part named in `shares` (positive; they need not sum to 1).

    Groups are placed one by one, the largest first, equal ones in an order drawn by `seed`, each
    where it keeps the share of every stratum, and of all records, nearest to the wanted one (sum of
    (share - wanted)^2 / wanted). This is the greedy method of Sechidis et al., "On the
    Stratification of Multi-Label Data", ECML PKDD 2011, on whole groups.

    Raises:
        UsageError: fewer groups than parts, or a share that is not positive.
    """
    if not shares or not all(0.0 < share < math.inf for share in shares.values()):
        raise UsageError(
            "the parts asked for cannot be made",
            expected="a positive share for every part",
            found=", ".join(f"{name} {share:g}" for name, share in shares.items()) or "none",
            remedy="give each part a positive share",
        )
    grouped: dict[str, list[int]] = defaultdict(list)
    for row, record in enumerate(records):
        grouped[record.group].append(row)
    if len(grouped) < len(shares):
        raise UsageError(
            f"{len(shares)} parts need as many groups",
            expected=f"{len(shares)} drives or tracks, so that no part shares one with another",
            found=f"{len(records)} records in {len(grouped)} groups",
            remedy="ask for fewer parts, or add drives",
        )
    placed = _place(
        {name: _counts(records, rows, strata) for name, rows in grouped.items()},
        np.array(list(shares.values())) / sum(shares.values()),
        np.random.default_rng(seed),
    )
    taken: dict[str, list[int]] = {name: [] for name in shares}
    names = list(shares)
    for group, part in placed.items():
        taken[names[part]] += grouped[group]
    return {name: np.array(sorted(rows), np.int64) for name, rows in taken.items()}


_ALL = ""
"""The stratum of all records."""


def _counts(records: Sequence[R], rows: Sequence[int], strata: Strata[R]) -> Counter[str]:
    counted: Counter[str] = Counter({_ALL: len(rows)})
    for row in rows:
        counted.update(f"stratum {name}" for name in strata(records[row]))
    return counted


def _place(
    groups: dict[str, Counter[str]], wanted: NDArray[np.float64], random: np.random.Generator
) -> dict[str, int]:
    """Group -> number of its part."""
    total: Counter[str] = Counter()
    for counted in groups.values():
        total.update(counted)
    names = sorted(groups)
    drawn = [names[row] for row in random.permutation(len(names))]
    order = sorted(
        drawn, key=lambda name: -groups[name][_ALL]
    )  # stable: ties stay in the drawn order
    number = {stratum: row for row, stratum in enumerate(sorted(total))}
    totals = np.array([total[stratum] for stratum in sorted(total)], np.float64)
    have = np.zeros((len(wanted), len(number)))
    placed: dict[str, int] = {}
    for position, name in enumerate(order):
        rows = np.array([number[stratum] for stratum in groups[name]])
        added = np.array(list(groups[name].values()), np.float64) / totals[rows]
        before = have[:, rows]
        worse = (before + added - wanted[:, None]) ** 2 - (before - wanted[:, None]) ** 2
        cost = (worse / wanted[:, None]).sum(axis=1)
        empty = have[:, number[_ALL]] == 0.0
        if np.count_nonzero(empty) >= len(order) - position:
            cost = np.where(empty, cost, np.inf)  # the last groups fill the empty parts
        part = int(np.argmin(np.round(cost, 12)))
        have[part, rows] += added
        placed[name] = part
    return placed
