"""Names the pictures and masks of the data set that `data masks` writes.

In: the names of pictures. Out: names below `images/` and `masks/`, with the same folders. They are
checked against `masks/pairing.py`, which a reader of the new data set will use.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence

from calibration.dataset.masks.pairing import is_picture_folder, pairs_of
from firmware_bridge.errors import UsageError

IMAGES, MASKS = "images", "masks"


def names_with_masks(given: str, pictures: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Picture of the data set `given` -> (its name, its mask's) in the data set with masks.

    A folder such as `images` that all pictures lie in becomes `images/`; others stay as they are.

    Raises:
        UsageError: a mask would be paired with another picture, or a picture read as a mask.
    """
    first = {name.split("/")[0].lower() if "/" in name else "" for name in pictures}
    bare = len(first) == 1 and is_picture_folder(first.pop())
    found = {}
    for name in pictures:
        below = name.split("/", 1)[1] if bare else name
        found[name] = f"{IMAGES}/{below}", f"{MASKS}/{posixpath.splitext(below)[0]}.png"
    of_mask = Counter(mask.lower() for _, mask in found.values())
    pairs = pairs_of(one for names in found.values() for one in names)
    strange = [
        name
        for name, (picture, mask) in found.items()
        if of_mask[mask.lower()] > 1 or pairs.mask_of.get(picture) != mask
    ]
    if strange:
        raise UsageError(
            f"{given} has {len(strange)} pictures whose masks would be taken for others'",
            expected="names that are unique without their suffix, in folders that are not called "
            "as folders of masks are, and without an end such as _color or _leftImg8bit",
            found=", ".join(strange[:5]) + (f" and {len(strange) - 5} more" * (len(strange) > 5)),
            remedy="rename them together with their labels; or give the folder below the one that "
            "has such a name",
        )
    return found
