"""Finds the part (train, val, test) of a record in the names of its folders and label files.

In: the names of a data set. Out: the part of a file, or None. A part is a whole path element: the
word alone, with a year, or with words that do not describe a scene ("train", "val2017",
"images_train", "instances_val2017.json"). "crossing_with_train_01" is no part, nor is a folder
`train` beside `bus` and `car`.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection

from edge.perception.pictures.files import is_picture

PART_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}

SAYS_NOTHING = frozenset({
    "images", "image", "imgs", "img", "pictures", "frames", "labels", "label", "annotations",
    "annotation", "annots", "annot", "instances", "person", "keypoints", "captions", "det",
    "detection", "detections", "bbox", "bboxes", "boxes", "box", "gt", "coco", "yolo", "voc", "bdd",
    "kitti", "k", "final", "online", "public", "data", "dataset", "set", "split", "part", "sem",
    "seg", "mask", "masks", "human", "verified", "oidv", "oid", "v", "extra",
})  # fmt: skip
"""Words that may stand beside a part's word in names of folders and label files."""

THINGS = frozenset({
    "bus", "car", "truck", "tram", "boat", "ship", "airplane", "plane", "bicycle", "bike",
    "motorcycle", "motorbike", "person", "pedestrian", "cat", "dog",
})  # fmt: skip
"""Names of classes: a folder `train` beside one of them is of the vehicle."""


def part_word(element: str) -> str | None:
    """The part that a path element, without its suffix, names; None where it names none."""
    words = [word for word in re.split(r"[^a-z]+", element.lower()) if word]
    parts = {PART_WORDS[word] for word in words if word in PART_WORDS}
    others = [word for word in words if word not in PART_WORDS and word not in SAYS_NOTHING]
    return parts.pop() if len(parts) == 1 and not others else None


class Parts:
    """Finds parts in the names of one data set."""

    def __init__(self, files: Collection[str]) -> None:
        self._files = {name.lower() for name in files}
        self._beside: dict[str, set[str]] = defaultdict(set)
        for name in self._files:
            if is_picture(name):
                folders = name.split("/")[:-1]
                for row, folder in enumerate(folders):
                    self._beside["/".join(folders[:row])].add(folder)

    def of(self, path: str) -> str | None:
        """The part of a file, by its folders or, unless it is a picture, by its own name."""
        folders = path.lower().split("/")[:-1]
        for row, folder in enumerate(folders):
            beside = self._beside["/".join(folders[:row])]
            if (part := part_word(folder)) and not THINGS & beside:
                return part
        if is_picture(path):
            return None
        stem, kind = posixpath.splitext(posixpath.basename(path.lower()))
        return part_word(stem) or self._one_of_several("/".join([*folders, stem]), kind)

    def _one_of_several(self, stem: str, kind: str) -> str | None:
        """The part of a label file that has a counterpart in another: x_train.json, x_val.json."""
        for word, part in PART_WORDS.items():
            for found in re.finditer(rf"(?<![a-z]){word}(?![a-z])", stem):
                for other, other_part in PART_WORDS.items():
                    name = f"{stem[: found.start()]}{other}{stem[found.end() :]}{kind}"
                    if other_part != part and name in self._files:
                        return part
        return None
