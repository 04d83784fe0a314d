"""Reads KITTI object detection: beside `image_2/...` a `label_2/...` with one line an object.

In: text files. Out: a `LabelReading`; regions called DontCare become ignored boxes. Source: Geiger
et al., CVPR 2012, devkit readme: type, truncated, occluded, alpha, box in pixels (left, top, right,
bottom), 3 sizes, 3 coordinates, rotation, and in results a score.
"""

from __future__ import annotations

import re

from calibration.dataset.label_files.collector import Collector, wrong_schema
from calibration.dataset.label_files.label_pairing import text_files
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

_LINE = re.compile(r"\s*[A-Za-z]\S*(\s+[-+0-9.eE]+){14,15}\s*")
WORDS = (15, 16)
BOX = slice(4, 8)
SEVERAL = 20
"""Files with content that are tried before a folder counts as another format."""


def recognises(storage: Storage) -> bool:
    """Whether there are label files in KITTI's format."""
    filled = [name for name, file in text_files(storage).items() if file and storage.files[name]]
    return any(_LINE.fullmatch(_first_line(storage, name)) for name in filled[:SEVERAL])


def _first_line(storage: Storage, name: str) -> str:
    return storage.head_text(name).split("\n", 1)[0]


def read(storage: Storage) -> LabelReading:
    """Every picture; one with an empty label file has no objects."""
    collector = Collector(storage)
    files = text_files(storage)
    if not files:
        raise wrong_schema(
            storage,
            "the folder",
            expected="label files (label_2/NAME.txt for image_2/NAME.png)",
            found=f"{len(storage.with_suffix('.txt'))} other text files",
        )
    for name, file in files.items():
        collector.add_label_file(name)
        if file is None:
            collector.add_problem(name, "no picture, or more than one, has its name")
            continue
        boxes = tuple(_boxes(collector, name))
        collector.add_entry(
            Entry(name=file, file=file, group=file, boxes=boxes, split=collector.part(file))
        )
    collector.add_unlabelled()
    return collector.reading()


def _boxes(collector: Collector, name: str) -> list[Box]:
    boxes: list[Box] = []
    for line, text in enumerate(collector.storage.text(name).splitlines(), start=1):
        words = text.split()
        if not words:
            continue
        where = f"{name}, line {line}"
        if len(words) not in WORDS:
            collector.add_problem(where, f"'{text[:60]}' is no object of KITTI's: 15 or 16 words")
            continue
        corners = collector.numbers(words[BOX], 4, where=where)
        if corners is not None:
            boxes += collector.box(words[0], corners, where=where)
    return boxes
