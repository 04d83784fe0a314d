"""Labelled pictures in `train.npz` and `val.npz`, as classification sets are often given.

In: a folder. Out: `ArrayFrame`s, whose pictures are in memory, for training in any order. A file
holds what `readers/arrays.py` reads, with an integer label for every picture. A mistake in a file
refuses it; no picture is skipped.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.dataset.readers.arrays import Archive, as_bgr, describe_archive, rows
from calibration.dataset.records.ground_truth import Truth
from calibration.dataset.storage.open_storage import open_storage
from edge.contract.artifact import digest_file
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage
from firmware_bridge.errors import Missing, UsageError

PARTS = ("train", "val")


@dataclass(frozen=True)
class ArrayFile:
    """One part in memory.

    Attributes:
        path: the file.
        archive: what it says of itself.
        images: (N, H, W, 3) uint8 RGB or (N, H, W) uint8 grey, as in the file.
        labels: (N,) int64.
    """

    path: Path
    archive: Archive
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @cached_property
    def sha256(self) -> str:
        """sha256 of the file, as hex."""
        return digest_file(self.path)


@dataclass(frozen=True)
class ArrayFrame:
    """One picture of a part. See `RoadFrame`."""

    file: ArrayFile
    row: int

    @property
    def part(self) -> str:
        """ "train" or "val"."""
        return self.file.archive.stem

    @property
    def name(self) -> str:
        """Part and row, as a lock has it."""
        return self.file.archive.name(self.row)

    @property
    def label(self) -> int:
        """The number of its label."""
        return int(self.file.labels[self.row])

    @property
    def group(self) -> str:
        """Label and track, which are never split; its own name where the file has no tracks."""
        return self.file.archive.group(self.row)

    @property
    def conditions(self) -> Conditions:
        """Not known."""
        return Conditions()

    @property
    def words(self) -> str:
        """None of its own."""
        return ""

    def read(self) -> BgrImage:
        """The picture, (H, W, 3) uint8 BGR."""
        return as_bgr(self.file.images[self.row])

    def truth(self) -> Truth | None:
        """None: the label is of the whole picture, no boxes are known."""
        return None

    def digest(self) -> str:
        """sha256 of the pixels, as hex."""
        return hashlib.sha256(self.file.images[self.row].tobytes()).hexdigest()


def array_frames(root: Path) -> list[ArrayFrame]:
    """Every picture of every part in `root`, in the order of the files.

    Raises:
        Missing: a part is not there or not readable.
        UsageError: a part is not such a file.
    """
    return [
        ArrayFrame(file, row)
        for file in (read_arrays(root / f"{part}.npz") for part in PARTS)
        for row in range(len(file.labels))
    ]


def read_arrays(path: Path) -> ArrayFile:
    """Reads and checks one part. Raises what `array_frames` does."""
    if not path.is_file():
        raise Missing(
            f"no pictures at {path}",
            expected=f"the files {' and '.join(f'{part}.npz' for part in PARTS)}",
            found="no such file",
            remedy="put them there, or choose another folder: --set data.root=FOLDER",
        )
    storage = open_storage(str(path))
    archive = describe_archive(storage, path.name)
    labels = archive.labels
    if not archive.pictures or labels is None or not np.issubdtype(labels.dtype, np.integer):
        kind = "none" if labels is None else str(labels.dtype)
        raise _wrong(path, f"{archive.pictures} images, labels: {kind}")
    try:
        with storage.open(path.name) as stream:
            pixels = rows(stream)
            first = next(pixels)
            images = np.empty((archive.pictures, *first.shape), np.uint8)
            images[0] = first
            for row, picture in enumerate(pixels, start=1):
                images[row] = picture
    except ValueError as error:
        raise _wrong(path, str(error)) from error
    return ArrayFile(path, archive, images, labels.astype(np.int64))


def _wrong(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a file of labelled pictures",
        expected="images (N, H, W, 3) uint8 RGB, labels (N,) whole numbers, tracks (N,) if any",
        found=found,
        remedy="write it again with numpy.savez, or choose another folder: --set data.root=FOLDER",
    )
