"""Pictures in a folder as road frames.

In: a folder and, optionally, a CSV of groups and conditions. Out: `ImageFrame`s. A picture that
cannot be read is refused by name; none is skipped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from calibration.dataset.label_files.picture_names import PictureNames
from calibration.dataset.label_files.table_text import FILE_COLUMNS, NoTable, columns_of, rows
from calibration.dataset.masks.pairing import pairs_of
from calibration.dataset.records.condition_aliases import conditions_of, own_words
from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.storage.text import text_of
from edge.contract.artifact import digest_file
from edge.perception.conditions import Conditions
from edge.perception.pictures.decode import decode_image
from edge.perception.pictures.files import SUFFIXES, files_below, natural_order
from edge.perception.pictures.header import UnreadablePicture
from edge.perception.values import BgrImage
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
            return decode_image(data)
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

    With `table`, a CSV in `root`, only the pictures in its rows are used. Its column `group` gives
    their groups, other columns their conditions (`condition_aliases.py`), as in `data lock`.
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
    for mask in pairs_of(names).no_pictures:  # masks of other pictures
        del names[mask]
    if table is None or group is None:
        return [ImageFrame(name, name, path, Conditions(), "") for name, path in names.items()]
    of_picture = _rows(root / table, group, names)
    return [
        ImageFrame(name, row[group], names[name], conditions_of(row).conditions, own_words(row))
        for name, row in sorted(of_picture.items(), key=lambda item: natural_order(item[0]))
    ]


def _rows(table: Path, group: str, names: dict[str, Path]) -> dict[str, Mapping[str, str]]:
    """Picture name -> its row of the table."""
    try:
        text = text_of(table.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise no_table(str(table), getattr(error, "strerror", None) or str(error)) from error
    return rows_by_picture(text, str(table), group=group, names=names)


def no_table(table: str, found: str) -> Missing:
    """The refusal of a table that cannot be read."""
    return Missing(
        f"cannot read the table {table}",
        expected="a CSV in UTF-8 with a header",
        found=found,
        remedy="correct data.table and where the data lies, or leave out data.table and data.group",
    )


def rows_by_picture(
    text: str, table: str, *, group: str, names: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """Picture name -> its row, from the text of a table; `table` is its name in messages.

    The picture is in a column of FILE_COLUMNS or the first one, and is found by `PictureNames`.

    Raises:
        UsageError: it lacks the group's column, names no picture, or contradicts itself.
        Missing: the text is not a table.
    """
    try:
        columns, lines = columns_of(text), list(rows(text))
    except NoTable as error:
        raise no_table(table, str(error)) from error
    lower = {column.lower(): column for column in columns}
    file_column = next((lower[word] for word in FILE_COLUMNS if word in lower), "")
    file_column = file_column or (columns[0] if columns else "")
    column = group if group in columns else lower.get(group.lower(), "")
    if not column or column == file_column:
        raise UsageError(
            f"{table} has no column '{group}'",
            expected="data.group names a column beside that of the pictures",
            found=f"columns: {', '.join(columns) or 'none'}",
            remedy="correct data.group in the mission",
        )
    pictures = PictureNames(names)
    named: dict[str, Mapping[str, str]] = {}
    for line, row in lines:
        given, value = row[file_column], row[column]
        name, why = pictures.find(given)
        if name is None or not value:
            raise UsageError(
                f"{table}, line {line}, cannot be used",
                expected=f"the name of a picture beside it, and a {group}",
                found=f"'{given}', {group} '{value}'" + (f" ({why})" if why else ""),
                remedy="correct or remove the line, or put the picture there",
            )
        before = named.get(name, row)[column]
        if before != value:
            raise UsageError(
                f"{table}, line {line}, contradicts an earlier one",
                expected=f"one {group} for every picture",
                found=f"'{given}': {group} '{value}', and {group} '{before}' before",
                remedy="correct or remove one of the lines: a picture in two groups could be "
                "calibrated on and judged on",
            )
        named[name] = {**row, group: value}
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
