"""Checks of labels: label files, boxes, masks, groups, licence, and the digests of a lock.

In: an inspected data set. Out: remarks. No check reads a file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from calibration.dataset.checks.inspection import Inspection, Remark, plural
from calibration.dataset.lock.diff import labels_of
from calibration.dataset.lock.lock import file_of_mask
from calibration.dataset.records.record import Box, Record
from calibration.dataset.records.record_faults import NO_AREA, OUTSIDE, box_fault

TINY_PX = 2.0

SAME_THING = (
    {"motorbike", "motorcycle"},
    {"bike", "bicycle"},
    {"person", "pedestrian"},
    {"car", "automobile"},
)
"""Words that data sets use for one class; both together mean that two sets were merged."""


def schema(data: Inspection) -> Iterator[Remark]:
    """Labels that cannot be right, and words for conditions that no alias knows."""
    problems = data.reading.problems
    if problems:
        lines = tuple(f"{problem.where}: {problem.what}" for problem in problems)
        yield Remark("error", f"{plural(len(problems), 'label')} cannot be meant", lines)
    for one in data.reading.skipped_files:
        yield Remark("note", f"passed over: {one.where}, {one.what}", (one.where,))
    if words := data.reading.unknown_words:
        yield Remark(
            "warning", f"words for conditions that no alias knows: {', '.join(words[:10])}", words
        )


def locked(data: Inspection) -> Iterator[Remark]:
    """Differences from the lock."""
    if data.lock is None:
        return
    before = {record.name: record.sha256 for record in data.lock.records}
    now = {one.entry.name: one.sha256 for one in data.scanned}
    changed = {name for name in before.keys() & now.keys() if before[name] != now[name]}
    masks = {one.mask.file: one.mask.sha256 for one in data.lock.records if one.mask is not None}
    found = {
        one.entry.mask.file: one.mask.sha256
        for one in data.scanned
        if one.entry.mask is not None and one.mask is not None
    }
    changed |= {name for name, sha256 in masks.items() if found.get(name) != sha256}
    files = {file.file: file.sha256 for file in data.files}
    changed |= {file.file for file in data.lock.files if files.get(file.file) != file.sha256}
    for names, what in (
        (changed, "changed since the lock"),
        (before.keys() - now.keys(), "in the lock and no longer there"),
        (now.keys() - before.keys(), "there and not in the lock"),
    ):
        if names:
            yield Remark("error", f"{plural(len(names), 'record')} {what}", tuple(sorted(names)))


def label_set(data: Inspection) -> Iterator[Remark]:
    """Labels spelled in two ways, missing from the part to train on, or missing from records."""
    every: Counter[str] = Counter()
    groups: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, set[str]] = defaultdict(set)
    for record in data.records:
        for label in labels_of(record):
            every[label] += 1
            groups[label].add(record.group)
            splits[label].add(record.split or "")
    for same in _alike(every):
        named = ", ".join(f"'{label}' ({every[label]})" for label in same)
        yield Remark("warning", f"labels that look like one class: {named}")
    parts = {record.split for record in data.records if record.split}
    if "train" in parts and len(parts) > 1:
        if unfit := sorted(label for label in every if "train" not in splits[label]):
            yield Remark("error", f"labels that train never sees: {', '.join(unfit[:10])}")
        if unjudged := sorted(label for label in every if splits[label] == {"train"}):
            yield Remark("warning", f"labels that only train has: {', '.join(unjudged[:10])}")
    if lonely := sorted(label for label, names in groups.items() if len(names) == 1):
        yield Remark(
            "warning",
            f"{plural(len(lonely), 'label')} of one drive or track only, which no split can part: "
            f"{', '.join(lonely[:10])}",
        )
    bare = [
        record.name
        for record in data.records
        if record.label is None and record.boxes is None and record.mask is None
    ]
    if every and bare:
        yield Remark("warning", f"{plural(len(bare), 'picture')} without a label", tuple(bare))
    if not every:
        yield Remark("note", "no record has a label or a box")


def boxes(data: Inspection) -> Iterator[Remark]:
    """Boxes outside their picture, inverted, tiny or repeated; sizes that do not fit."""
    found: dict[str, list[str]] = defaultdict(list)
    for record in data.records:
        kinds = {_fault(record, box) for box in record.boxes or ()} - {""}
        if len(set(record.boxes or ())) < len(record.boxes or ()):
            kinds.add("the same box twice")
        for kind in kinds:
            found[kind].append(record.name)
    for kind in sorted(found):
        severe = kind in (OUTSIDE, NO_AREA)
        names = tuple(found[kind])
        yield Remark(
            "error" if severe else "warning",
            f"{kind}: {plural(len(names), 'picture')}",
            names,
        )


def masks(data: Inspection) -> Iterator[Remark]:
    """Masks that cannot be read, have another size than their picture or ids without a name, or
    label no pixel."""
    wrong = [one for one in data.scanned if one.mask is not None and one.mask.fault]
    if wrong:
        lines = tuple(f"{file_of_mask(one)}: {one.mask.fault}" for one in wrong if one.mask)
        yield Remark("error", f"{plural(len(wrong), 'mask')} cannot be meant", lines)
    silent = tuple(
        file_of_mask(one)
        for one in data.scanned
        if one.mask is not None and not one.mask.fault and not one.mask.ids
    )
    if silent:
        yield Remark("warning", f"{plural(len(silent), 'mask')} that say nothing", silent)


def leakage(data: Inspection) -> Iterator[Remark]:
    """Drives or tracks with records in several parts."""
    parts: dict[str, set[str]] = defaultdict(set)
    for record in data.records:
        if record.split:
            parts[record.group].add(record.split)
    shared = sorted(group for group, names in parts.items() if len(names) > 1)
    if shared:
        yield Remark(
            "error", f"{plural(len(shared), 'group')} in more than one part", tuple(shared)
        )
    own = sum(record.group == record.name for record in data.records)
    if own == len(data.records) > 1:
        yield Remark("warning", "no record says its drive or track: a split may part a drive")


def licence(data: Inspection) -> Iterator[Remark]:
    """Whether the data set states a licence."""
    if not data.licence:
        yield Remark("warning", "no licence is stated")


def _alike(labels: Counter[str]) -> Iterator[list[str]]:
    plain: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        bare = "".join(letter for letter in label.casefold() if letter.isalnum()) or label
        word = next((min(same) for same in SAME_THING if bare in same), bare)
        plain[word].add(label)
    return (sorted(same) for _, same in sorted(plain.items()) if len(same) > 1)


def _fault(record: Record, box: Box) -> str:
    if fault := box_fault(box, record.width_px, record.height_px):
        return fault
    if min(box.x2 - box.x1, box.y2 - box.y1) < TINY_PX:
        return f"boxes less than {TINY_PX:g} pixels thin"
    return ""
