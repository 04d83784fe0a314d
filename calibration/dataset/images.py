"""Pictures in a folder as road frames, with an optional table that says which belong together.

Refuses what cannot be read by name; never skips a file in silence.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from calibration.dataset.conditions import conditions_of, own_words
from calibration.dataset.mask_pairs import pairs_of
from calibration.metrics import Truth
from edge.contract.artifact import digest_file
from edge.contract.conditions import Conditions
from edge.contract.perception import BgrImage
from edge.contract.picture_files import SUFFIXES, files_below, natural_order
from edge.contract.picture_header import UnreadablePicture
from edge.contract.pictures import decoded
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class ImageFrame:
    """One picture file. See `RoadFrame`."""

    name: str
    group: str
    path: Path
    conditions: Conditions
    words: str

    def truth(self) -> Truth | None:
        """None: a folder of pictures holds no boxes."""
        return None

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR. Raises Missing naming the file."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        try:
            return decoded(data)
        except UnreadablePicture as error:
            raise self._unreadable(str(error)) from error

    def digest(self) -> str:
        """sha256 of the file, as hex."""
        return digest_file(self.path)

    def _unreadable(self, found: str) -> Missing:
        return Missing(
            f"cannot read the road frame {self.path}",
            expected=f"a whole picture ({', '.join(SUFFIXES)})",
            found=found,
            remedy="restore or delete this file; or choose another folder: --set data.root=FOLDER",
        )


def image_frames(root: Path, *, table: str | None, group: str | None) -> list[ImageFrame]:
    """Pictures under `root` (folders included), in natural order of their names relative to it.

    With `table`, a CSV in `root` whose first column is a file name (relative to `root`, or the
    bare name where it is unique) only its rows are taken, grouped by its column `group`, with the
    conditions that its columns tell (`conditions.py`).
    """
    if not root.is_dir():
        raise no_frames(str(root), "no such folder" if not root.exists() else "a file")
    try:
        found = files_below(root, deep=True, pictures_only=True)
        inside = sum(1 for _ in root.iterdir())
    except OSError as error:
        raise no_frames(str(root), error.strerror or str(error)) from error
    if not found:
        raise no_frames(str(root), f"{inside} other entries" if inside else "an empty folder")
    names = {name: root / name for name in found}
    for mask in pairs_of(names).no_pictures:  # what is true of other pictures, and none itself
        del names[mask]
    if table is None or group is None:
        return [ImageFrame(name, name, path, Conditions(), "") for name, path in names.items()]
    rows = _rows(root / table, group, names)
    return [
        ImageFrame(
            name, row[group].strip(), names[name], conditions_of(row).conditions, own_words(row)
        )
        for name, row in sorted(rows.items(), key=lambda item: natural_order(item[0]))
    ]


def _rows(table: Path, group: str, names: dict[str, Path]) -> dict[str, Mapping[str, str]]:
    """Picture name -> its row of the table."""
    try:
        with table.open(newline="", encoding="utf-8") as stream:
            return rows_by_picture(stream, str(table), group=group, names=names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Missing(
            f"cannot read the table {table}",
            expected="a CSV whose first column is the file name",
            found=getattr(error, "strerror", None) or str(error),
            remedy="correct data.table and data.root, or leave out data.table and data.group",
        ) from error


def rows_by_picture(
    lines: Iterable[str], table: str, *, group: str, names: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """Picture name -> its row, from the lines of a table of this name for people.

    Raises:
        UsageError: it lacks the group's column, names no picture, or contradicts itself.
        csv.Error, UnicodeDecodeError, OSError: it is none, or cannot be read.
    """
    reader = csv.DictReader(lines)
    columns = list(reader.fieldnames or [])
    # A line may be shorter than the header.
    rows = [{column: row[column] or "" for column in columns} for row in reader]
    if group not in columns[1:]:
        raise UsageError(
            f"{table} has no column '{group}'",
            expected="data.group names a column after the first",
            found=f"columns: {', '.join(columns) or 'none'}",
            remedy="correct data.group in the mission",
        )
    bare = Counter(PurePosixPath(name).name for name in names)
    by_bare = {base: name for name in names if bare[base := PurePosixPath(name).name] == 1}
    named: dict[str, Mapping[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        given, value = row[columns[0]], row[group].strip()
        name = given if given in names else by_bare.get(given)
        if name is None or not value:
            raise UsageError(
                f"{table}, line {line}, cannot be used",
                expected=f"the name of a picture beside it, and a {group}",
                found=f"'{given}', {group} '{value}'"
                + (" (a name that several pictures have)" if bare[given] > 1 else ""),
                remedy="correct or remove the line, or put the picture there",
            )
        before = named.get(name, row)[group].strip()
        if before != value:
            raise UsageError(
                f"{table}, line {line}, contradicts an earlier one",
                expected=f"one {group} for every picture",
                found=f"'{given}': {group} '{value}', and {group} '{before}' before",
                remedy="correct or remove one of the lines: a picture in two groups could be "
                "calibrated on and judged on",
            )
        named[name] = row
    return named


def no_frames(root: str, found: str) -> Missing:
    """The refusal of a folder or URL without pictures."""
    return Missing(
        f"no road frames in {root}",
        expected=f"a folder with pictures ({', '.join(SUFFIXES)})",
        found=found,
        remedy="put road frames there, or choose another folder: --set data.root=FOLDER; "
        "a further one stands in data.also",
    )
