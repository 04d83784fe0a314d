"""Divides a locked data set into parts or folds, by `group_folds.py`, and writes them.

In: a lock and the shares of the parts. Out: a `Division`, and a file that names the records of each
part. No file is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calibration.dataset.lock.diff import labels_of
from calibration.dataset.lock.lock import Lock
from calibration.dataset.records.record import Record
from calibration.dataset.splits.group_folds import parts
from edge.contract.artifact import write_json
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.dataset-split/1"


def _axis(axis: str) -> Callable[[Record], list[str]]:
    def words(record: Record) -> list[str]:
        return [getattr(record.conditions, axis) or "unknown"]

    return words


STRATA: dict[str, Callable[[Record], list[str]]] = {
    "label": lambda record: sorted(set(labels_of(record))),
    "weather": _axis("weather"),
    "light": _axis("light"),
    "road": _axis("road"),
}
"""What can be spread evenly over the parts -> the strata of a record."""


@dataclass(frozen=True)
class Part:
    """One part of a data set.

    Attributes:
        records: their names.
        groups: how many groups they are of.
        share: of all records.
        wanted: the requested share.
        worst: (stratum, its share in this part) of the stratum whose share is furthest from
            `wanted`; None without strata.
    """

    records: tuple[str, ...]
    groups: int
    share: float
    wanted: float
    worst: tuple[str, float] | None


@dataclass(frozen=True)
class Division:
    """The parts of the data version `version`; `by` names the strata."""

    version: str
    seed: int
    by: tuple[str, ...]
    parts: dict[str, Part]


def divide(lock: Lock, shares: Mapping[str, float], *, seed: int, by: Sequence[str]) -> Division:
    """Parts of these shares, of whole groups, with the strata in `by` spread evenly.

    Raises:
        UsageError: too few groups, a share that is not positive, or no such stratum.
    """
    if strange := [name for name in by if name not in STRATA]:
        raise UsageError(
            f"nothing can be spread by '{strange[0]}'",
            expected=", ".join(STRATA),
            found=", ".join(by),
            remedy="name some of them: --by label,weather",
        )

    def strata(record: Record) -> list[str]:
        return [f"{name} {word}" for name in by for word in STRATA[name](record)]

    rows = parts(lock.records, shares, seed=seed, strata=strata)
    every = Counter(word for record in lock.records for word in strata(record))
    total = sum(shares.values())
    made = {}
    for name, of_part in rows.items():
        records = [lock.records[row] for row in of_part]
        own = Counter(word for record in records for word in strata(record))
        wanted = shares[name] / total
        away = {word: own[word] / count for word, count in every.items()}
        worst = max(away, key=lambda word: abs(away[word] - wanted), default=None)
        made[name] = Part(
            records=tuple(record.name for record in records),
            groups=len({record.group for record in records}),
            share=len(records) / len(lock.records),
            wanted=wanted,
            worst=None if worst is None else (worst, away[worst]),
        )
    return Division(lock.version, seed, tuple(by), made)


def write_division(path: Path, division: Division) -> None:
    """Replaces `path` with the names of the records of each part."""
    write_json(
        path,
        SCHEMA,
        {
            "version": division.version,
            "seed": division.seed,
            "by": list(division.by),
            "parts": {name: list(part.records) for name, part in division.parts.items()},
        },
    )
