"""What changed between two locks: records, and how often each label and condition occurs.

Pure comparison of locks; never opens a data set.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from calibration.dataset.lock.lock import Lock
from calibration.dataset.records.record import Record

Counts = dict[str, tuple[int, int]]
"""Word -> how often before and after, where they differ."""


@dataclass(frozen=True)
class Difference:
    """Names of records, each once, sorted; `relabelled` has the same picture and other labels."""

    before: str
    after: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    relabelled: tuple[str, ...]
    labels: Counts
    conditions: Counts
    licence: tuple[str | None, str | None]

    @property
    def same(self) -> bool:
        """Whether both are one data version."""
        return self.before == self.after


def difference(before: Lock, after: Lock) -> Difference:
    """From `before` to `after`."""
    old = {record.name: record for record in before.records}
    new = {record.name: record for record in after.records}
    both = sorted(old.keys() & new.keys())
    changed = [name for name in both if old[name].sha256 != new[name].sha256]
    return Difference(
        before=before.version,
        after=after.version,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(changed),
        relabelled=tuple(
            name
            for name in both
            if old[name].sha256 == new[name].sha256 and _said(old[name]) != _said(new[name])
        ),
        labels=_counts(label_counts(before), label_counts(after)),
        conditions=_counts(condition_counts(before), condition_counts(after)),
        licence=(before.licence, after.licence),
    )


def label_counts(lock: Lock) -> Counter[str]:
    """How many objects or pictures have each label."""
    found: Counter[str] = Counter()
    for record in lock.records:
        found.update(labels_of(record))
    return found


def labels_of(record: Record) -> list[str]:
    """The labels of one record: its own, its boxes' but for ignored ones, and each one once that
    its mask shows."""
    own = [record.label] if record.label is not None else []
    own += [] if record.mask is None else [label for _, label in record.mask.names]
    return own + [box.label for box in record.boxes or () if not box.ignored]


def condition_counts(lock: Lock) -> Counter[str]:
    """How many records metadata puts in each condition, by "axis word"."""
    found: Counter[str] = Counter()
    for record in lock.records:
        for axis in ("weather", "light", "road"):
            found[f"{axis} {getattr(record.conditions, axis) or 'unknown'}"] += 1
    return found


def _said(record: Record) -> tuple[object, ...]:
    mask = None if record.mask is None else (record.mask.sha256, record.mask.names)
    return record.label, record.boxes, mask, record.conditions, record.group, record.split


def _counts(before: Counter[str], after: Counter[str]) -> Counts:
    return {
        word: (before[word], after[word])
        for word in sorted(before.keys() | after.keys())
        if before[word] != after[word]
    }
