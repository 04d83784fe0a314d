"""What a data set holds, record by record: the values that readers yield and a lock writes down.

Values only; nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass

from calibration.dataset.pictures.descriptors import Descriptors
from edge.perception.conditions import Conditions

NOTHING_KNOWN = Conditions()

ANY_LABEL = "DontCare"
"""The label of a region that nobody has labelled, whatever is in it; KITTI's word."""


@dataclass(frozen=True)
class Box:
    """One labelled object: x1 y1 x2 y2 in pixels of its picture, as the data set gives them.

    Attributes:
        ignored: it is not to be judged by: a crowd, an object that is too hard to tell, a region
            that nobody has labelled.
    """

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    ignored: bool = False


@dataclass(frozen=True)
class Mask:
    """The file that says of every pixel of a picture what it is.

    Attributes:
        file: relative to the root of the data set.
        names: (id, label) of the ids that pixels may have; empty where the data set names none, so
            that an id stands for itself. 255 is never named: nobody has said.
    """

    file: str
    names: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Entry:
    """What labels and names say of one record, before its picture was read.

    Attributes:
        name: unique in the data set.
        file: of the picture, relative to the root of the data set; with "/" on every system.
        row: row of an array or number of a video's frame; None where the file is the picture.
        group: drive or track, never split; equal to the name where there is none.
        label: class of the whole picture, if it has one.
        boxes: None where nobody has looked for objects; empty where there are none.
        boxes_are_shares: the boxes are shares of width and height until the size is known.
        conditions: what metadata says.
        split: part that the data set itself puts it in.
        width_px, height_px: as the labels have it; None where they do not say.
        mask: what its pixels are, if anybody has said.
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
    """A mask whose content was read; `names` are those of the ids that occur in it."""

    file: str
    names: tuple[tuple[int, str], ...]
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Problem:
    """Something about the data set that cannot be meant: where, and what."""

    where: str
    what: str


@dataclass(frozen=True)
class Reading:
    """All that a reader found, sorted by name.

    Attributes:
        label_files: files that the entries come from, beside the pictures.
        licence: what the data set says of it.
        unknown_words: words for conditions that no alias knows.
        passed_over: label files that say nothing about boxes, and why.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...] = ()
    label_files: tuple[str, ...] = ()
    licence: str | None = None
    unknown_words: tuple[str, ...] = ()
    passed_over: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Record:
    """One line of a lock: an `Entry` whose content was read.

    Attributes:
        sha256: of the file; of an array's row; of a video's sha256 and the frame's number.
        size_bytes: of what the digest is of; 0 for a frame of a video.
        measured: of the picture; never part of the data version, since decoders differ.
        label_width_px, label_height_px: the size that the labels were made for, where it is
            another than the picture's.
        Others as in `Entry`; sizes are the picture's own.
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
    """A file that the data set consists of, whole."""

    file: str
    sha256: str
    size_bytes: int
