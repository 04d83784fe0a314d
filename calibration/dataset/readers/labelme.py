"""labelme: one JSON a picture, with `shapes` that people drew. Boxes of rectangles, polygons,
circles and masks are taken; points and lines are no objects.
"""

from __future__ import annotations

import base64
import binascii
import math
import posixpath
from collections.abc import Mapping
from typing import Any

from calibration.dataset.label_files.collector import Gathering, group_of, json_of, wrong_schema
from calibration.dataset.records.outlines import Disc, Outlines, Polygons, Shape, Stamp, rectangle
from calibration.dataset.records.record import Box, Entry, Reading
from calibration.dataset.storage import Storage

NO_OBJECTS = ("point", "points", "line", "linestrip")
LEAST_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}
"""Kind of shape -> how many points it has at least; a circle has its centre and one on its edge."""


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


def read(storage: Storage, outlines: Outlines | None = None) -> Reading:
    """Every picture; one without a file of its own has no labels. Shapes go to `outlines`."""
    gathering = Gathering(storage)
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
        gathering.label_file(name)
        _gather(gathering, name, document, shapes, outlines)
    gathering.unlabelled()
    return gathering.reading()


def _gather(
    gathering: Gathering,
    name: str,
    document: Mapping[str, Any],
    shapes: list[Any],
    outlines: Outlines | None,
) -> None:
    stem = posixpath.splitext(posixpath.basename(name))[0]
    given = str(document.get("imagePath") or stem)
    found, why = gathering.names.find(given, beside=name)
    # A picture that was renamed together with its file.
    file = found or gathering.names.find(stem, beside=name)[0]
    if file is None:
        gathering.problem(name, f"names '{given}': {why}")
        return
    boxes: list[Box] = []
    for number, shape in enumerate(shapes, start=1):
        where = f"{name}, shape {number}"
        if not isinstance(shape, dict):
            gathering.problem(where, "is no shape")
        elif shape.get("shape_type", "polygon") not in NO_OBJECTS:
            points = _points(gathering, shape, where)
            flags = shape.get("flags")
            ignored = gathering.flagged(flags if isinstance(flags, dict) else {}, where=where)
            if points is None:
                continue
            around = _around(shape, points)
            for box in gathering.box(shape.get("label"), around, where=where, ignored=ignored):
                boxes.append(box)
                if outlines is not None:
                    outlines.add(file, box, _outline(shape, points, box), where=where)
    flags = document.get("flags")
    metadata = flags if isinstance(flags, dict) else {}
    gathering.entry(
        Entry(
            name=file,
            file=file,
            group=group_of(metadata, file),
            boxes=tuple(boxes),
            conditions=gathering.conditions(metadata),
            split=gathering.part(file),
            width_px=gathering.size(document.get("imageWidth"), where=name),
            height_px=gathering.size(document.get("imageHeight"), where=name),
        )
    )


def _points(gathering: Gathering, shape: Mapping[str, Any], where: str) -> list[Corners] | None:
    """The points (x, y) of a shape of a known kind, or None with a problem noted."""
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    least = LEAST_POINTS.get(str(kind))
    if least is None or not isinstance(points, list) or len(points) < least:
        count = len(points) if isinstance(points, list) else "no"
        gathering.problem(where, f"is a '{str(kind)[:40]}' of {count} points")
        return None
    found = [gathering.numbers(point, 2, where=where) for point in points]
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
    """What the shape covers, or why that cannot be said."""
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
