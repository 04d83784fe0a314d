"""The records of a data set: the values that readers return and a lock stores."""

from __future__ import annotations

from dataclasses import dataclass

from calibration.dataset.pictures.descriptors import Descriptors
from edge.perception.conditions import Conditions

NOTHING_KNOWN = Conditions()

ANY_LABEL = "DontCare"
"""The label of a region that nobody has labelled, whatever it shows; KITTI's word."""


@dataclass(frozen=True)
class Box:
    """One labelled object: x1 y1 x2 y2 in pixels of its picture, as the data set gives them.

    Attributes:
        ignored: it is not judged: a crowd, an object that is too hard to tell, a region that nobody
            has labelled.
    """

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    ignored: bool = False


@dataclass(frozen=True)
class Mask:
    """The file that labels every pixel of a picture.

    Attributes:
        file: relative to the root of the data set.
        names: (id, label) of the ids that pixels may have; empty where the data set names none, and
            an id is its own label. 255 has no name: such pixels are not labelled.
    """

    file: str
    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Entry:
    """One record by its labels and names, before its picture was read.

    Attributes:
        name: unique in the data set.
        file: of the picture, relative to the root of the data set; with "/" on every system.
        row: row of an array or number of a video's frame; None where the file is the picture.
        group: drive or track, never split; equal to the name where there is none.
        label: class of the whole picture, if it has one.
        boxes: None where nobody has looked for objects; empty where there are none.
        boxes_are_shares: the boxes are in shares of width and height, not in pixels.
        conditions: from metadata.
        split: the data set's own part that it is in.
        width_px, height_px: as the labels have them; None where they do not.
        mask: the labels of its pixels, if it has any.
    """

    name: str
    file: str
    group: str
    row: int | None = None
    label: str | None = None
    boxes: tuple[Box, ...] | None = None
    boxes_are_shares: bool = False
    conditions: Conditions = NOTHING_KNOWN
    split: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class LockedMask:
    """A mask in a lock; `names` are those of the ids that occur in it."""

    file: str
    names: tuple[tuple[int, str], ...]
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Problem:
    """Something in a data set that cannot be right: where, and what."""

    where: str
    what: str


@dataclass(frozen=True)
class LabelReading:
    """The labels of a data set as a reader found them.

    Attributes:
        entries: sorted by name.
        label_files: files that the entries come from, beside the pictures.
        licence: as the data set states it.
        unknown_words: words for conditions that no alias knows.
        skipped_files: label files without boxes that were not read, and why.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    label_files: tuple[str, ...] = ()
    licence: str | None = None
    unknown_words: tuple[str, ...] = ()
    skipped_files: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Record:
    """One line of a lock: an `Entry` whose content was read.

    Attributes:
        sha256: of the file; of an array's row; of a video's sha256 and the frame's number.
        size_bytes: of the bytes that the digest covers; 0 for a frame of a video.
        measured: of the picture; never part of the data version, since decoders differ.
        label_width_px, label_height_px: the size that the labels were made for, where it differs
            from the picture's.
        Others as in `Entry`; width and height are those of the picture.
    """

    name: str
    file: str
    group: str
    row: int | None
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    label: str | None
    boxes: tuple[Box, ...] | None
    conditions: Conditions
    split: str | None
    measured: Descriptors
    mask: LockedMask | None = None
    label_width_px: int | None = None
    label_height_px: int | None = None


@dataclass(frozen=True)
class LockedFile:
    """A file of the data set with its digest."""

    file: str
    sha256: str
    size_bytes: int
