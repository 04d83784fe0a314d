"""Writes a copy of a data set with masks in place of outlines, to judge segmentation networks by.

In: a data set with outlines. Out: a folder of pictures, a PNG of ids for each, the names of the
ids, and a table of parts, groups and conditions. The folder appears whole or not at all. Never
writes to the source.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.dataset.lock.lock import first_lines
from calibration.dataset.polygon_masks.draw import draw
from calibration.dataset.polygon_masks.names import names_with_masks
from calibration.dataset.polygon_masks.source import cannot_draw, ids_of_labels, read_outlined
from calibration.dataset.records.ground_truth import IGNORED
from calibration.dataset.records.record import Entry, LabelReading
from calibration.dataset.records.record_faults import size_fault
from calibration.dataset.storage.open_storage import open_storage
from calibration.dataset.storage.storage import Storage, is_local
from edge.contract.artifact import replacing_folder, require_folder
from edge.perception.pictures.decode import checked_header
from edge.perception.pictures.header import UnreadablePicture
from edge.progress import Advance
from firmware_bridge.errors import Missing, UsageError

NAMES, TABLE, LICENCE = "class_names.csv", "labels.csv", "LICENCE"
COLUMNS = ("file", "split", "group", "weather", "light", "road")

ON_THEIR_SIDE = range(5, 9)
"""EXIF orientations that exchange width and height (CIPA DC-008, tag 274)."""


@dataclass(frozen=True)
class MaskSet:
    """Counts of the data set that was written.

    Attributes:
        ids: label -> id.
        objects: label -> number of outlines.
        ignored: number of regions that are not to be judged.
        pixels: (256,) int64, pixels of all masks by id; the last is IGNORED.
        pictures: number of pictures, each with a mask.
        unlabelled: pictures without labels, which were left out.
        beyond, without_pixels, hidden: numbers of outlines, see `DrawnMask`.
    """

    ids: Mapping[str, int]
    objects: Mapping[str, int]
    ignored: int
    pixels: NDArray[np.int64]
    pictures: int
    unlabelled: int
    beyond: int
    without_pixels: int
    hidden: int


def write_mask_set(
    source: str,
    out: Path,
    *,
    format_name: str | None,
    background: str | None,
    progress: Advance,
) -> MaskSet:
    """Draws every outline of the data set at a path or URL, and writes the new set to `out`.

    `background` is the label of pixels that no outline covers; None makes them IGNORED.

    Raises:
        UsageError: `out` is not empty or lies in the data set; a format without outlines; labels or
            outlines that cannot be right, in one message.
        Missing: pictures that cannot be read, in one message; or no data set.
    """
    require_folder(out)
    _require_new(out)
    storage = open_storage(source)
    _require_outside(out, storage)
    reading, outlines = read_outlined(storage, format_name)
    entries = [entry for entry in reading.entries if entry.boxes is not None]
    names = names_with_masks(source, [entry.file for entry in entries])
    boxes = [outline.box for found in outlines.of_picture.values() for outline in found]
    objects = Counter(box.label for box in boxes if not box.ignored)
    ids = ids_of_labels(source, objects, background)
    counts: Counter[str] = Counter()
    pixels = np.zeros(256, np.int64)
    broken: list[str] = []
    faults: list[str] = []
    with replacing_folder(out, require=_require_new) as staging:
        for number, entry in enumerate(entries, start=1):
            try:
                data = storage.read(entry.file)
                width_px, height_px = _size(data)
            except (Missing, UnreadablePicture) as error:
                found = error.found if isinstance(error, Missing) else str(error)
                broken.append(f"{entry.file}: {found}")
                continue
            drawn, wrong = draw(
                outlines.of_picture[entry.file],
                ids,
                background=IGNORED if background is None else ids[background],
                width_px=width_px,
                height_px=height_px,
                shares=entry.boxes_are_shares,
            )
            labelled = (entry.width_px, entry.height_px)
            if fault := size_fault(labelled, width_px, height_px):
                wrong = [f"{entry.file}: {fault}"]
            faults += wrong
            if not broken and not faults:
                picture, mask = (staging / name for name in names[entry.file])
                _put(picture, data)
                _put(mask, cv2.imencode(".png", drawn.ids)[1].tobytes())
            pixels += np.bincount(drawn.ids.ravel(), minlength=256)
            counts.update(
                beyond=drawn.beyond, without_pixels=drawn.without_pixels, hidden=drawn.hidden
            )
            progress("drawing masks", number, len(entries))
        _require_whole(source, broken, faults)
        pictures = {names[entry.file][0]: entry for entry in entries}
        _write_tables(staging, pictures, ids)
        _write_licence(storage, reading, staging)
    return MaskSet(
        ids=ids,
        objects=dict(objects),
        ignored=sum(box.ignored for box in boxes),
        pixels=pixels,
        pictures=len(entries),
        unlabelled=len(reading.entries) - len(entries),
        beyond=counts["beyond"],
        without_pixels=counts["without_pixels"],
        hidden=counts["hidden"],
    )


def _size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels after rotation by EXIF. Raises UnreadablePicture."""
    header = checked_header(data)
    if header.orientation in ON_THEIR_SIDE:
        return header.height_px, header.width_px
    return header.width_px, header.height_px


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _write_tables(staging: Path, pictures: Mapping[str, Entry], ids: Mapping[str, int]) -> None:
    """The table of pictures and that of the names of ids."""
    rows = [[name, *_metadata(entry)] for name, entry in pictures.items()]
    (staging / TABLE).write_text(_csv(COLUMNS, rows), encoding="utf-8")
    named = [[number, label] for label, number in ids.items()]
    (staging / NAMES).write_text(_csv(("id", "name"), named), encoding="utf-8")


def _metadata(entry: Entry) -> list[str]:
    """Part, group and conditions of a record; "" where they are unknown."""
    conditions = entry.conditions
    group = "" if entry.group == entry.name else entry.group
    return [
        one or ""
        for one in (entry.split, group, conditions.weather, conditions.light, conditions.road)
    ]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    # Quoted, because a label may hold a comma or a line end.
    writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()


def _write_licence(storage: Storage, reading: LabelReading, staging: Path) -> None:
    """Copies the licence files, or writes what the labels say of the licence."""
    files = [name for name in storage.files if name.upper().startswith(("LICENSE", "LICENCE"))]
    for name in files:
        _put(staging / name, storage.read(name))
    if not files and reading.licence is not None:
        (staging / LICENCE).write_text(reading.licence + "\n", encoding="utf-8")


def _require_whole(source: str, broken: Sequence[str], faults: Sequence[str]) -> None:
    if broken:
        raise Missing(
            f"{source} cannot be drawn: {len(broken)} pictures cannot be read",
            expected="whole pictures",
            found=first_lines(broken),
            remedy=f"restore or remove them; all findings: brakepoint data check {source}",
        )
    if faults:
        raise cannot_draw(source, faults)


def _require_new(folder: Path) -> None:
    """Raises UsageError unless the folder is absent or empty."""
    if not folder.exists() and not folder.is_symlink():
        return
    found = "a file or a link"
    if folder.is_dir() and not folder.is_symlink():
        inside = sorted(path.name for path in folder.iterdir())
        if not inside:
            return
        found = f"{len(inside)} entries such as {inside[0]}"
    raise UsageError(
        f"{folder} is not a folder for a new data set",
        expected="a new or empty folder",
        found=found,
        remedy="choose another one: --out FOLDER",
    )


def _require_outside(out: Path, storage: Storage) -> None:
    """Refuses a folder inside the data set: the new pictures would become part of it."""
    if is_local(storage.location) and out.resolve().is_relative_to(Path(storage.root).resolve()):
        raise UsageError(
            f"{out} lies in the data set that is read",
            expected="a folder outside of it",
            found=f"{out} below {storage.root}",
            remedy="choose another one: --out FOLDER",
        )
