"""Labelled pictures in numpy files, as classification sets are often given: `train.npz`, `val.npz`.

Each holds `images` (N, H, W, 3) uint8 RGB, `labels` (N,) and, where pictures come in tracks,
`tracks` (N,). Every mistake in a file is refused by name; no picture is skipped in silence.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibration.metrics import Truth
from edge.contract.artifact import digest_file
from edge.contract.conditions import Conditions
from edge.contract.perception import BgrImage
from firmware_bridge.errors import Missing, UsageError

PARTS = ("train", "val")


@dataclass(frozen=True)
class ArrayFile:
    """One part, read whole.

    Attributes:
        path: the file.
        images: (N, H, W, 3) uint8, RGB as in the file.
        labels: (N,) int64.
        tracks: (N,) int64, or None.
    """

    path: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    tracks: NDArray[np.int64] | None

    @cached_property
    def sha256(self) -> str:
        """Of the file, as hex."""
        return digest_file(self.path)


@dataclass(frozen=True)
class ArrayFrame:
    """One picture of a part. See `RoadFrame`."""

    file: ArrayFile
    row: int

    @property
    def part(self) -> str:
        """train or val."""
        return self.file.path.stem

    @property
    def name(self) -> str:
        """Part and row."""
        return f"{self.part}-{self.row:06d}"

    @property
    def label(self) -> int:
        """The number of its label."""
        return int(self.file.labels[self.row])

    @property
    def group(self) -> str:
        """Pictures of one track of one label are never split; its own name without tracks."""
        if self.file.tracks is None:
            return self.name
        return f"{self.label}-{int(self.file.tracks[self.row])}"

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
        return np.ascontiguousarray(self.file.images[self.row, :, :, ::-1])

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
    """One part, checked. Raises as `array_frames` does."""
    arrays = _arrays(path)
    for key in ("images", "labels"):
        if key not in arrays:
            raise _wrong(path, f"no array '{key}', only: {', '.join(sorted(arrays)) or 'none'}")
    images, labels, tracks = arrays["images"], arrays["labels"], arrays.get("tracks")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or not images.size:
        raise _wrong(path, f"images {images.dtype} {images.shape}")
    for name, values in (("labels", labels), ("tracks", tracks)):
        if values is not None and (
            values.shape != (len(images),) or not np.issubdtype(values.dtype, np.integer)
        ):
            raise _wrong(path, f"{len(images)} images and {name} {values.dtype} {values.shape}")
    return ArrayFile(
        path,
        images,
        labels.astype(np.int64),
        None if tracks is None else tracks.astype(np.int64),
    )


def _arrays(path: Path) -> Mapping[str, NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise _wrong(path, "a single array")
        with loaded as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise Missing(
            f"no pictures at {path}",
            expected=f"the files {' and '.join(f'{part}.npz' for part in PARTS)}",
            found="no such file",
            remedy="put them there, or choose another folder: --set data.root=FOLDER",
        ) from error
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _wrong(path, str(error) or type(error).__name__) from error


def _wrong(path: Path, found: str) -> UsageError:
    return UsageError(
        f"{path} is not a file of labelled pictures",
        expected="images (N, H, W, 3) uint8 RGB, labels (N,) whole numbers, tracks (N,) if any",
        found=found,
        remedy="write it again with numpy.savez, or choose another folder: --set data.root=FOLDER",
    )
