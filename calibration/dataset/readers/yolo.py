"""Reads YOLO text: beside `images/...` a `labels/...` with one line an object.

In: text files and the names of classes. Out: a `LabelReading` and, if asked, outlines. A line is a
class and four shares (centre and size), with a score or without; or a class and the corners of a
segment (three or more points), around which the box is drawn; or a box with keypoints, where
data.yaml has `kpt_shape`.
"""

from __future__ import annotations

import re

from calibration.dataset.label_files.class_names import is_names, keypoint_numbers, names_of
from calibration.dataset.label_files.collector import Collector, class_number, wrong_schema
from calibration.dataset.label_files.label_pairing import text_files
from calibration.dataset.records.outlines import LEAST_POINTS, Outlines, Polygons
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_LINE = re.compile(rf"\s*\d+(\.0*)?([\s,;]+{_NUMBER}){{4,}}\s*")
SEVERAL = 20
"""Files with content that are tried before a folder counts as another format."""

BEYOND = 0.01
"""How far shares may lie outside of the picture: tools round them, and draw over the edge."""

Corners = tuple[float, ...]


def recognises(storage: Storage) -> bool:
    """Whether there are label files in YOLO's format, or only empty ones, all of pictures."""
    files = [name for name, picture in _files(storage).items() if picture is not None]
    filled = [name for name in files if storage.files[name]]
    if not filled:
        return bool(files)
    return any(_LINE.fullmatch(_first_line(storage.head_text(name))) for name in filled[:SEVERAL])


def _first_line(text: str) -> str:
    return text.lstrip().split("\n", 1)[0]


def _files(storage: Storage) -> dict[str, str | None]:
    """Label file -> its picture."""
    return {name: picture for name, picture in text_files(storage).items() if not is_names(name)}


def read(storage: Storage, outlines: Outlines | None = None) -> LabelReading:
    """Every picture; one with an empty label file has no objects. Segments are added to
    `outlines`."""
    collector = Collector(storage)
    files = _files(storage)
    if not files:
        raise wrong_schema(
            storage,
            "the folder",
            expected="label files (labels/NAME.txt for images/NAME.jpg, or beside the picture)",
            found=f"{len(storage.with_suffix('.txt'))} other text files",
        )
    classes, keypoints = names_of(collector), keypoint_numbers(collector)
    for name, file in files.items():
        collector.add_label_file(name)
        if file is None:
            collector.add_problem(name, "no picture, or more than one, has its name")
            continue
        found = _objects(collector, name, classes, keypoints)
        if outlines is not None:
            for where, box, segment in found:
                outlines.add(file, box, segment, where=where)
        collector.add_entry(
            Entry(
                name=file,
                file=file,
                group=file,
                boxes=tuple(box for _, box, _ in found),
                boxes_are_shares=True,
                split=collector.part(file),
            )
        )
    collector.add_unlabelled()
    return collector.reading()


def _objects(
    collector: Collector, name: str, classes: dict[int, str], keypoints: int
) -> list[tuple[str, Box, Polygons | str]]:
    """(file and line, box, segment or why it has none) of every line."""
    objects: list[tuple[str, Box, Polygons | str]] = []
    for line, text in enumerate(collector.storage.text(name).splitlines(), start=1):
        words = re.split(r"[\s,;]+", text.strip())
        if not text.strip():
            continue
        where = f"{name}, line {line}"
        number = class_number(words[0])
        if number is None:
            collector.add_problem(where, f"'{text[:60]}' does not begin with a class number")
            continue
        found = collector.numbers(words[1:], len(words) - 1, where=where)
        if found is None:
            continue
        corners = _corners(found, keypoints)
        if isinstance(corners, str):
            collector.add_problem(where, f"'{text[:60]}' {corners}")
            continue
        label = classes.get(number, str(number))
        if classes and number not in classes:
            collector.add_problem(where, f"class {number} has no name")
        segment: Polygons | str = "is a box: an outline has 3 points or more"
        if not _is_box(len(found), keypoints):
            segment = Polygons((_points(found),))
        objects += [(where, box, segment) for box in collector.box(label, corners, where=where)]
    return objects


def _is_box(count: int, keypoints: int) -> bool:
    """Whether so many numbers are a box, with or without a score, and keypoints."""
    return count in (4, 5) or bool(keypoints and count in (4 + keypoints, 5 + keypoints))


def _points(numbers: Corners) -> Corners:
    """The corners of a segment, without the score that an odd count of numbers ends with."""
    return numbers[: len(numbers) - len(numbers) % 2]


def _corners(numbers: Corners, keypoints: int) -> Corners | str:
    """x1 y1 x2 y2 as shares of width and height; or why the numbers of a line give no box."""
    count = len(numbers)
    if _is_box(count, keypoints):
        x, y, width, height = numbers[:4]
        if not _inside((x, y, abs(width), abs(height))):
            return "is no centre and size as shares of the picture"
        if count == 5 and not 0.0 <= numbers[4] <= 1.0:
            return f"has the score {numbers[4]:g}, which is none"
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    if count < 2 * LEAST_POINTS:
        return "is neither a box nor a segment"
    visible = numbers[6::3]
    if (count - 4) % 3 == 0 and set(visible) <= {0.0, 1.0, 2.0} and 2.0 in visible:
        return "is a box with keypoints: say how many by kpt_shape in data.yaml"
    points = _points(numbers)
    if not _inside(points):
        return "is no segment: its corners are not shares of the picture"
    xs, ys = points[0::2], points[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def _inside(shares: tuple[float, ...]) -> bool:
    return all(-BEYOND <= share <= 1.0 + BEYOND for share in shares)
