"""Pairs pictures with their masks, by the names of folders and files alone.

In: names of picture files. Out: `Pairs`. Layouts: Cityscapes (`leftImg8bit/.../x_leftImg8bit.png`,
`gtFine/.../x_gtFine_labelIds.png`), CamVid (`train/x.png`, `trainannot/x.png`), and `images/x.jpg`
beside `masks/x.png` by any of the names below. A mask with exactly the picture's name goes before
one with a suffix: `x_l` may be the left camera.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_MASK_FOLDER = re.compile(
    r"(?P<part>train|val|test|trainval)?_?"
    r"(gtfine|gtcoarse|gt|masks?|labels?|label_?ids|annot|annotations?|segmentation(class)?|semantic)"
)
_PICTURE_FOLDER = re.compile(r"images?|imgs?|pictures?|frames?|leftimg8bit|jpegimages")
_MASK_TAIL = re.compile(r"(_gt(fine|coarse))?(_label(train)?ids|_masks?|_labels?|_seg|_gt|_l)?$")
_PICTURE_TAIL = re.compile(r"_leftimg8bit$")
_NO_IDS = re.compile(r"_(color|instanceids|instancetrainids)$")
"""Further files of Cityscapes, which hold no label ids."""
_NO_IDS_FOLDER = "segmentationobject"
"""A folder of Pascal VOC with object numbers in place of label ids."""
TRAIN_IDS = "_labeltrainids"

Key = tuple[tuple[str, ...], str]
"""Folders, which tell parts and towns apart, and the name without its suffix."""


@dataclass(frozen=True)
class Pairs:
    """Pictures and masks of a data set.

    Attributes:
        mask_of: picture -> its mask.
        orphans: masks without a picture.
        others: further files in the folders of masks, which are not pictures either.
        rivals: masks that fit one picture, or pictures that one mask fits; the first is in
            `mask_of`.
    """

    mask_of: dict[str, str]
    orphans: tuple[str, ...]
    others: tuple[str, ...]
    rivals: tuple[tuple[str, ...], ...] = ()

    @property
    def no_pictures(self) -> set[str]:
        """Files that have a picture's suffix and are not pictures."""
        return {*self.mask_of.values(), *self.orphans, *self.others}


NONE = Pairs({}, (), ())


def pairs_of(pictures: Iterable[str]) -> Pairs:
    """The pairs among names relative to the root ("/" on every system). NONE without any pair, so
    that a folder which only has the name of a mask folder is treated as pictures."""
    masks: dict[Key, list[str]] = defaultdict(list)
    others: list[str] = []
    rest: dict[Key, list[str]] = defaultdict(list)
    found: list[tuple[Key, str]] = []
    for name in sorted(pictures):
        folders = _mask_folders(name)
        if folders is None:
            rest[_picture_key(name)].append(name)
        elif _NO_IDS.search(_stem(name)) or _NO_IDS_FOLDER in folders:
            others.append(name)
        else:
            found.append(((folders, _stem(name)), name))
    for own, name in found:
        masks[own if own in rest else (own[0], _MASK_TAIL.sub("", own[1]))].append(name)
    rivals: list[tuple[str, ...]] = []
    mask_of: dict[str, str] = {}
    orphans: list[str] = []
    for key, names in masks.items():
        best = max(_rank(name, key) for name in names)
        first, *same = (name for name in names if _rank(name, key) == best)
        others += [name for name in names if name != first]
        if key not in rest:
            orphans.append(first)
            continue
        mask_of |= dict.fromkeys(rest[key], first)
        rivals += [tuple(rest[key])] * (len(rest[key]) > 1) + [(first, *same)] * bool(same)
    if not mask_of:
        return NONE
    return Pairs(dict(sorted(mask_of.items())), tuple(orphans), tuple(others), tuple(rivals))


def is_picture_folder(folder: str) -> bool:
    """Whether the name of a folder says nothing but that it holds pictures."""
    return bool(_PICTURE_FOLDER.fullmatch(folder.lower()))


def _rank(name: str, key: Key) -> tuple[bool, bool, bool]:
    """The preference among masks of one picture: exactly its name; all ids rather than train ids,
    which are fewer; Cityscapes' fine annotation rather than the coarse one."""
    stem = _stem(name)
    coarse = "gtcoarse" in name.lower()
    return stem == key[1], not stem.endswith(TRAIN_IDS), not coarse


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _mask_folders(name: str) -> tuple[str, ...] | None:
    """The folders of the picture of a PNG in a folder of masks; None of other files."""
    path = PurePosixPath(name)
    if path.suffix.lower() != ".png":
        return None
    folders = [part.lower() for part in path.parts[:-1]]
    for row, folder in enumerate(folders):
        if found := _MASK_FOLDER.fullmatch(folder):
            part = [found["part"]] if found["part"] else []
            return (*folders[:row], *part, *folders[row + 1 :])
    return (*folders,) if _NO_IDS_FOLDER in folders else None


def _picture_key(name: str) -> Key:
    folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
    for row, folder in enumerate(folders):
        if _PICTURE_FOLDER.fullmatch(folder):
            folders = [*folders[:row], *folders[row + 1 :]]
            break
    return tuple(folders), _PICTURE_TAIL.sub("", _stem(name))
