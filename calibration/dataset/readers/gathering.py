"""What every reader does alike: find the picture that a label names, and collect what it reads.

Notes what cannot be meant as a problem and goes on, so that a person sees all of it at once.
"""

from __future__ import annotations

import itertools
import json
import math
import posixpath
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from calibration.dataset.conditions import conditions_of
from calibration.dataset.places import Place
from calibration.dataset.records import Box, Entry, Problem, Reading
from edge.contract.conditions import Conditions
from edge.contract.picture_files import natural_order
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
"""Fields of metadata that say which records belong together, the first that is there."""

SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Gathering:
    """Entries and problems of one reader."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._entries: list[Entry] = []
        self._problems: list[Problem] = []
        self._label_files: list[str] = []
        self._unknown_words: set[str] = set()
        self._labelled: set[str] = set()
        self._by_bare_name: dict[str, list[str]] = defaultdict(list)
        for name in place.pictures:
            self._by_bare_name[posixpath.basename(name)].append(name)

    def label_file(self, name: str) -> None:
        """Notes a file that labels come from."""
        self._label_files.append(name)

    def problem(self, where: str, what: str) -> None:
        """Notes what cannot be meant."""
        self._problems.append(Problem(where, what))

    def entry(self, entry: Entry) -> None:
        """Takes one record."""
        self._entries.append(entry)
        self._labelled.add(entry.file)

    def conditions(self, metadata: Mapping[str, Any]) -> Conditions:
        """What metadata says, in the house's words; others are noted."""
        named = conditions_of(
            {str(key): str(value) for key, value in metadata.items() if value is not None}
        )
        self._unknown_words.update(named.unknown)
        return named.conditions

    def picture(self, given: str, *, label_file: str, where: str) -> str | None:
        """The picture that a label names, or None with a problem noted.

        Relative to the root, to the label file's folder, or by a bare name that is unique.
        """
        wanted = given.replace("\\", "/").strip()
        if name := self._exactly(wanted, label_file):
            return name
        alike = self._by_bare_name.get(posixpath.basename(wanted), [])
        if len(alike) > 1:
            alike = [name for name in alike if name.endswith("/" + wanted)]
        if len(alike) == 1:
            return alike[0]
        same = self._by_bare_name.get(posixpath.basename(wanted), [])
        why = f"{len(same)} pictures have this name" if len(same) > 1 else "no such picture"
        self.problem(where, f"names '{given}': {why}")
        return None

    def picture_beside(self, given: str, *, label_file: str, where: str) -> str | None:
        """As `picture`, but never a bare name elsewhere: for sets whose folders repeat names."""
        name = self._exactly(given.replace("\\", "/").strip(), label_file)
        if name is None:
            self.problem(where, f"names '{given}': no such picture")
        return name

    def _exactly(self, wanted: str, label_file: str) -> str | None:
        beside = posixpath.join(posixpath.dirname(label_file), wanted)
        for name in (posixpath.normpath(wanted), posixpath.normpath(beside)):
            if name in self.place.files:
                return name
        return None

    def numbers(self, values: object, count: int, *, where: str) -> tuple[float, ...] | None:
        """`count` finite numbers, or None with a problem noted."""
        try:
            found = tuple(float(value) for value in values)  # type: ignore[attr-defined] # checked
        except (TypeError, ValueError):
            found = ()
        if len(found) != count or not all(math.isfinite(value) for value in found):
            self.problem(where, f"{count} finite numbers expected, found {str(values)[:80]}")
            return None
        return found

    def unlabelled(self) -> None:
        """Takes the pictures that no label named, without labels."""
        for name in self.place.pictures:
            if name not in self._labelled:
                self.entry(Entry(name, name, name, split=split_of(name)))

    def reading(self, licence: str | None = None) -> Reading:
        """All of it, sorted by name.

        Raises:
            UsageError: nothing was found at all.
        """
        entries = sorted(self._entries, key=lambda entry: natural_order(entry.name))
        twice = {one.name for one, next_ in itertools.pairwise(entries) if one.name == next_.name}
        for name in sorted(twice):
            self.problem(name, "has labels twice, in different places")
        if not entries and not self._problems:
            raise UsageError(
                f"{self.place.given} holds no picture",
                expected="a data set with at least one picture",
                found=f"{len(self.place.files)} files, none of them a picture",
                remedy="correct the path",
            )
        return Reading(
            entries=tuple(entries),
            problems=tuple(self._problems),
            label_files=tuple(sorted(set(self._label_files))),
            licence=licence or _licence_beside(self.place),
            unknown_words=tuple(sorted(self._unknown_words)),
        )


def group_of(metadata: Mapping[str, Any], default: str) -> str:
    """The drive or track that metadata names, or `default`."""
    said = {str(key).strip().lower(): value for key, value in metadata.items()}
    for field in GROUP_FIELDS:
        value = said.get(field)
        if value is not None and str(value).strip():
            return str(value).strip()
    return default


def split_of(path: str) -> str | None:
    """The part that a word of a path names ("images/train/1.jpg", "instances_val2017.json")."""
    for part in path.split("/"):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def boxed(label: object, corners: tuple[float, ...]) -> Box:
    """A box with its label as text."""
    return Box(str(label).strip(), *corners)


def json_of(place: Place, name: str) -> Any:
    """A JSON label file. Raises UsageError where it is none."""
    try:
        return json.loads(place.text(name))
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{name} in {place.given} is not JSON",
            expected="a whole JSON file",
            found=str(error),
            remedy="copy it again: it may have been cut short",
        ) from error


def wrong_schema(place: Place, name: str, *, expected: str, found: str) -> UsageError:
    """The refusal of a label file that is built otherwise."""
    return UsageError(
        f"{name} in {place.given} is not what its format says",
        expected=expected,
        found=found,
        remedy="correct the file, or name another format: --format FORMAT",
    )


def _licence_beside(place: Place) -> str | None:
    for name in place.files:
        if "/" not in name and name.upper().startswith(("LICENSE", "LICENCE")):
            lines = place.head(name).decode("utf-8", "replace").splitlines()
            return next((line.strip()[:200] for line in lines if line.strip()), None)
    return None
