"""Compares two locks: records, and how often each label and condition occurs.

In: two locks. Out: a `Difference`. The data sets themselves are not opened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from calibration.dataset.lock.lock import Lock
from calibration.dataset.records.record import Record

Counts = dict[str, tuple[int, int]]
"""Word -> counts before and after, of words whose counts differ."""


@dataclass(frozen=True)
class Difference:
    """From one lock to another. Names of records are sorted, and each is in one list.

    Attributes:
        before, after: data versions.
        changed: records with other content.
        relabelled: records with the same content and other labels, group, split or conditions.
        licence: before and after.
    """

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
    """The difference from `before` to `after`."""
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
            if old[name].sha256 == new[name].sha256
            and _labelling(old[name]) != _labelling(new[name])
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
    """The labels of one record: its own, those of its boxes that are judged, and each label of its
    mask once."""
    own = [record.label] if record.label is not None else []
    own += [] if record.mask is None else [label for _, label in record.mask.names]
    return own + [box.label for box in record.boxes or () if not box.ignored]


def condition_counts(lock: Lock) -> Counter[str]:
    """ "axis word" -> how many records have this condition in their metadata."""
    found: Counter[str] = Counter()
    for record in lock.records:
        for axis in ("weather", "light", "road"):
            found[f"{axis} {getattr(record.conditions, axis) or 'unknown'}"] += 1
    return found


def _labelling(record: Record) -> tuple[object, ...]:
    mask = None if record.mask is None else (record.mask.sha256, record.mask.names)
    return record.label, record.boxes, mask, record.conditions, record.group, record.split


def _counts(before: Counter[str], after: Counter[str]) -> Counts:
    return {
        word: (before[word], after[word])
        for word in sorted(before.keys() | after.keys())
        if before[word] != after[word]
    }
