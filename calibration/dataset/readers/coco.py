"""Reads COCO object detection: JSON with `images`, `annotations` and `categories`.

In: JSON files. Out: a `LabelReading` and, if asked, outlines. In a folder as COCO is unpacked,
captions and panoptic files are skipped, since they have no boxes, and so are keypoints and stuff of
pictures that the instances list already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from calibration.dataset.label_files.coco_segments import segment_of
from calibration.dataset.label_files.collector import (
    Collector,
    group_of,
    json_of,
    wrong_schema,
)
from calibration.dataset.records.outlines import Outlines
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

WANTED = ("images", "annotations", "categories")

LONGEST_ID = 20
"""Digits of an id as text; Python refuses to convert thousands of them."""

Id = int | str
Corners = tuple[float, ...]


def recognises(storage: Storage) -> bool:
    """Whether a JSON file begins as COCO's do."""
    return bool(_files(storage))


def _files(storage: Storage) -> list[str]:
    found = []
    for name in storage.with_suffix(".json"):
        head = storage.head_text(name)
        keys = ('"images"', '"annotations"', '"categories"', '"licenses"', '"info"')
        if head.startswith("{") and any(key in head for key in keys):
            found.append(name)
    return found


def read(storage: Storage, outlines: Outlines | None = None) -> LabelReading:
    """Every image of every COCO file; crowd regions become ignored boxes. Segmentations are added
    to `outlines`."""
    collector = Collector(storage)
    licences: set[str] = set()
    files = _files(storage) or storage.with_suffix(".json")
    if not files:
        raise wrong_schema(
            storage, "the folder", expected="a COCO file (*.json)", found="no JSON file"
        )
    documents = {name: json_of(storage, name) for name in files}
    for name, why in _beside_the_boxes(documents).items():
        collector.skip_file(name, why)
        del documents[name]
    for name, document in documents.items():
        absent = [
            key for key in WANTED if not isinstance(document, dict) or not _listed(document, key)
        ]
        if absent:
            raise wrong_schema(
                storage,
                name,
                expected=f"lists {', '.join(WANTED)}",
                found=f"no {', '.join(absent)}",
            )
        collector.add_label_file(name)
        _collect(collector, name, document, outlines)
        given = document.get("licenses")
        for licence in given if isinstance(given, list) else []:
            if isinstance(licence, dict) and licence.get("name"):
                licences.add(str(licence["name"]))
    collector.add_unlabelled()
    return collector.reading("; ".join(sorted(licences)) or None)


def _listed(document: Mapping[str, Any], key: str) -> bool:
    value = document.get(key)
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _beside_the_boxes(documents: Mapping[str, Any]) -> dict[str, str]:
    """Files without boxes of their own, and why; none unless a file of instances is there."""
    kinds = {name: _kind(document) for name, document in documents.items()}
    if "instances" not in kinds.values():
        return {}
    covered = {
        picture
        for name, document in documents.items()
        if kinds[name] == "instances"
        for picture in _pictures(document)
    }
    reasons = {
        "captions": "captions say nothing about boxes",
        "panoptic": "panoptic segments are no boxes",
        "no annotations": "lists images without annotations",
    }
    found = {name: reasons[kind] for name, kind in kinds.items() if kind in reasons}
    for name, kind in kinds.items():
        if kind in ("keypoints", "stuff") and _pictures(documents[name]) <= covered:
            found[name] = f"its boxes are of pictures that the instances have: {kind}"
    return found


def _kind(document: object) -> str:
    """The kind of a COCO file, such as "instances"; "none" or why it has no annotations."""
    if not isinstance(document, dict):
        return "none"
    if not _listed(document, "annotations"):
        return "no annotations" if "annotations" not in document else "none"
    rows = document["annotations"]
    classes = document["categories"] if _listed(document, "categories") else []
    if any("caption" in row for row in rows):
        return "captions"
    if any("segments_info" in row for row in rows):
        return "panoptic"
    if any("keypoints" in row for row in (*classes, *rows)):
        return "keypoints"
    if classes and all(_is_stuff(row.get("id")) for row in classes):
        return "stuff"
    return "instances" if classes else "none"


def _is_stuff(number: object) -> bool:
    """COCO's stuff has the categories 92 to 183."""
    return isinstance(number, int) and 92 <= number <= 183


def _pictures(document: Mapping[str, Any]) -> set[str]:
    rows = document["images"] if _listed(document, "images") else []
    return {str(row.get("file_name")) for row in rows}


def _collect(
    collector: Collector, name: str, document: dict[str, Any], outlines: Outlines | None
) -> None:
    classes: dict[Id, str] = {}
    for key, row in _by_id(collector, name, document, "categories"):
        classes[key] = str(row.get("name") or "").strip()
        if not classes[key]:
            collector.add_problem(f"{name}, category {key}", "has no name")
    images = dict(_by_id(collector, name, document, "images"))
    boxes: dict[Id, list[Box]] = defaultdict(list)
    rows: dict[Id, list[tuple[str, Box, dict[str, Any]]]] = defaultdict(list)
    for number, row in enumerate(document["annotations"]):
        where = f"{name}, annotation {row.get('id', number)}"
        image, label = _known(row.get("image_id"), images), _known(row.get("category_id"), classes)
        if image is None:
            collector.add_problem(
                where, f"names image {row.get('image_id')!r}, which is not listed"
            )
        elif label is None:
            collector.add_problem(where, f"names category {row.get('category_id')!r}, not listed")
        elif (corners := _corners(collector, row, where)) is not None and classes[label]:
            ignored = collector.is_ignored(row, where=where)
            found = collector.box(classes[label], corners, where=where, ignored=ignored)
            boxes[image] += found
            if outlines is not None:
                rows[image] += [(where, box, row) for box in found]
    for key, row in images.items():
        where = f"{name}, image {key}"
        file = collector.picture(str(row.get("file_name")), label_file=name, where=where)
        if file is None:
            continue
        if outlines is not None:
            for at, box, annotation in rows[key]:
                outlines.add(file, box, segment_of(annotation.get("segmentation")), where=at)
        extra = row.get("attributes")
        metadata = {**row, **(extra if isinstance(extra, dict) else {})}
        collector.add_entry(
            Entry(
                name=file,
                file=file,
                group=group_of(metadata, file),
                boxes=tuple(boxes[key]),
                conditions=collector.conditions(metadata),
                split=collector.part(name, file),
                width_px=collector.size(row.get("width"), where=where),
                height_px=collector.size(row.get("height"), where=where),
            )
        )


def _corners(collector: Collector, row: Mapping[str, Any], where: str) -> Corners | None:
    """x1 y1 x2 y2 of an annotation: its box, or else the box around its polygons."""
    polygons = row.get("segmentation")
    if row.get("bbox") is None and isinstance(polygons, list) and polygons:
        points = [collector.numbers(one, len(one), where=where) for one in polygons if one]
        if not points or None in points:
            return None
        xs = [x for one in points for x in (one or ())[0::2]]
        ys = [y for one in points for y in (one or ())[1::2]]
        return min(xs), min(ys), max(xs), max(ys)
    found = collector.numbers(row.get("bbox"), 4, where=where)
    if found is None:
        return None
    x, y, width, height = found
    return x, y, x + width, y + height


def _by_id(
    collector: Collector, name: str, document: dict[str, Any], key: str
) -> list[tuple[Id, dict[str, Any]]]:
    """Rows with their ids; a problem is noted where an id is not valid or is repeated."""
    found: dict[Id, dict[str, Any]] = {}
    for number, row in enumerate(document[key]):
        where, given = f"{name}, {key} row {number + 1}", _id(row.get("id"))
        if given is None:
            collector.add_problem(where, f"has no id: {str(row.get('id'))[:40]}")
        elif given in found:
            collector.add_problem(where, f"has the id {given}, which an earlier row has")
        else:
            found[given] = row
    return list(found.items())


def _id(given: object) -> Id | None:
    """An id; 3.0 is 3, since pandas writes whole numbers as floats. None where it is not valid."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    return given if isinstance(given, int | str) and not isinstance(given, bool) else None


def _known(given: object, rows: Mapping[Id, Any]) -> Id | None:
    """The id of a row in `rows`; "3" means 3 where only 3 is there. None where neither is."""
    found = _id(given)
    if found is not None and found not in rows:
        text = str(found).strip()
        is_number = isinstance(found, str) and text.isdecimal() and len(text) < LONGEST_ID
        found = int(text) if is_number else text
    return found if found in rows else None
