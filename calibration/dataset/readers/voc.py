"""Reads Pascal VOC, one XML file a picture; DAWN has the same format.

In: XML files. Out: a `LabelReading`; difficult objects become ignored boxes.
"""

from __future__ import annotations

import posixpath
import re
from xml.etree import ElementTree

from calibration.dataset.label_files.collector import Collector, group_of, wrong_schema
from calibration.dataset.label_files.part_names import PART_WORDS
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage

SEVERAL = 20
"""Files that are tried before a folder counts as another format."""


def recognises(storage: Storage) -> bool:
    """Whether one of the first XML files is an annotation."""
    files = storage.with_suffix(".xml")[:SEVERAL]
    return any(re.search(r"<annotation\b", storage.head_text(name)) for name in files)


def read(storage: Storage) -> LabelReading:
    """Every picture; splits from ImageSets/Main/*.txt, where there are any."""
    collector = Collector(storage)
    files = storage.with_suffix(".xml")
    if not files:
        raise wrong_schema(
            storage, "the folder", expected="VOC annotations (*.xml)", found="no XML file"
        )
    splits = _splits(storage)
    for name in files:
        collector.add_label_file(name)
        _collect(collector, name, splits)
    collector.add_unlabelled()
    return collector.reading()


def _collect(collector: Collector, name: str, splits: dict[str, str]) -> None:
    try:
        root = _xml(collector.storage.read(name))
    except (ElementTree.ParseError, UnicodeDecodeError, LookupError) as error:
        collector.add_problem(name, f"is not XML: {error}")
        return
    if root.tag != "annotation":
        collector.add_problem(name, f"holds <{root.tag}>, not <annotation>")
        return
    stem = posixpath.splitext(posixpath.basename(name))[0]
    given = (root.findtext("filename") or "").strip() or stem
    file = collector.picture(given, label_file=name, where=name)
    if file is None:
        return
    boxes: list[Box] = []
    for number, thing in enumerate(root.findall("object"), start=1):
        where = f"{name}, object {number}"
        corners = [
            thing.findtext(f"bndbox/{key}", "").strip() for key in ("xmin", "ymin", "xmax", "ymax")
        ]
        found = collector.numbers(corners, 4, where=where)
        fields = {child.tag: child.text for child in thing if not len(child)}
        ignored = collector.is_ignored(fields, where=where)
        if found is not None:
            boxes += collector.box(thing.findtext("name"), found, where=where, ignored=ignored)
    metadata = {child.tag: child.text or "" for child in root if not len(child)}
    said = {key: value for key, value in metadata.items() if key not in ("folder", "filename")}
    prefix = re.match(r"(foggy|haze|mist|rain|snow|sand)(?=[-_])", stem)  # DAWN's file names
    if prefix:
        said["prefix"] = prefix.group(1)
    width, height = (
        collector.size(root.findtext(f"size/{key}"), where=name) for key in ("width", "height")
    )
    collector.add_entry(
        Entry(
            name=file,
            file=file,
            group=group_of(said, file),
            boxes=tuple(boxes),
            conditions=collector.conditions(said),
            split=splits.get(stem) or collector.part(file),
            width_px=width,
            height_px=height,
        )
    )


def _xml(data: bytes) -> ElementTree.Element:
    """The root element, decoded as the file declares; expat itself knows few encodings."""
    declared = re.match(rb"<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>", data)
    if declared is None:
        return ElementTree.fromstring(data)
    encoding = declared[1].decode()
    if encoding.lower().startswith(("utf-16", "ucs")):
        encoding = "utf-8"  # the declaration reads as ASCII, so it is not UTF-16
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
