"""Label files that no reader knows: a data set that holds them is refused, never taken for one
without labels. Opens JSON files alone, to pass over our own.
"""

from __future__ import annotations

import posixpath
import re

from calibration.dataset.places import Place, suffix
from calibration.dataset.readers.beside import text_files

HOLDS_LABELS = (
    ".json", ".jsonl", ".ndjson", ".xml", ".mat", ".pkl", ".pickle", ".npy", ".parquet", ".arrow",
    ".feather", ".tfrecord", ".tfrecords", ".record", ".h5", ".hdf5", ".db", ".sqlite", ".xls",
    ".xlsx",
)  # fmt: skip
"""Suffixes of files that hold labels wherever they lie among pictures; a .txt does where its name
says so, or is a picture's."""

_NAMED_SO = re.compile(
    r"(^|[^a-z])(labels?|annotations?|annots?|gts?|ground_?truths?|bbox(es)?|boxes)([^a-z]|$)"
)
_PROSE = re.compile(r"readme|licen[sc]e|notice|changelog|citation", re.IGNORECASE)
_OURS = '"brakepoint.'


def unread_labels(place: Place) -> list[str]:
    """Files beside pictures that look like labels, in order."""
    beside = text_files(place)
    found = []
    for name in place.files:
        base = posixpath.basename(name)
        if _PROSE.match(base):
            continue
        if name in beside or (suffix(name) == ".txt" and _NAMED_SO.search(base.lower())):
            found.append(name)
        elif suffix(name) == ".json" and _OURS in place.head_text(name):
            continue
        elif suffix(name) in HOLDS_LABELS:
            found.append(name)
    return found
