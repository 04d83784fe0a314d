"""Writes and reads `dataset.lock.json`: every record of a data set with its sha256.

In: a data set. Out: a `Lock`, whose digest is the data version. The version covers files, labels,
conditions, groups, splits and licence. It does not cover where the data lies, nor what is measured
in pictures, which depends on the decoder.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import Box, LabelReading, LockedFile, LockedMask, Record
from calibration.dataset.records.record_faults import size_fault
from calibration.dataset.scan import ScannedEntry, digests, scan_entries
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage
from edge.contract.artifact import canonical_json, digest_json, read_json, write_atomic
from edge.contract.urls import without_secrets
from edge.progress import Advance
from firmware_bridge.errors import Missing, NotTrusted, UsageError

SCHEMA = "brakepoint.dataset-lock/1"
SHOWN = 10
"""Mistakes listed in one message; the others are counted."""


@dataclass(frozen=True)
class Lock:
    """A data set as it was when it was locked.

    Attributes:
        source: the path or URL; a path is relative to the lock's folder.
        format: a name of READERS.
        fps: rate at which videos were sampled.
        files: label files, and archives and videos that hold records.
    """

    source: str
    format: str
    fps: float
    licence: str | None
    files: tuple[LockedFile, ...]
    records: tuple[Record, ...]

    @property
    def version(self) -> str:
        """The data version: sha256, as hex, of the canonical JSON of the data's digests."""
        return digest_json(
            {
                "schema": SCHEMA,
                "format": self.format,
                "fps": self.fps if self.format == "video" else None,
                "licence": self.licence,
                "files": [dataclasses.asdict(file) for file in self.files],
                "records": [_versioned(record) for record in self.records],
            }
        )


def lock_dataset(
    source: str,
    *,
    format_name: str | None,
    fps: float,
    licence: str | None,
    progress: Advance,
) -> Lock:
    """Reads the whole data set at a path or URL.

    Raises:
        UsageError: labels or masks that cannot be right; one message lists them.
        Missing: pictures that cannot be read, in one message; or no data set.
    """
    storage = open_storage(source)
    name = format_of(storage, format_name)
    reading = READERS[name].read(storage, fps)
    if reading.problems:
        raise UsageError(
            f"{source} cannot be locked: {len(reading.problems)} labels cannot be meant",
            expected=f"labels as {READERS[name].what} has them, each with its picture",
            found=first_lines([f"{problem.where}: {problem.what}" for problem in reading.problems]),
            remedy="correct or remove them; all findings: brakepoint data check "
            + source
            + ("; or lock the folder that holds labels and pictures" * storage.is_one_file),
        )
    scanned = scan_entries(storage, reading.entries, progress=progress)
    if broken := [one for one in scanned if one.summary is None]:
        raise Missing(
            f"{source} cannot be locked: {len(broken)} pictures cannot be read",
            expected="whole pictures",
            found=first_lines([f"{one.entry.name}: {one.fault}" for one in broken]),
            remedy="restore or remove them; all findings: brakepoint data check " + source,
        )
    if wrong := [one for one in scanned if one.mask is not None and one.mask.fault]:
        raise UsageError(
            f"{source} cannot be locked: {len(wrong)} masks are none of their pictures",
            expected="8-bit PNG masks as large as their pictures, of ids that have a name",
            found=first_lines(
                [f"{file_of_mask(one)}: {one.mask.fault}" for one in wrong if one.mask]
            ),
            remedy="correct or remove them; all findings: brakepoint data check " + source,
        )
    return lock_of(
        storage, reading, scanned, format_name=name, fps=fps, licence=licence, progress=progress
    )


def lock_of(
    storage: Storage,
    reading: LabelReading,
    scanned: list[ScannedEntry],
    *,
    format_name: str,
    fps: float,
    licence: str | None,
    progress: Advance,
) -> Lock:
    """The lock of scanned entries; those without a picture are left out."""
    containers = {one.entry.file for one in scanned if one.entry.row is not None}
    files = digests(storage, sorted({*reading.label_files, *containers}), progress=progress)
    return Lock(
        source=without_secrets(storage.location),
        format=format_name,
        fps=fps,
        licence=licence or reading.licence,
        files=tuple(files),
        records=tuple(record_of(one) for one in scanned if one.summary is not None),
    )


def record_of(scanned: ScannedEntry) -> Record:
    """The record of an entry that has a picture, with its boxes in pixels."""
    entry, summary = scanned.entry, scanned.summary
    assert summary is not None
    boxes = entry.boxes
    if boxes is not None and entry.boxes_are_shares:
        boxes = in_pixels(boxes, width_px=summary.width_px, height_px=summary.height_px)
    labelled = (entry.width_px, entry.height_px)
    other_size = size_fault(labelled, summary.width_px, summary.height_px)
    return Record(
        name=entry.name,
        file=entry.file,
        group=entry.group,
        row=entry.row,
        sha256=scanned.sha256,
        size_bytes=scanned.size_bytes,
        width_px=summary.width_px,
        height_px=summary.height_px,
        label=entry.label,
        boxes=boxes,
        conditions=entry.conditions,
        split=entry.split,
        measured=summary.measured,
        mask=_locked_mask(scanned),
        label_width_px=entry.width_px if other_size else None,
        label_height_px=entry.height_px if other_size else None,
    )


def in_pixels(boxes: tuple[Box, ...], *, width_px: int, height_px: int) -> tuple[Box, ...]:
    """Boxes in shares of width and height, converted to pixels and rounded to three decimals."""
    return tuple(
        dataclasses.replace(
            box,
            x1=round(box.x1 * width_px, 3),
            y1=round(box.y1 * height_px, 3),
            x2=round(box.x2 * width_px, 3),
            y2=round(box.y2 * height_px, 3),
        )
        for box in boxes
    )


def file_of_mask(scanned: ScannedEntry) -> str:
    """The mask's file; "" where there is none."""
    return "" if scanned.entry.mask is None else scanned.entry.mask.file


def _locked_mask(scanned: ScannedEntry) -> LockedMask | None:
    mask, read = scanned.entry.mask, scanned.mask
    if mask is None or read is None:
        return None
    known = dict(mask.names)
    names = tuple((number, known.get(number, str(number))) for number in read.ids)
    return LockedMask(mask.file, names, read.sha256, read.size_bytes)


def write_lock(path: Path, lock: Lock) -> None:
    """Replaces `path` with the lock, one record a line, so that a diff is readable."""
    source = lock.source
    if "://" not in source and "::" not in source:
        source = Path(os.path.relpath(source, path.parent)).as_posix()
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "version": lock.version,
        "source": source,
        "format": lock.format,
        "fps": lock.fps,
        "licence": lock.licence,
    }
    lines = [canonical_json(head)[:-1]]
    for key, rows in (("files", lock.files), ("records", lock.records)):
        lines.append(f',"{key}":['.encode())
        lines.append(b",\n".join(canonical_json(_plain(row)) for row in rows) + b"\n]")
    write_atomic(path, b"\n".join(lines) + b"}\n")


_NAMED_SO = re.compile(rb'"schema"\s*:\s*"brakepoint\.dataset-lock/')
_HEAD = 1 << 16
"""Bytes that hold the schema of a lock: only a rate, a format and a licence come before it."""


def is_lock(given: str) -> bool:
    """Whether a file is a lock, by its schema or, where it is damaged, by its name."""
    path = Path(given)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return bool(_NAMED_SO.search(stream.read(_HEAD))) or path.name.endswith(".lock.json")


_LOCK: TypeAdapter[Lock] = TypeAdapter(Lock)


def read_lock(path: Path) -> Lock:
    """The lock at `path`; a relative source is resolved against its folder.

    Raises:
        Missing: no such file.
        NotTrusted: another schema, or content that does not match its own version.
    """
    document = read_json(path, SCHEMA)
    try:
        lock = _LOCK.validate_python(
            {key: value for key, value in document.items() if key not in ("schema", "version")}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise NotTrusted(
            f"{path} is not a lock that can be read",
            expected="a file written by `brakepoint data lock`",
            found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            remedy="lock the data set again",
        ) from error
    if lock.version != document.get("version"):
        raise NotTrusted(
            f"{path} was changed after it was written",
            expected=f"content of version {document.get('version')}",
            found=f"content of version {lock.version}",
            remedy="lock the data set again, or restore the file",
        )
    if "://" in lock.source or "::" in lock.source:
        return lock
    return dataclasses.replace(lock, source=os.path.normpath(path.parent / lock.source))


def _plain(row: Record | LockedFile) -> dict[str, Any]:
    """A row as the lock has it. Rare fields are left out where they are unset, so that locks
    without masks or ignored boxes keep the version that they had before those fields existed."""
    values = dataclasses.asdict(row)
    for rare in ("mask", "label_width_px", "label_height_px"):
        if values.get(rare, row) is None:
            del values[rare]
    for box in values.get("boxes") or ():
        if not box["ignored"]:
            del box["ignored"]
    return values


def _versioned(record: Record) -> dict[str, Any]:
    """The part of a record that the data version covers."""
    row = _plain(record)
    del row["measured"]
    return row


def first_lines(lines: Sequence[str]) -> str:
    """The first SHOWN of `lines`, one below the other, and how many more there are."""
    rest = f"\n    and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "".join(f"\n    {line}" for line in lines[:SHOWN]) + rest
