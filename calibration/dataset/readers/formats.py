"""The table of label formats, and the choice of the one that a data set is in.

In: a storage. Out: the name of its format, whose row has the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from calibration.dataset.label_files import csv_tables
from calibration.dataset.readers import (
    arrays,
    bdd100k,
    coco,
    gtsrb,
    kitti,
    labelme,
    masks,
    openimages,
    videos,
    voc,
    yolo,
)
from calibration.dataset.readers.unread import unread_labels
from calibration.dataset.records.outlines import Outlines
from calibration.dataset.records.record import LabelReading
from calibration.dataset.storage.storage import Storage
from firmware_bridge.errors import UsageError


@dataclass(frozen=True)
class Reader:
    """One row: a format, how it is recognised and read.

    Attributes:
        what: the format, for people.
        read: reads a storage, and videos at this many frames a second.
    """

    what: str
    recognises: Callable[[Storage], bool]
    read: Callable[[Storage, float], LabelReading]


def _rateless(read: Callable[[Storage], LabelReading]) -> Callable[[Storage, float], LabelReading]:
    return lambda storage, fps: read(storage)


READERS: dict[str, Reader] = {
    "coco": Reader("COCO object detection (JSON)", coco.recognises, _rateless(coco.read)),
    "voc": Reader("Pascal VOC (XML)", voc.recognises, _rateless(voc.read)),
    "bdd100k": Reader("BDD100K (JSON)", bdd100k.recognises, _rateless(bdd100k.read)),
    "gtsrb": Reader("GTSRB (CSV)", gtsrb.recognises, _rateless(gtsrb.read)),
    "openimages": Reader("Open Images (CSV)", openimages.recognises, _rateless(openimages.read)),
    "kitti": Reader("KITTI object detection (text)", kitti.recognises, _rateless(kitti.read)),
    "labelme": Reader("labelme (JSON)", labelme.recognises, _rateless(labelme.read)),
    "yolo": Reader("YOLO text", yolo.recognises, _rateless(yolo.read)),
    "masks": Reader("pictures with PNG masks", masks.recognises, _rateless(masks.read)),
    "npz": Reader("numpy archives", arrays.recognises, _rateless(arrays.read)),
    "video": Reader("videos at a frame rate", videos.recognises, videos.read_at),
    "folder": Reader(
        "pictures, with CSV tables or none", csv_tables.recognises, _rateless(csv_tables.read)
    ),
}

ANY = "folder"
"""The format of a folder of pictures where no other one is recognised."""

UNLABELLED = {"video"}
"""Formats that have no labels: label files beside them are not read."""

OUTLINED: dict[str, Callable[[Storage, Outlines], LabelReading]] = {
    "coco": coco.read,
    "labelme": labelme.read,
    "yolo": yolo.read,
}
"""Formats whose objects may have outlines -> the reader that collects them beside the boxes."""

BESIDE = {"voc": "masks"}
"""Format -> another one that its layout includes: VOC has masks of a part of its pictures."""


def recognised_formats(storage: Storage) -> list[str]:
    """Formats that the storage may be in, without ANY, which every folder of pictures is in."""
    found = [name for name, reader in READERS.items() if name != ANY and reader.recognises(storage)]
    return [name for name in found if name not in {BESIDE.get(other) for other in found}]


def format_of(storage: Storage, named: str | None) -> str:
    """The name of the format: `named`, or the only one that is recognised.

    Raises:
        UsageError: no such format, none recognised, or several.
    """
    if named is not None:
        if named not in READERS:
            raise UsageError(
                f"no format '{named}'",
                expected=", ".join(READERS),
                found=named,
                remedy="name one of them, or leave out --format",
            )
        return named
    found = recognised_formats(storage)
    if len(found) > 1:
        raise UsageError(
            f"{storage.location} could be {' or '.join(found)}",
            expected="labels of one format",
            found="; ".join(READERS[name].what for name in found),
            remedy=f"say which: brakepoint data lock {storage.location} --format {found[0]}",
        )
    if not found and not READERS[ANY].recognises(storage):
        raise UsageError(
            f"{storage.location} is no data set that any reader knows",
            expected="; ".join(reader.what for reader in READERS.values()),
            found=f"{len(storage.files)} files: {', '.join(list(storage.files)[:5]) or 'none'}",
            remedy="correct the path, or say which format it is: brakepoint data lock ... --format",
        )
    if set(found) <= UNLABELLED and (unread := unread_labels(storage)):
        raise UsageError(
            f"{storage.location} holds {len(unread)} label files that no reader knows",
            expected="; ".join(reader.what for reader in READERS.values()),
            found=", ".join(unread[:5]) + (f" and {len(unread) - 5} more" * (len(unread) > 5)),
            remedy="bring them into one of these formats, or take them out of the folder; "
            f"or lock the pictures without labels: brakepoint data lock {storage.location} "
            f"--format {ANY}",
        )
    return found[0] if found else ANY
