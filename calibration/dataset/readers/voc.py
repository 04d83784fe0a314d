"""Pascal VOC: one XML file a picture; DAWN is written like this too."""

from __future__ import annotations

import posixpath
import re
from xml.etree import ElementTree

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import (
    SPLIT_WORDS,
    Gathering,
    boxed,
    group_of,
    split_of,
    wrong_schema,
)
from calibration.dataset.records import Box, Entry, Reading


def recognises(place: Place) -> bool:
    """Whether the first XML file is an annotation."""
    files = place.with_suffix(".xml")
    return bool(files) and b"<annotation" in place.head(files[0])


def read(place: Place) -> Reading:
    """Every picture; splits from ImageSets/Main/*.txt, where there are any."""
    gathering = Gathering(place)
    files = place.with_suffix(".xml")
    if not files:
        raise wrong_schema(
            place, "the folder", expected="VOC annotations (*.xml)", found="no XML file"
        )
    splits = _splits(place)
    for name in files:
        gathering.label_file(name)
        _gather(gathering, name, splits)
    gathering.unlabelled()
    return gathering.reading()


def _gather(gathering: Gathering, name: str, splits: dict[str, str]) -> None:
    try:
        root = ElementTree.fromstring(gathering.place.read(name))
    except ElementTree.ParseError as error:
        gathering.problem(name, f"is not XML: {error}")
        return
    if root.tag != "annotation":
        gathering.problem(name, f"holds <{root.tag}>, not <annotation>")
        return
    stem = posixpath.splitext(posixpath.basename(name))[0]
    given = (root.findtext("filename") or "").strip() or f"{stem}.jpg"
    file = gathering.picture(given, label_file=name, where=name)
    if file is None:
        return
    boxes: list[Box] = []
    for number, thing in enumerate(root.findall("object"), start=1):
        where = f"{name}, object {number}"
        corners = [
            thing.findtext(f"bndbox/{key}", "").strip() for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        found = gathering.numbers(corners, 4, where=where)
        label = (thing.findtext("name") or "").strip()
        if not label:
            gathering.problem(where, "has no name")
        elif found is not None:
            boxes.append(boxed(label, found))
    metadata = {child.tag: child.text or "" for child in root if not len(child)}
    said = {key: value for key, value in metadata.items() if key not in ("folder", "filename")}
    prefix = re.match(r"(foggy|haze|mist|rain|snow|sand)(?=[-_])", stem)  # DAWN's file names
    if prefix:
        said["prefix"] = prefix.group(1)
    width, height = (_size(root.findtext(f"size/{key}")) for key in ("width", "height"))
    gathering.entry(
        Entry(
            name=file,
            file=file,
            group=group_of(said, file),
            boxes=tuple(boxes),
            conditions=gathering.conditions(said),
            split=splits.get(stem) or split_of(file),
            width_px=width,
            height_px=height,
        )
    )


def _size(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() and int(text) > 0 else None


def _splits(place: Place) -> dict[str, str]:
    """Stem of a picture -> its part."""
    found: dict[str, str] = {}
    for name in place.with_suffix(".txt"):
        folder, file = posixpath.split(name)
        part = SPLIT_WORDS.get(posixpath.splitext(file)[0])
        if folder.endswith("ImageSets/Main") and part:
            found.update(dict.fromkeys(place.text(name).split(), part))
    return found
