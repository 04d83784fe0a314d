"""Collects what a label reader finds: finds the picture that a label names, checks its values.

In: a data set's storage, then entries and values of labels. Out: a `LabelReading`. A label that
cannot be right becomes a problem, and reading goes on, so that a person sees all problems at once.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from calibration.dataset.label_files.part_names import Parts
from calibration.dataset.label_files.picture_names import PictureNames
from calibration.dataset.records.condition_aliases import conditions_of
from calibration.dataset.records.record import ANY_LABEL, Box, Entry, LabelReading, Problem
from calibration.dataset.storage.storage import Storage
from edge.contract.json_text import parse_json
from edge.perception.conditions import Conditions
from edge.perception.pictures.files import natural_order
from firmware_bridge.errors import UsageError

GROUP_FIELDS = (
    "drive",
    "track",
    "sequence",
    "video",
    "video_id",
    "videoname",
    "video_name",
    "group",
    "scene_id",
)
"""Fields of metadata that name the group of a record; the first that is there counts."""

IGNORE_FLAGS = (
    "iscrowd",
    "is_crowd",
    "crowd",
    "difficult",
    "ignore",
    "ignored",
    "isgroupof",
    "is_group_of",
)
"""Fields of a box, lower case, that exclude it from judging (COCO, Pascal VOC, BDD100K and
Scalabel, CrowdHuman, Open Images)."""

NOT_LABELLED = frozenset({"dontcare", "ignore", "ignored", "ignoredregion", "ignoredregions"})
"""Labels of regions that nobody has labelled, without other signs than letters (KITTI, VisDrone,
UA-DETRAC)."""

YES = frozenset({"1", "1.0", "true", "yes"})
NO = frozenset({"", "0", "0.0", "false", "no", "none", "unspecified"})


class Collector:
    """Entries and problems of one reader."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._entries: list[Entry] = []
        self._problems: list[Problem] = []
        self._label_files: list[str] = []
        self._unknown_words: set[str] = set()
        self._skipped_files: list[Problem] = []
        self._labelled: set[str] = set()
        self._parts = Parts(storage.files)
        self.names = PictureNames(storage.pictures)

    def add_label_file(self, name: str) -> None:
        """Notes a file that labels come from."""
        self._label_files.append(name)

    def skip_file(self, name: str, why: str) -> None:
        """Notes a label file that is not read, and why."""
        self._skipped_files.append(Problem(name, why))

    def add_problem(self, where: str, what: str) -> None:
        """Notes a label that cannot be right."""
        self._problems.append(Problem(where, what))

    def add_entry(self, entry: Entry) -> None:
        """Adds one record."""
        self._entries.append(entry)
        self._labelled.add(entry.file)

    def conditions(self, metadata: Mapping[str, Any]) -> Conditions:
        """The conditions that metadata gives; words that no alias knows are noted."""
        named = conditions_of(
            {str(key): str(value) for key, value in metadata.items() if value is not None}
        )
        self._unknown_words.update(named.unknown)
        return named.conditions

    def picture(self, given: str, *, label_file: str, where: str) -> str | None:
        """The picture that a label names, or None with a problem noted. See `PictureNames`."""
        name, why = self.names.find(given, beside=label_file)
        if name is None:
            self.add_problem(where, f"names '{given}': {why}")
        return name

    def part(self, *paths: str) -> str | None:
        """The part of the first of these files that is in one. See `Parts`."""
        return next((part for path in paths if (part := self._parts.of(path))), None)

    def is_ignored(self, fields: Mapping[str, Any], *, where: str) -> bool:
        """Whether one of IGNORE_FLAGS excludes a box from judging; a problem is noted where a flag
        is neither yes nor no."""
        found = False
        for key, value in fields.items():
            if str(key).strip().lower() in IGNORE_FLAGS:
                word = "" if value is None else str(value).strip().lower()
                if word not in YES | NO:
                    self.add_problem(where, f"{key} {str(value)[:40]!r} is neither yes nor no")
                found |= word in YES
        return found

    def box(
        self, label: object, corners: tuple[float, ...], *, where: str, ignored: bool = False
    ) -> list[Box]:
        """A box with its label as text, or none with a problem noted."""
        word = "" if label is None else str(label).strip()
        if not word:
            self.add_problem(where, "has no label")
            return []
        x1, y1, x2, y2 = corners
        bare = "".join(letter for letter in word.lower() if letter.isalpha())
        if bare in NOT_LABELLED:
            return [Box(ANY_LABEL, x1, y1, x2, y2, ignored=True)]
        return [Box(word, x1, y1, x2, y2, ignored=ignored)]

    def size(self, value: object, *, where: str) -> int | None:
        """A width or height in pixels. None where it is absent, empty or 0, and, with a problem
        noted, where it is not a whole number."""
        text = "" if value is None else str(value).strip()
        if text in ("", "0"):
            return None
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if isinstance(value, bool) or not (found > 0.0 and found.is_integer()):
            self.add_problem(where, f"a size of '{text[:40]}' is no number of pixels")
            return None
        return int(found)

    def numbers(self, values: object, count: int, *, where: str) -> tuple[float, ...] | None:
        """`count` finite numbers, or None with a problem noted."""
        rows = values if isinstance(values, Sequence) and not isinstance(values, str) else ()
        try:
            found = tuple(math.nan if isinstance(one, bool) else float(one) for one in rows)
        except (TypeError, ValueError):
            found = ()
        if len(found) != count or not all(math.isfinite(value) for value in found):
            self.add_problem(where, f"{count} finite numbers expected, found {str(values)[:80]}")
            return None
        return found

    def add_unlabelled(self) -> None:
        """Adds, without labels, the pictures that no label named."""
        for name in self.storage.pictures:
            if name not in self._labelled:
                self.add_entry(Entry(name, name, name, split=self.part(name)))

    def reading(self, licence: str | None = None) -> LabelReading:
        """Everything that was collected, entries sorted by name.

        Raises:
            UsageError: no entry and no problem.
        """
        entries = sorted(self._entries, key=lambda entry: natural_order(entry.name))
        twice = {one.name for one, next_ in itertools.pairwise(entries) if one.name == next_.name}
        for name in sorted(twice):
            self.add_problem(name, "has labels twice, in different places")
        if not entries and not self._problems:
            raise UsageError(
                f"{self.storage.location} holds no picture",
                expected="a data set with at least one picture",
                found=f"{len(self.storage.files)} files, none of them a picture",
                remedy="correct the path",
            )
        return LabelReading(
            entries=tuple(entries),
            problems=tuple(self._problems),
            label_files=tuple(sorted(set(self._label_files))),
            licence=licence or _licence_beside(self.storage),
            unknown_words=tuple(sorted(self._unknown_words)),
            skipped_files=tuple(self._skipped_files),
        )


def class_number(text: str) -> int | None:
    """The class number in "7" or "7.0"; None of other text."""
    found = re.fullmatch(r"([0-9]{1,9})(\.0*)?", text.strip())
    return None if found is None else int(found[1])


def group_of(metadata: Mapping[str, Any], default: str) -> str:
    """The drive or track that metadata names, or `default`."""
    said = {str(key).strip().lower(): value for key, value in metadata.items()}
    for field in GROUP_FIELDS:
        value = said.get(field)
        if value is not None and str(value).strip():
            return str(value).strip()
    return default


def json_of(storage: Storage, name: str) -> Any:
    """The content of a JSON label file. Raises UsageError where it is not JSON."""
    try:
        return parse_json(storage.text(name))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{name} in {storage.location} is not JSON",
            expected="a whole JSON file",
            found=str(error),
            remedy="copy it again: it may have been cut short",
        ) from error


def wrong_schema(storage: Storage, name: str, *, expected: str, found: str) -> UsageError:
    """The refusal of a label file with another structure than its format's."""
    return UsageError(
        f"{name} in {storage.location} is not what its format says",
        expected=expected,
        found=found,
        remedy="correct the file, or name another format: --format FORMAT",
    )


def _licence_beside(storage: Storage) -> str | None:
    for name in storage.files:
        if "/" not in name and name.upper().startswith(("LICENSE", "LICENCE")):
            lines = storage.head(name).decode("utf-8", "replace").splitlines()
            return next((line.strip()[:200] for line in lines if line.strip()), None)
    return None
