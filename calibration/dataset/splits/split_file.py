"""Reads `dataset.split.json`, the declared parts of a mission's data, and says what each is for.

In: the mission's `[data]`. Out: a `DeclaredSplit`, or None. A split is verified against its lock:
the same data version, every record once, no group in two parts. `divide.py` makes splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError

from calibration.dataset.lock.lock import Lock, read_lock
from calibration.dataset.splits.divide import SCHEMA
from edge.contract.artifact import read_json
from edge.contract.mission.sections.data import Data
from firmware_bridge.errors import NotTrusted, UsageError

Use = Literal["fit", "calibrate", "choose", "judge"]

USES: dict[Use, tuple[str, ...]] = {
    "fit": ("train",),
    "calibrate": ("calibration", "train"),
    "choose": ("val", "test"),
    "judge": ("test", "val"),
}
"""Use of data -> parts for it, of which the split's first one is used. Weights and ranges never
see the parts that choose and judge."""


class HasName(Protocol):
    """A frame or a record."""

    @property
    def name(self) -> str: ...


F = TypeVar("F", bound=HasName)


@dataclass(frozen=True)
class DeclaredSplit:
    """A split that a mission declares.

    Attributes:
        path: its file.
        version: the data version.
        part_of: name of a record -> its part; records that no part has are missing.
    """

    path: Path
    version: str
    part_of: Mapping[str, str]

    @property
    def parts(self) -> list[str]:
        """Names of the parts, sorted."""
        return sorted(set(self.part_of.values()))

    def part_for(self, use: Use) -> str:
        """The part for a use. Raises UsageError where the split has none."""
        for part in USES[use]:
            if part in self.parts:
                return part
        raise UsageError(
            f"{self.path} has no part to {use} on",
            expected=" or ".join(f"'{part}'" for part in USES[use]),
            found=", ".join(self.parts) or "no part",
            remedy="part the data again: brakepoint data split LOCK "
            "--parts train=70,val=15,test=15",
        )

    def frames(self, every: Sequence[F], use: Use) -> list[F]:
        """The frames of `every` in the part for a use."""
        part = self.part_for(use)
        return [one for one in every if self.part_of.get(one.name) == part]


_PARTS: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(dict[str, tuple[str, ...]])


def declared_split(data: Data) -> DeclaredSplit | None:
    """The split of a mission's data; None where it declares none.

    Raises:
        Missing: the split or the lock cannot be read.
        NotTrusted: the split is not whole, is of other data, or puts a group into two parts.
    """
    if data.split is None:
        return None
    assert data.lock is not None  # the mission's own checks refuse a split without a lock
    return read_split(data.split, read_lock(data.lock))


def read_split(path: Path, lock: Lock) -> DeclaredSplit:
    """The split at `path` of the data in `lock`. Raises what `declared_split` does."""
    document = read_json(path, SCHEMA)
    try:
        parts = _PARTS.validate_python(document["parts"])
        version = str(document["version"])
    except (KeyError, ValidationError) as error:
        raise _refused(path, "a file written by `brakepoint data split`", str(error)) from error
    if version != lock.version:
        raise _refused(
            path, f"a split of data version {lock.version}", f"of data version {version}"
        )
    records = {record.name: record for record in lock.records}
    part_of: dict[str, str] = {}
    part_of_group: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name not in records:
                raise _refused(path, "records of the lock", f"'{name}' in part '{part}'")
            if name in part_of:
                raise _refused(
                    path, "every record once", f"'{name}' in '{part_of[name]}' and '{part}'"
                )
            part_of[name] = part
            group = records[name].group
            other = part_of_group.setdefault(group, part)
            if other != part:
                raise _refused(
                    path,
                    "whole drives and tracks in one part",
                    f"'{group}' in '{other}' and '{part}'",
                )
    return DeclaredSplit(path, version, part_of)


def _refused(path: Path, expected: str, found: str) -> NotTrusted:
    return NotTrusted(
        f"{path} is not a split of these data",
        expected=expected,
        found=found,
        remedy=f"part them again: brakepoint data split LOCK --out {path}",
    )
