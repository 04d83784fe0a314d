"""Inspects a data set for `data check`: reads its labels, every picture and, if given, its lock.

In: a path, a URL or a lock file. Out: an `Inspection`, which the checks read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from calibration.dataset.lock.lock import Lock, is_lock, read_lock, record_of
from calibration.dataset.pictures.descriptors import guess_conditions
from calibration.dataset.pictures.summary import PictureSummary
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import LabelReading, LockedFile, Record
from calibration.dataset.scan import ScannedEntry, digests, scan_entries
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage
from edge.contract.severity import Severity
from edge.perception.conditions import Conditions
from edge.progress import Advance


@dataclass(frozen=True)
class Remark:
    """One finding of a check: a sentence, and the records (or label files) that it is about."""

    severity: Severity
    sentence: str
    about: tuple[str, ...] = ()


def plural(number: int, thing: str) -> str:
    """ "1 picture", "3 pictures"; of several words the first gets the plural s."""
    first, *rest = thing.split(" ", 1)
    return " ".join([str(number), first if number == 1 else f"{first}s", *rest])


@dataclass(frozen=True)
class Inspection:
    """A data set whose labels and pictures were read.

    Attributes:
        storage: where the data lies.
        format: a name of READERS.
        licence: what the lock or the data set says.
        reading: labels and problems.
        scanned: every entry, in order.
        lock: the lock, where one was given.
        files: label files and containers as they are now; empty without a lock.
    """

    storage: Storage
    format: str
    licence: str | None
    reading: LabelReading
    scanned: tuple[ScannedEntry, ...]
    lock: Lock | None = None
    files: tuple[LockedFile, ...] = ()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """The records whose picture could be read."""
        return tuple(record_of(one) for one in self.scanned if one.summary is not None)

    @cached_property
    def summaries(self) -> tuple[PictureSummary, ...]:
        """One for each of `records`."""
        return tuple(one.summary for one in self.scanned if one.summary is not None)


@dataclass(frozen=True)
class FilledConditions:
    """Conditions of a record, and the axes on which they are guessed from its pixels."""

    conditions: Conditions
    measured: tuple[str, ...]


def filled_conditions(record: Record) -> FilledConditions:
    """The conditions that metadata gives, filled up with guesses from the pixels."""
    guess = guess_conditions(record.measured, width_px=record.width_px, height_px=record.height_px)
    filled: dict[str, str] = {}
    for axis in ("weather", "light", "road"):
        if getattr(record.conditions, axis) is None and getattr(guess, axis) is not None:
            filled[axis] = getattr(guess, axis)
    return FilledConditions(dataclasses.replace(record.conditions, **filled), tuple(filled))


def inspect_dataset(
    source: str, *, format_name: str | None, fps: float, progress: Advance
) -> Inspection:
    """Reads the data set at a path or URL, or the one that a lock file names.

    Raises:
        Missing, UsageError: there is no data set, or its labels cannot be read at all.
        NotTrusted: the lock was edited.
    """
    lock = read_lock(Path(source)) if is_lock(source) else None
    if lock is not None:
        source, format_name, fps = lock.source, lock.format, lock.fps
    storage = open_storage(source)
    name = format_of(storage, format_name)
    reading = READERS[name].read(storage, fps)
    scanned = scan_entries(storage, reading.entries, progress=progress)
    files: Sequence[LockedFile] = ()
    if lock is not None:
        there = [file.file for file in lock.files if file.file in storage.files]
        files = digests(storage, there, progress=progress)
    return Inspection(
        storage=storage,
        format=name,
        licence=lock.licence if lock is not None else reading.licence,
        reading=reading,
        scanned=tuple(scanned),
        lock=lock,
        files=tuple(files),
    )
