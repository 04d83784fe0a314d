"""COCO object detection: JSON with `images`, `annotations` and `categories`."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import (
    Gathering,
    boxed,
    group_of,
    json_of,
    split_of,
    wrong_schema,
)
from calibration.dataset.records import Box, Entry, Reading

WANTED = ("images", "annotations", "categories")


def recognises(place: Place) -> bool:
    """Whether a JSON file begins as COCO's do."""
    return bool(_files(place))


def _files(place: Place) -> list[str]:
    found = []
    for name in place.with_suffix(".json"):
        head = place.head(name).lstrip(b"\xef\xbb\xbf \t\r\n")
        keys = (b'"images"', b'"annotations"', b'"categories"', b'"licenses"', b'"info"')
        if head.startswith(b"{") and any(key in head for key in keys):
            found.append(name)
    return found


def read(place: Place) -> Reading:
    """Every image of every COCO file; crowd regions are no objects and are passed over."""
    gathering = Gathering(place)
    licences: set[str] = set()
    files = _files(place) or place.with_suffix(".json")
    if not files:
        raise wrong_schema(
            place, "the folder", expected="a COCO file (*.json)", found="no JSON file"
        )
    for name in files:
        document = json_of(place, name)
        absent = [
            key for key in WANTED if not isinstance(document, dict) or not _listed(document, key)
        ]
        if absent:
            raise wrong_schema(
                place, name, expected=f"lists {', '.join(WANTED)}", found=f"no {', '.join(absent)}"
            )
        gathering.label_file(name)
        _gather(gathering, name, document)
        given = document.get("licenses")
        for licence in given if isinstance(given, list) else []:
            if isinstance(licence, dict) and licence.get("name"):
                licences.add(str(licence["name"]))
    gathering.unlabelled()
    return gathering.reading("; ".join(sorted(licences)) or None)


def _listed(document: dict[str, Any], key: str) -> bool:
    value = document.get(key)
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _gather(gathering: Gathering, name: str, document: dict[str, Any]) -> None:
    classes = {
        key: str(row.get("name")) for key, row in _by_id(gathering, name, document, "categories")
    }
    images = dict(_by_id(gathering, name, document, "images"))
    boxes: dict[Any, list[Box]] = defaultdict(list)
    for number, row in enumerate(document["annotations"]):
        where = f"{name}, annotation {row.get('id', number)}"
        if _known(row.get("image_id"), images) is None:
            gathering.problem(where, f"names image {row.get('image_id')!r}, which is not listed")
        elif _known(row.get("category_id"), classes) is None:
            gathering.problem(where, f"names category {row.get('category_id')!r}, not listed")
        elif not row.get("iscrowd"):
            corners = gathering.numbers(row.get("bbox"), 4, where=where)
            if corners is not None:
                x, y, width, height = corners
                label = classes[row["category_id"]]
                boxes[row["image_id"]].append(boxed(label, (x, y, x + width, y + height)))
    for key, row in images.items():
        where = f"{name}, image {key}"
        file = gathering.picture(str(row.get("file_name")), label_file=name, where=where)
        if file is None:
            continue
        extra = row.get("attributes")
        metadata = {**row, **(extra if isinstance(extra, dict) else {})}
        gathering.entry(
            Entry(
                name=file,
                file=file,
                group=group_of(metadata, file),
                boxes=tuple(boxes[key]),
                conditions=gathering.conditions(metadata),
                split=split_of(name) or split_of(file),
                width_px=_size(row.get("width")),
                height_px=_size(row.get("height")),
            )
        )


def _by_id(
    gathering: Gathering, name: str, document: dict[str, Any], key: str
) -> list[tuple[int | str, dict[str, Any]]]:
    """Rows with their ids; an id that is none, or that an earlier row has, is a problem."""
    found: dict[int | str, dict[str, Any]] = {}
    for number, row in enumerate(document[key]):
        where, given = f"{name}, {key} row {number + 1}", row.get("id")
        if not isinstance(given, int | str):
            gathering.problem(where, f"has no id: {str(given)[:40]}")
        elif given in found:
            gathering.problem(where, f"has the id {given}, which an earlier row has")
        else:
            found[given] = row
    return list(found.items())


def _known(given: object, rows: dict[int | str, Any]) -> int | str | None:
    return given if isinstance(given, int | str) and given in rows else None


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
