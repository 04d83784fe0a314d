"""Verifies that the data of a mission matches its locks.

In: the mission's `[data]`. Refuses files with other digests than their lock has, and pictures that
are not in it. Never changes a lock.
"""

from __future__ import annotations

from pathlib import Path

from calibration.dataset.lock.lock import SHOWN, Lock, read_lock
from calibration.dataset.masks.pairing import pairs_of
from calibration.dataset.scan import digests
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage
from edge.contract.mission.sections.data import Data
from edge.progress import Advance
from firmware_bridge.errors import NotTrusted


def _silent(what: str, done: int, total: int) -> None:
    """Progress that is not shown."""


def verify_lock(data: Data, *, progress: Advance = _silent) -> None:
    """Verifies every folder of the data that has a lock.

    Raises:
        Missing: the lock or the root cannot be read.
        NotTrusted: the lock was edited, or a file changed, is gone or is not in the lock.
    """
    if data.lock is not None:
        verify_files(read_lock(data.lock), data.location, named=data.lock, progress=progress)
    for one in data.also:
        if one.lock is not None:
            verify_files(read_lock(one.lock), str(one.root), named=one.lock, progress=progress)


def verify_files(lock: Lock, root: str, *, named: Path, progress: Advance) -> None:
    """Verifies the files under `root`, a path or URL, against `lock`, which was read from `named`.

    Raises what `verify_lock` does.
    """
    storage = open_storage(root)
    wanted = {file.file: file.sha256 for file in lock.files}
    wanted |= {record.file: record.sha256 for record in lock.records if record.row is None}
    wanted |= {one.mask.file: one.mask.sha256 for one in lock.records if one.mask is not None}
    there = sorted(name for name in wanted if name in storage.files)
    found = {file.file: file.sha256 for file in digests(storage, there, progress=progress)}
    faults = [f"{name}: is gone" for name in sorted(wanted) if name not in storage.files]
    faults += [f"{name}: was changed" for name in there if found[name] != wanted[name]]
    faults += [
        f"{name}: is not in the lock" for name in _read_as_data(storage) if name not in wanted
    ]
    if faults:
        more = f"\n    and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise NotTrusted(
            f"the data under {root} is not what {named} vouches for",
            expected=f"data version {lock.version}",
            found="".join(f"\n    {fault}" for fault in faults[:SHOWN]) + more,
            remedy=f"restore the files; or, if the change is meant, lock again and compare: "
            f"brakepoint data lock {root} --out NEW; brakepoint data diff {named} NEW",
        )


def _read_as_data(storage: Storage) -> list[str]:
    """Files that readers treat as pictures, whatever the lock lists."""
    beside = {*pairs_of(storage.pictures).others}
    pictures = [name for name in storage.pictures if name not in beside]
    return [*pictures, *storage.with_suffix(".npz")]
