"""Finds files that look like labels beside pictures, in formats that no reader knows.

In: the files of a data set, of which the first bytes are read. Out: names. A data set that holds
such files is refused, never read as one without labels.
"""

from __future__ import annotations

import posixpath
import re

from calibration.dataset.label_files.label_pairing import text_files
from calibration.dataset.storage.storage import Storage, suffix

HOLDS_LABELS = (
    ".json", ".jsonl", ".ndjson", ".xml", ".mat", ".pkl", ".pickle", ".npy", ".parquet", ".arrow",
    ".feather", ".tfrecord", ".tfrecords", ".record", ".h5", ".hdf5", ".db", ".sqlite", ".xls",
    ".xlsx",
)  # fmt: skip
"""Suffixes of files that hold labels wherever they lie among pictures. Text holds labels where its
name says so or is a picture's, or where it names pictures with something behind them."""

TEXT = (".txt", ".yaml", ".yml")
_OF_A_PICTURE = re.compile(
    r"\.(jpe?g|png|bmp|ppm|tiff?|webp)['\"]?[\s,;:]+-?\d+(\.\d+)?(?=[\s,;]|$)", re.IGNORECASE
)
"""A picture's name followed by a number, not by another name; WIDER FACE, keras-yolo3."""
_BOXES_IN_YAML = re.compile(r"^[\s-]*(boxes|annotations|objects|labels)\s*:", re.MULTILINE)
"""Bosch's traffic lights, for example."""

_NAMED_SO = re.compile(
    r"(^|[^a-z])(labels?|annotations?|annots?|gts?|ground_?truths?|bbox(es)?|boxes)([^a-z]|$)"
)
_PROSE = re.compile(r"readme|licen[sc]e|notice|changelog|citation", re.IGNORECASE)
_OURS = '"brakepoint.'


def unread_labels(storage: Storage) -> list[str]:
    """Files beside pictures that look like labels, in order."""
    beside = text_files(storage)
    found = []
    for name in storage.files:
        base = posixpath.basename(name)
        if _PROSE.match(base):
            continue
        if name in beside or (suffix(name) in TEXT and _holds_labels(storage, name)):
            found.append(name)
        elif suffix(name) == ".json" and _OURS in storage.head_text(name):
            continue
        elif suffix(name) in HOLDS_LABELS:
            found.append(name)
    return found


def _holds_labels(storage: Storage, name: str) -> bool:
    """Whether a text file labels pictures; names of classes and lists of files do not."""
    base, text = posixpath.basename(name).lower(), storage.head_text(name)
    if suffix(name) != ".txt":
        return bool(_BOXES_IN_YAML.search(text))
    return bool(_NAMED_SO.search(base) or _OF_A_PICTURE.search(text))
