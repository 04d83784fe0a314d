"""A data set whose every picture was looked at, and what a check says of it.

Values, and how they come about; judges nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from calibration.dataset.lock.lock import Lock, is_lock, read_lock, record_of
from calibration.dataset.pictures.descriptors import guessed
from calibration.dataset.pictures.summary import PictureSummary
from calibration.dataset.readers.formats import READERS, format_of
from calibration.dataset.records.record import LockedFile, Reading, Record
from calibration.dataset.scan import Seen, digests, survey
from calibration.dataset.storage import Storage, open_storage
from edge.contract.severity import Severity
from edge.perception.conditions import Conditions
from edge.progress import Advance


@dataclass(frozen=True)
class Remark:
    """What a check found once: a sentence, and the records (or label files) that it is about."""

    severity: Severity
    sentence: str
    about: tuple[str, ...] = ()


def counted(number: int, thing: str) -> str:
    """One picture, three pictures; of several words the first takes the s."""
    first, *rest = thing.split(" ", 1)
    return " ".join([str(number), first if number == 1 else f"{first}s", *rest])


@dataclass(frozen=True)
class Examined:
    """Attributes:
    storage: where the data lies.
    format: a name of READERS.
    licence: what the lock or the data set says.
    reading: labels and problems.
    seen: every entry, in order.
    lock: what was locked before, where a lock was given.
    files: label files and containers as they are now; empty without a lock.
    """

    storage: Storage
    format: str
    licence: str | None
    reading: Reading
    seen: tuple[Seen, ...]
    lock: Lock | None = None
    files: tuple[LockedFile, ...] = ()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Records whose picture could be read."""
        return tuple(record_of(one) for one in self.seen if one.look is not None)

    @cached_property
    def looks(self) -> tuple[PictureSummary, ...]:
        """One for each of `records`."""
        return tuple(one.look for one in self.seen if one.look is not None)


@dataclass(frozen=True)
class Believed:
    """Conditions of a record with the axes on which they are only measured."""

    conditions: Conditions
    measured: tuple[str, ...]


def believed(record: Record) -> Believed:
    """What metadata says, and what pixels suggest where it says nothing."""
    guess = guessed(record.measured, width_px=record.width_px, height_px=record.height_px)
    filled: dict[str, str] = {}
    for axis in ("weather", "light", "road"):
        if getattr(record.conditions, axis) is None and getattr(guess, axis) is not None:
            filled[axis] = getattr(guess, axis)
    return Believed(dataclasses.replace(record.conditions, **filled), tuple(filled))


def examine(source: str, *, format_name: str | None, fps: float, progress: Advance) -> Examined:
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
    seen = survey(storage, reading.entries, progress=progress)
    files: Sequence[LockedFile] = ()
    if lock is not None:
        there = [file.file for file in lock.files if file.file in storage.files]
        files = digests(storage, there, progress=progress)
    return Examined(
        storage=storage,
        format=name,
        licence=lock.licence if lock is not None else reading.licence,
        reading=reading,
        seen=tuple(seen),
        lock=lock,
        files=tuple(files),
    )
