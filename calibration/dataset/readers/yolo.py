"""YOLO text: beside `images/...` a `labels/...` with one line a box: class, centre and size."""

from __future__ import annotations

import posixpath
import re

from calibration.dataset.places import Place
from calibration.dataset.readers.gathering import Gathering, boxed, split_of, wrong_schema
from calibration.dataset.records import Box, Entry, Reading

_LINE = re.compile(rb"^\s*\d+(\s+[-+0-9.eE]+){4}\s*$")
NAME_FILES = ("classes.txt", "obj.names", "classes.names")


def recognises(place: Place) -> bool:
    """Whether there are label files with boxes in the manner of YOLO."""
    return bool(place.pictures) and any(
        _LINE.match(place.head(name).split(b"\n", 1)[0]) for name in _files(place)[:20]
    )


def _files(place: Place) -> list[str]:
    """Text files in a folder `labels`, or beside a picture of the same stem."""
    stems = {posixpath.splitext(name)[0] for name in place.pictures}
    return [
        name
        for name in place.with_suffix(".txt")
        if posixpath.basename(name) not in NAME_FILES
        and ("labels" in name.split("/")[:-1] or posixpath.splitext(name)[0] in stems)
    ]


def read(place: Place) -> Reading:
    """Every picture; one with an empty label file holds no object."""
    gathering = Gathering(place)
    files = _files(place)
    if not files:
        raise wrong_schema(
            place,
            "the folder",
            expected="label files (labels/NAME.txt for images/NAME.jpg, or beside the picture)",
            found=f"{len(place.with_suffix('.txt'))} other text files",
        )
    classes = _classes(place, gathering)
    by_stem = {posixpath.splitext(name)[0]: name for name in place.pictures}
    for name in files:
        gathering.label_file(name)
        stem = posixpath.splitext(name)[0]
        as_image = "/".join("images" if part == "labels" else part for part in stem.split("/"))
        file = by_stem.get(as_image) or by_stem.get(stem)
        if file is None:
            gathering.problem(name, f"no picture {as_image}.* belongs to it")
            continue
        gathering.entry(
            Entry(
                name=file,
                file=file,
                group=file,
                boxes=tuple(_boxes(gathering, name, classes)),
                boxes_are_shares=True,
                split=split_of(file),
            )
        )
    gathering.unlabelled()
    return gathering.reading()


def _boxes(gathering: Gathering, name: str, classes: dict[int, str]) -> list[Box]:
    boxes = []
    for line, text in enumerate(gathering.place.text(name).splitlines(), start=1):
        if not text.strip():
            continue
        where, words = f"{name}, line {line}", text.split()
        found = gathering.numbers(words[1:5], 4, where=where)
        if not words[0].isdecimal() or len(words) > 6:
            gathering.problem(where, f"'{text[:60]}' is no class number with four shares")
        elif found is not None:
            x, y, width, height = found
            label = classes.get(int(words[0]), words[0])
            corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            boxes.append(boxed(label, corners))
    return boxes


def _classes(place: Place, gathering: Gathering) -> dict[int, str]:
    """Number -> name, from a list of names or the `names` of a YAML file; empty without any."""
    for name in place.files:
        if posixpath.basename(name) in NAME_FILES:
            gathering.label_file(name)
            lines = [line.strip() for line in place.text(name).splitlines()]
            return dict(enumerate(line for line in lines if line))
    for name in place.with_suffix(".yaml", ".yml"):
        if found := _yaml_names(place.text(name)):
            gathering.label_file(name)
            return found
    return {}


def _yaml_names(text: str) -> dict[int, str]:
    """`names` of a data.yaml in the three ways it is written: [a, b], a list, or 0: a."""
    begin = re.search(r"^names\s*:[ \t]*(.*)$", text, re.M)
    if begin is None:
        return {}
    flow = re.match(r"\[(.*?)\]", text[begin.start(1) :], re.S)
    if flow:
        return dict(enumerate(_bare(word) for word in flow.group(1).split(",") if word.strip()))
    found: dict[int, str] = {}
    for line in text[begin.end() + 1 :].splitlines():
        item = re.match(r"^\s*-\s+(.+)$", line)
        pair = re.match(r"^\s+(\d+)\s*:\s*(.+)$", line)
        if item:
            found[len(found)] = _bare(item.group(1))
        elif pair:
            found[int(pair.group(1))] = _bare(pair.group(2))
        elif line.strip() and not line.lstrip().startswith("#"):
            break
    return found


def _bare(word: str) -> str:
    return word.split(" #", maxsplit=1)[0].strip().strip("'\"")
