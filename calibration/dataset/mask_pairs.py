"""Which files of a data set are masks, and of which pictures: told by folders and names alone.

Cityscapes (`leftImg8bit/.../x_leftImg8bit.png`, `gtFine/.../x_gtFine_labelIds.png`), CamVid
(`train/x.png`, `trainannot/x.png`), and `images/x.jpg` beside `masks/x.png` by any of the names
below. Pure; opens nothing.
"""

from __future__ import annotations

import re
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
"""What Cityscapes has beside the ids."""
TRAIN_IDS = "_labeltrainids"

Key = tuple[tuple[str, ...], str]
"""Folders that tell parts and towns apart, and the bare name."""


@dataclass(frozen=True)
class Pairs:
    """Attributes:
    mask_of: picture -> its mask.
    orphans: masks without a picture.
    others: further files in the folders of masks, which are no pictures either.
    """

    mask_of: dict[str, str]
    orphans: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def no_pictures(self) -> set[str]:
        """Files that look like pictures and are none."""
        return {*self.mask_of.values(), *self.orphans, *self.others}


NONE = Pairs({}, (), ())


def pairs_of(pictures: Iterable[str]) -> Pairs:
    """The pairs among names relative to the root ("/" on every system); NONE where there is none,
    so that a folder which merely has such a name is left alone."""
    masks: dict[Key, str] = {}
    others: list[str] = []
    rest: list[str] = []
    for name in sorted(pictures):
        key = _mask_key(name)
        if key is None:
            rest.append(name)
        elif _NO_IDS.search(_stem(name)):
            others.append(name)
        elif key in masks and _stem(name).endswith(TRAIN_IDS):
            others.append(name)  # all ids say more than those that are trained on
        else:
            if key in masks:
                others.append(masks[key])
            masks[key] = name
    mask_of = {name: masks.pop(key) for name in rest if (key := _picture_key(name)) in masks}
    return Pairs(mask_of, tuple(masks.values()), tuple(others)) if mask_of else NONE


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.lower()


def _mask_key(name: str) -> Key | None:
    """The key of a PNG that lies where masks do; None for any other file."""
    path = PurePosixPath(name)
    if path.suffix.lower() != ".png":
        return None
    folders = [part.lower() for part in path.parts[:-1]]
    for row, folder in enumerate(folders):
        if found := _MASK_FOLDER.fullmatch(folder):
            part = [found["part"]] if found["part"] else []
            return _key([*folders[:row], *part, *folders[row + 1 :]], _MASK_TAIL, name)
    return None


def _picture_key(name: str) -> Key:
    folders = [part.lower() for part in PurePosixPath(name).parts[:-1]]
    for row, folder in enumerate(folders):
        if _PICTURE_FOLDER.fullmatch(folder):
            return _key([*folders[:row], *folders[row + 1 :]], _PICTURE_TAIL, name)
    return _key(folders, _PICTURE_TAIL, name)


def _key(folders: list[str], tail: re.Pattern[str], name: str) -> Key:
    return tuple(folders), tail.sub("", _stem(name))
