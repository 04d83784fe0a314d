"""Pascal VOC: one XML file a picture; DAWN is written like this too. Objects that VOC calls
difficult are boxes that are ignored."""

from __future__ import annotations

import posixpath
import re
from xml.etree import ElementTree

from calibration.dataset.label_files.collector import Gathering, group_of, wrong_schema
from calibration.dataset.label_files.part_names import PART_WORDS
from calibration.dataset.records.record import Box, Entry, Reading
from calibration.dataset.storage import Storage

SEVERAL = 20
"""Files that are looked at before a folder is said to be of another format."""


def recognises(storage: Storage) -> bool:
    """Whether one of the first XML files is an annotation."""
    files = storage.with_suffix(".xml")[:SEVERAL]
    return any(re.search(r"<annotation\b", storage.head_text(name)) for name in files)


def read(storage: Storage) -> Reading:
    """Every picture; splits from ImageSets/Main/*.txt, where there are any."""
    gathering = Gathering(storage)
    files = storage.with_suffix(".xml")
    if not files:
        raise wrong_schema(
            storage, "the folder", expected="VOC annotations (*.xml)", found="no XML file"
        )
    splits = _splits(storage)
    for name in files:
        gathering.label_file(name)
        _gather(gathering, name, splits)
    gathering.unlabelled()
    return gathering.reading()


def _gather(gathering: Gathering, name: str, splits: dict[str, str]) -> None:
    try:
        root = _xml(gathering.storage.read(name))
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        gathering.problem(name, f"is not XML: {error}")
        return
    if root.tag != "annotation":
        gathering.problem(name, f"holds <{root.tag}>, not <annotation>")
        return
    stem = posixpath.splitext(posixpath.basename(name))[0]
    given = (root.findtext("filename") or "").strip() or stem
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
        fields = {child.tag: child.text for child in thing if not len(child)}
        ignored = gathering.flagged(fields, where=where)
        if found is not None:
            boxes += gathering.box(thing.findtext("name"), found, where=where, ignored=ignored)
    metadata = {child.tag: child.text or "" for child in root if not len(child)}
    said = {key: value for key, value in metadata.items() if key not in ("folder", "filename")}
    prefix = re.match(r"(foggy|haze|mist|rain|snow|sand)(?=[-_])", stem)  # DAWN's file names
    if prefix:
        said["prefix"] = prefix.group(1)
    width, height = (
        gathering.size(root.findtext(f"size/{key}"), where=name) for key in ("width", "height")
    )
    gathering.entry(
        Entry(
            name=file,
            file=file,
            group=group_of(said, file),
            boxes=tuple(boxes),
            conditions=gathering.conditions(said),
            split=splits.get(stem) or gathering.part(file),
            width_px=width,
            height_px=height,
        )
    )


def _xml(data: bytes) -> ElementTree.Element:
    """The root of a file in the encoding that it declares; expat itself knows but a few of them."""
    declared = re.match(rb"<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>", data)
    if declared is None:
        return ElementTree.fromstring(data)
    encoding = declared[1].decode()
    if encoding.lower().startswith(("utf-16", "ucs")):
        encoding = "utf-8"  # written as a string of UTF-16 and saved otherwise, or it were not read
    return ElementTree.fromstring(data[declared.end() :].decode(encoding))


def _splits(storage: Storage) -> dict[str, str]:
    """Stem of a picture -> its part."""
    found: dict[str, str] = {}
    for name in storage.with_suffix(".txt"):
        folder, file = posixpath.split(name)
        part = PART_WORDS.get(posixpath.splitext(file)[0])
        if folder.endswith("ImageSets/Main") and part:
            found.update(dict.fromkeys(storage.text(name).split(), part))
    return found
