"""Finds what biases figures though labels are valid: leaks between parts, contradicting labels.

In: the records of a data set and those that are judged. Out: sentences shown beside the figures.
Pictures are compared by sha256 only; `data check` finds near duplicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from calibration.dataset.records.record import Entry


def doubts_of(
    every: Sequence[Entry], judged: Sequence[Entry], digests: Mapping[str, str]
) -> tuple[str, ...]:
    """Sentences about the records in `judged`, given all records of the data set.

    `digests` is name -> sha256 from a lock; without it pictures are not compared.
    """
    found = []
    groups = {one.group for one in judged if one.group != one.name}
    if count := len(groups & _in_several_parts([(one.group, one.split) for one in every])):
        found.append(f"drives or tracks that other parts have too: {count}")
    shas = {digests[one.name] for one in judged if one.name in digests}
    locked = [(digests[one.name], one.split) for one in every if one.name in digests]
    if count := len(shas & _in_several_parts(locked)):
        found.append(f"pictures that other parts have too: {count}")
    labels: dict[str, set[object]] = defaultdict(set)
    for one in judged:
        if one.name in digests:
            mask = None if one.mask is None else digests.get(one.mask.file)
            labels[digests[one.name]].add((one.label, one.boxes, mask))
    if count := sum(len(said) > 1 for said in labels.values()):
        found.append(f"pictures that are there more than once, with other labels: {count}")
    return tuple(found)


def _in_several_parts(rows: Sequence[tuple[str, str | None]]) -> set[str]:
    parts: dict[str, set[str]] = defaultdict(set)
    for key, part in rows:
        if part is not None:
            parts[key].add(part)
    return {key for key, names in parts.items() if len(names) > 1}
