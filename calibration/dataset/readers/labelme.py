"""Reads labelme: one JSON file a picture, with `shapes` that people drew.

In: JSON files. Out: a `LabelReading` and, if asked, outlines. Rectangles, polygons, circles and
masks become boxes; points and lines are not objects.
"""

from __future__ import annotations

import base64
import binascii
import math
import posixpath
from collections.abc import Mapping
from typing import Any

from calibration.dataset.label_files.collector import Collector, group_of, json_of, wrong_schema
from calibration.dataset.records.outlines import Disc, Outlines, Polygons, Shape, Stamp, rectangle
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

NO_OBJECTS = ("point", "points", "line", "linestrip")
LEAST_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}
"""Kind of shape -> its least number of points; a circle has its centre and a point on its edge."""


def recognises(storage: Storage) -> bool:
    """Whether a JSON file begins as labelme's do."""
    return bool(_files(storage))


def _files(storage: Storage) -> list[str]:
    found = []
    for name in storage.with_suffix(".json"):
        head = storage.head_text(name)
        if head.startswith("{") and '"shapes"' in head and '"categories"' not in head:
            found.append(name)
    return found


Corners = tuple[float, ...]


def read(storage: Storage, outlines: Outlines | None = None) -> LabelReading:
    """Every picture, without labels if it has no file. Shapes are added to `outlines`."""
    collector = Collector(storage)
    files = _files(storage)
    if not files:
        raise wrong_schema(
            storage, "the folder", expected="labelme files (*.json)", found="none with `shapes`"
        )
    for name in files:
        document = json_of(storage, name)
        shapes = document.get("shapes") if isinstance(document, dict) else None
        if not isinstance(shapes, list):
            raise wrong_schema(
                storage, name, expected="`shapes`, a list", found=type(shapes).__name__
            )
        collector.add_label_file(name)
        _collect(collector, name, document, shapes, outlines)
    collector.add_unlabelled()
    return collector.reading()


def _collect(
    collector: Collector,
    name: str,
    document: Mapping[str, Any],
    shapes: list[Any],
    outlines: Outlines | None,
) -> None:
    stem = posixpath.splitext(posixpath.basename(name))[0]
    given = str(document.get("imagePath") or stem)
    found, why = collector.names.find(given, beside=name)
    # The picture may have been renamed together with its label file.
    file = found or collector.names.find(stem, beside=name)[0]
    if file is None:
        collector.add_problem(name, f"names '{given}': {why}")
        return
    boxes: list[Box] = []
    for number, shape in enumerate(shapes, start=1):
        where = f"{name}, shape {number}"
        if not isinstance(shape, dict):
            collector.add_problem(where, "is no shape")
        elif shape.get("shape_type", "polygon") not in NO_OBJECTS:
            points = _points(collector, shape, where)
            flags = shape.get("flags")
            ignored = collector.is_ignored(flags if isinstance(flags, dict) else {}, where=where)
            if points is None:
                continue
            around = _around(shape, points)
            for box in collector.box(shape.get("label"), around, where=where, ignored=ignored):
                boxes.append(box)
                if outlines is not None:
                    outlines.add(file, box, _outline(shape, points, box), where=where)
    flags = document.get("flags")
    metadata = flags if isinstance(flags, dict) else {}
    collector.add_entry(
        Entry(
            name=file,
            file=file,
            group=group_of(metadata, file),
            boxes=tuple(boxes),
            conditions=collector.conditions(metadata),
            split=collector.part(file),
            width_px=collector.size(document.get("imageWidth"), where=name),
            height_px=collector.size(document.get("imageHeight"), where=name),
        )
    )


def _points(collector: Collector, shape: Mapping[str, Any], where: str) -> list[Corners] | None:
    """The points (x, y) of a shape of a known kind, or None with a problem noted."""
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    least = LEAST_POINTS.get(str(kind))
    if least is None or not isinstance(points, list) or len(points) < least:
        count = len(points) if isinstance(points, list) else "no"
        collector.add_problem(where, f"is a '{str(kind)[:40]}' of {count} points")
        return None
    found = [collector.numbers(point, 2, where=where) for point in points]
    there = [point for point in found if point is not None]
    return there if len(there) == len(points) else None


def _around(shape: Mapping[str, Any], points: list[Corners]) -> Corners:
    """x1 y1 x2 y2 of the box around a shape."""
    if shape.get("shape_type") == "circle":
        (x, y), radius = points[0], _radius(points)
        return x - radius, y - radius, x + radius, y + radius
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def _radius(points: list[Corners]) -> float:
    return math.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1])


def _outline(shape: Mapping[str, Any], points: list[Corners], box: Box) -> Shape | str:
    """The outline of a shape, or why it has none."""
    kind = shape.get("shape_type", "polygon")
    if kind == "circle":
        return Disc(points[0][0], points[0][1], _radius(points))
    if kind == "polygon":
        return Polygons((tuple(one for point in points for one in point),))
    if kind == "rectangle":
        return rectangle(box.x1, box.y1, box.x2, box.y2)
    try:
        png = base64.b64decode(shape.get("mask") or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        png = b""
    if not png:
        return "is a mask without `mask`, a PNG in base64"
    # Its second point is the last pixel, not the edge behind it (labelme's `shape_to_mask`).
    left, top, right, bottom = (round(one) for one in (box.x1, box.y1, box.x2, box.y2))
    return Stamp(png, left, top, right - left + 1, bottom - top + 1)
