"""Reads numpy archives: `images` (N, H, W, 3) or (N, H, W) uint8, with `labels` and `tracks`.

In: *.npz files. Out: a `LabelReading` with an entry for each row, and the rows themselves, one at
a time: an archive of any size is read in bounded memory.
"""

from __future__ import annotations

import math
import posixpath
import zipfile
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from calibration.dataset.label_files.collector import Collector, wrong_schema
from calibration.dataset.label_files.csv_tables import BESIDE, class_names
from calibration.dataset.records.record import Entry, LabelReading
from calibration.dataset.storage.storage import Storage
from calibration.npz import DAMAGED_ARCHIVE, LARGEST_BYTES, header, read_array
from edge.perception.values import BgrImage

IMAGES = "images"
LABELS, GROUPS = ("labels", "label", "classes"), ("tracks", "track", "drives", "groups")


def recognises(storage: Storage) -> bool:
    """Whether there is a numpy archive."""
    return bool(storage.with_suffix(".npz"))


class Archive(NamedTuple):
    """What an archive holds beside the pixels.

    Attributes:
        stem: its name without the suffix.
        pictures: number of pictures.
        width_px, height_px: of each picture.
        labels, groups: (pictures,), or None where there are none.
    """

    stem: str
    pictures: int
    width_px: int
    height_px: int
    labels: NDArray[Any] | None
    groups: NDArray[Any] | None

    def name(self, row: int) -> str:
        """The name of a picture: the archive and the row."""
        return f"{self.stem}/{row:06d}"

    def group(self, row: int) -> str:
        """The group of a picture: its class and track, or its name where there are no tracks."""
        if self.groups is None:
            return self.name(row)
        track = str(self.groups[row])
        return track if self.labels is None else f"{self.labels[row]}/{track}"


def read(storage: Storage) -> LabelReading:
    """Every row of every archive."""
    collector = Collector(storage)
    files = storage.with_suffix(".npz")
    if not files:
        raise wrong_schema(storage, "the folder", expected="archives (*.npz)", found="no archive")
    classes = _class_names(storage, collector)
    for name in files:
        archive = describe_archive(storage, name)
        for row in range(archive.pictures):
            label = None if archive.labels is None else str(archive.labels[row])
            if classes and label is not None and label.isdecimal() and label not in classes:
                collector.add_problem(archive.name(row), f"label {label} has no name")
            collector.add_entry(
                Entry(
                    name=archive.name(row),
                    file=name,
                    row=row,
                    group=archive.group(row),
                    label=None if label is None else classes.get(label, label),
                    split=collector.part(name),
                    width_px=archive.width_px,
                    height_px=archive.height_px,
                )
            )
    return collector.reading()


def as_bgr(row: NDArray[np.uint8]) -> BgrImage:
    """A row, (H, W, 3) RGB or (H, W) grey uint8, as a picture (H, W, 3) uint8 BGR."""
    code = cv2.COLOR_GRAY2BGR if row.ndim == 2 else cv2.COLOR_RGB2BGR
    return np.asarray(cv2.cvtColor(row, code), np.uint8)


def rows(stream: IO[bytes]) -> Iterator[NDArray[np.uint8]]:
    """The rows of `images` in order. Raises ValueError where the archive is damaged."""
    try:
        with zipfile.ZipFile(stream) as archive, archive.open(f"{IMAGES}.npy") as member:
            shape, dtype = _header(member)
            size = int(np.prod(shape[1:])) * dtype.itemsize
            for _ in range(shape[0]):
                data = member.read(size)
                if len(data) != size:
                    raise ValueError("ends in the middle of a row")
                yield np.frombuffer(data, dtype).reshape(shape[1:])
    except DAMAGED_ARCHIVE as error:
        raise ValueError(str(error) or type(error).__name__) from error


def describe_archive(storage: Storage, name: str) -> Archive:
    """What an archive holds. Raises UsageError where it is not such an archive, Missing where it
    cannot be read."""
    try:
        with storage.open(name) as stream, zipfile.ZipFile(stream) as archive:
            members = {posixpath.splitext(member)[0] for member in archive.namelist()}
            if IMAGES not in members:
                raise ValueError(f"arrays {', '.join(sorted(members)) or 'none'}")
            with archive.open(f"{IMAGES}.npy") as member:
                shape, dtype = _header(member)
            found: list[NDArray[Any] | None] = []
            for wanted in (LABELS, GROUPS):
                key = next((word for word in wanted if word in members), None)
                found.append(None if key is None else _one_a_row(archive, key, shape[0]))
    except DAMAGED_ARCHIVE as error:
        raise wrong_schema(
            storage,
            name,
            expected="`images` (N, H, W, 3) or (N, H, W) uint8, with `labels` and `tracks` (N,)",
            found=str(error) or type(error).__name__,
        ) from error
    of_pictures = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    if dtype != np.uint8 or not of_pictures or 0 in shape[1:]:
        raise wrong_schema(
            storage,
            name,
            expected="`images` (N, H, W, 3) or (N, H, W) uint8",
            found=f"{dtype} {shape}",
        )
    return Archive(posixpath.splitext(name)[0], shape[0], shape[2], shape[1], *found)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    shape, fortran, dtype = header(member)
    if math.prod(shape[1:]) * dtype.itemsize > LARGEST_BYTES:
        raise ValueError(f"rows of shape {shape[1:]}")
    if fortran and len(shape) > 1:
        raise ValueError(f"{shape} in Fortran order: write it with numpy.ascontiguousarray")
    return shape, dtype


def _one_a_row(archive: zipfile.ZipFile, key: str, count: int) -> NDArray[Any]:
    values = read_array(archive, key)
    if values.shape != (count,):
        raise ValueError(f"`{key}` {values.shape} for {count} images")
    return values


def _class_names(storage: Storage, collector: Collector) -> dict[str, str]:
    """Number -> name, from class_names.csv where there is one."""
    found: dict[str, str] = {}
    for name in storage.with_suffix(".csv"):
        if posixpath.basename(name).lower() in BESIDE:
            collector.add_label_file(name)
            found |= class_names(storage, name)
    return found
