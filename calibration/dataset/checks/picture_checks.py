"""Checks of pictures: unreadable, of several sizes, duplicates, and blank ones.

In: an inspected data set. Out: remarks. No check reads a file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from calibration.dataset.checks.inspection import Inspection, Remark, plural
from calibration.dataset.checks.near_duplicates import similar_clusters
from calibration.dataset.pictures.blank import Emptiness
from calibration.dataset.records.record import Record
from calibration.dataset.records.record_faults import size_fault
from edge.contract.severity import Severity

SMALLEST_PX = 16


def unreadable(data: Inspection) -> Iterator[Remark]:
    """Files that do not hold a whole picture."""
    lines = tuple(f"{one.entry.name}: {one.fault}" for one in data.scanned if one.summary is None)
    if lines:
        yield Remark("error", f"{plural(len(lines), 'picture')} cannot be read", lines)


def size(data: Inspection) -> Iterator[Remark]:
    """Sizes that differ from what labels say, from each other, or are too small."""
    other, near = [], []
    for one in data.scanned:
        if one.summary is None:
            continue
        labelled = (one.entry.width_px, one.entry.height_px)
        size_px = (one.summary.width_px, one.summary.height_px)
        if size_fault(labelled, *size_px):
            other.append(one.entry.name)
        elif any(a not in (None, b) for a, b in zip(labelled, size_px, strict=True)):
            near.append(one.entry.name)
    if other:
        what = f"{plural(len(other), 'picture')} not of the size that the labels were made for"
        yield Remark("error", what, tuple(other))
    if near:
        yield Remark(
            "warning",
            f"{plural(len(near), 'picture')} a pixel or two off the size in the labels",
            tuple(near),
        )
    small = [
        record.name
        for record in data.records
        if min(record.width_px, record.height_px) < SMALLEST_PX
    ]
    if small:
        yield Remark(
            "warning",
            f"{plural(len(small), 'picture')} under {SMALLEST_PX} pixels",
            tuple(small),
        )
    sizes = Counter(f"{record.width_px}x{record.height_px}" for record in data.records)
    if len(sizes) > 1:
        common = ", ".join(f"{name} ({count})" for name, count in sizes.most_common(3))
        yield Remark("note", f"{len(sizes)} sizes; most often {common}")


def stored(data: Inspection) -> Iterator[Remark]:
    """Pictures that were rotated by EXIF or scaled to 8 bits when they were read."""
    turned = [one for one in data.scanned if one.orientation != 1]
    if turned:
        labelled = any(one.entry.boxes or one.entry.mask for one in turned)
        yield Remark(
            "warning" if labelled else "note",
            f"{plural(len(turned), 'picture')} turned as EXIF says, and labels taken to be in the "
            "turned picture",
            tuple(one.entry.name for one in turned),
        )
    depths = Counter(one.bits for one in data.scanned if one.summary is not None)
    for bits in sorted(depths.keys() - {8}):
        names = tuple(one.entry.name for one in data.scanned if one.bits == bits)
        yield Remark(
            "warning" if len(depths) > 1 else "note",
            f"{plural(len(names), 'picture')} read as {bits}-bit samples",
            names,
        )


def duplicates(data: Inspection) -> Iterator[Remark]:
    """Records with identical bytes."""
    same: dict[str, list[Record]] = defaultdict(list)
    for record in data.records:
        same[record.sha256].append(record)
    clusters = [records for records in same.values() if len(records) > 1]
    yield from _cluster_remarks(clusters, "the same picture", within="warning")
    differing = [records for records in clusters if len({_labels(one) for one in records}) > 1]
    if differing:
        yield Remark(
            "error",
            f"{plural(len(differing), 'picture')} more than once, with other labels",
            tuple(" = ".join(_of_each(records)) for records in differing),
        )


def _labels(record: Record) -> tuple[object, ...]:
    return record.label, record.boxes, None if record.mask is None else record.mask.sha256


def near_duplicates(data: Inspection) -> Iterator[Remark]:
    """Records that look the same: recompressed, resized, or frames of a standing camera."""
    clusters = [[data.records[row] for row in rows] for rows in similar_clusters(data.summaries)]
    apart = [rows for rows in clusters if len({record.sha256 for record in rows}) > 1]
    yield from _cluster_remarks(apart, "nearly the same picture", within="note")


def constant(data: Inspection) -> Iterator[Remark]:
    """Pictures of one colour."""
    if names := _empty(data, "constant"):
        yield Remark("error", f"{plural(len(names), 'picture')} of one colour", names)


def random(data: Inspection) -> Iterator[Remark]:
    """Pictures of noise."""
    if names := _empty(data, "random"):
        yield Remark("error", f"{plural(len(names), 'picture')} of noise", names)


def _empty(data: Inspection, why: Emptiness) -> tuple[str, ...]:
    """Names of the records whose picture is empty for this reason."""
    return tuple(
        record.name
        for record, summary in zip(data.records, data.summaries, strict=True)
        if summary.empty == why
    )


def _cluster_remarks(
    clusters: Sequence[Sequence[Record]], what: str, *, within: Severity
) -> Iterator[Remark]:
    """Remarks on clusters of alike records: an error across parts, a warning across drives, of
    severity `within` inside one drive."""
    found: dict[str, list[str]] = defaultdict(list)
    for records in clusters:
        parts = {record.split for record in records if record.split}
        groups = {record.group for record in records}
        kind = "parts" if len(parts) > 1 else "drives or tracks" if len(groups) > 1 else ""
        shown = _of_each(records)
        rest = len(records) - len(shown)
        found[kind].append(" = ".join(shown) + (f" = {rest} more" if rest else ""))
    severities: dict[str, Severity] = {"parts": "error", "drives or tracks": "warning", "": within}
    for kind, severity in severities.items():
        if names := found[kind]:
            where = f"in several {kind}" if kind else "within one drive or track"
            yield Remark(severity, f"{what} {where}: {plural(len(names), 'time')}", tuple(names))


def _of_each(records: Sequence[Record]) -> list[str]:
    """Up to four names, one of each part and group first, so that they show a leak."""
    first: dict[tuple[str | None, str], str] = {}
    for record in records:
        first.setdefault((record.split, record.group), record.name)
    order = [*first.values(), *(one.name for one in records if one.name not in first.values())]
    return order[:4]
