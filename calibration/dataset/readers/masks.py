"""Reads pictures with label masks, paired by `masks/pairing.py`.

In: pictures, masks, and tables with conditions, groups and parts as for any folder. Out: a
`LabelReading`. Names of ids come from class_names.csv (number, name), from classes.txt (line by
line from 0), or from Cityscapes' file names; without any an id is its own label.
"""

from __future__ import annotations

import dataclasses
import posixpath
import re

from calibration.dataset.label_files import csv_tables
from calibration.dataset.label_files.collector import class_number, wrong_schema
from calibration.dataset.masks.pairing import TRAIN_IDS, pairs_of
from calibration.dataset.records.ground_truth import IGNORED
from calibration.dataset.records.record import Entry, LabelReading, Mask, Problem
from calibration.dataset.storage.storage import Storage

Names = tuple[tuple[int, str], ...]

TRAINED = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
"""Labels of Cityscapes' ids from 0 in *_labelTrainIds.png."""

EVERY = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail",
    "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign", "vegetation",
    "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan", "trailer", "train",
    "motorcycle", "bicycle",
)  # fmt: skip
"""Labels of Cityscapes' ids from 0 in *_labelIds.png. Source: Cordts et al., CVPR 2016
(arXiv:1604.01685)."""

SEQUENCE = re.compile(
    r"(?P<city>[a-z-]+_\d{6})_\d{6}_leftimg8bit|(?P<drive>\d{4}(tp|r0|e5)|seq05vd)_f?\d+"
)
"""File names of Cityscapes and CamVid, which contain the drive."""

CLASSES = "classes.txt"


def recognises(storage: Storage) -> bool:
    """Whether there is a picture with a mask."""
    return bool(pairs_of(storage.pictures).mask_of)


def read(storage: Storage) -> LabelReading:
    """Every picture, with its mask where it has one."""
    pairs = pairs_of(storage.pictures)
    if not pairs.mask_of:
        raise wrong_schema(
            storage,
            "the folder",
            expected="pictures, and PNG masks of the same names in a folder such as masks, labels, "
            "gtFine or trainannot",
            found=", ".join(storage.pictures[:5]) or "no picture",
        )
    hidden = pairs.no_pictures
    files = {name: size for name, size in storage.files.items() if name not in hidden}
    pictures = dataclasses.replace(storage, files=files)
    reading = csv_tables.read(pictures)
    named, label_files = _names(storage)
    problems = [Problem(name, "is a mask without a picture of its name") for name in pairs.orphans]
    for first, *others in pairs.rivals:
        of_what = "pictures of one mask" if first in pairs.mask_of else "masks of one picture"
        said = f"and {', '.join(others)} are {of_what}: leave the one that is meant"
        problems.append(Problem(first, said))
    return dataclasses.replace(
        reading,
        entries=tuple(_with_mask(entry, pairs.mask_of, named) for entry in reading.entries),
        problems=(*reading.problems, *problems),
        label_files=tuple(sorted({*reading.label_files, *label_files})),
    )


def _with_mask(entry: Entry, mask_of: dict[str, str], named: Names) -> Entry:
    file = mask_of.get(entry.file)
    stem = posixpath.splitext(posixpath.basename(entry.file))[0].lower()
    drive = SEQUENCE.fullmatch(stem)
    group = entry.group
    if drive is not None and group == entry.name:
        group = drive["city"] or drive["drive"]
    if file is None:
        return dataclasses.replace(entry, group=group)
    return dataclasses.replace(entry, group=group, mask=Mask(file, named or _by_file_name(file)))


def _by_file_name(file: str) -> Names:
    stem = posixpath.splitext(posixpath.basename(file))[0].lower()
    if stem.endswith(TRAIN_IDS):
        return tuple(enumerate(TRAINED))
    return tuple(enumerate(EVERY)) if stem.endswith("_labelids") else ()


def _names(storage: Storage) -> tuple[Names, list[str]]:
    """The labels of ids, and the files that they come from."""
    found: dict[int, str] = {}
    files = []
    for name in storage.files:
        base = posixpath.basename(name).lower()
        if base in csv_tables.BESIDE:
            files.append(name)
            found |= {
                number: title
                for text, title in csv_tables.class_names(storage, name).items()
                if (number := class_number(text)) is not None
            }
        elif base == CLASSES:
            files.append(name)
            lines = [line.strip() for line in storage.text(name).splitlines()]
            found |= {number: line for number, line in enumerate(lines) if line}
    return tuple(sorted((one, word) for one, word in found.items() if one < IGNORED)), files
