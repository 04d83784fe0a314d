"""labelme: one JSON a picture, with `shapes` that people drew. Boxes of rectangles, polygons,
circles and masks are taken; points and lines are no objects.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import Gathering, group_of, json_of, wrong_schema
from calibration.dataset.records import Box, Entry, Reading

NO_OBJECTS = ("point", "points", "line", "linestrip")
LEAST_POINTS = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2}
"""Kind of shape -> how many points it has at least; a circle has its centre and one on its edge."""


def recognises(place: Place) -> bool:
    """Whether a JSON file begins as labelme's do."""
    return bool(_files(place))


def _files(place: Place) -> list[str]:
    found = []
    for name in place.with_suffix(".json"):
        head = place.head_text(name)
        if head.startswith("{") and '"shapes"' in head and '"categories"' not in head:
            found.append(name)
    return found


def read(place: Place) -> Reading:
    """Every picture; one without a file of its own has no labels."""
    gathering = Gathering(place)
    files = _files(place)
    if not files:
        raise wrong_schema(
            place, "the folder", expected="labelme files (*.json)", found="none with `shapes`"
        )
    for name in files:
        document = json_of(place, name)
        shapes = document.get("shapes") if isinstance(document, dict) else None
        if not isinstance(shapes, list):
            raise wrong_schema(
                place, name, expected="`shapes`, a list", found=type(shapes).__name__
            )
        gathering.label_file(name)
        _gather(gathering, name, document, shapes)
    gathering.unlabelled()
    return gathering.reading()


def _gather(
    gathering: Gathering, name: str, document: Mapping[str, Any], shapes: list[Any]
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
            corners = _corners(gathering, shape, where)
            flags = shape.get("flags")
            ignored = gathering.flagged(flags if isinstance(flags, dict) else {}, where=where)
            if corners is not None:
                boxes += gathering.box(shape.get("label"), corners, where=where, ignored=ignored)
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


def _corners(
    gathering: Gathering, shape: Mapping[str, Any], where: str
) -> tuple[float, ...] | None:
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    least = LEAST_POINTS.get(str(kind))
    if least is None or not isinstance(points, list) or len(points) < least:
        count = len(points) if isinstance(points, list) else "no"
        gathering.problem(where, f"is a '{str(kind)[:40]}' of {count} points")
        return None
    found = [gathering.numbers(point, 2, where=where) for point in points]
    xs, ys = [one[0] for one in found if one], [one[1] for one in found if one]
    if len(xs) < len(points):
        return None
    if kind == "circle":
        radius = math.hypot(xs[1] - xs[0], ys[1] - ys[0])
        return xs[0] - radius, ys[0] - radius, xs[0] + radius, ys[0] + radius
    return min(xs), min(ys), max(xs), max(ys)
