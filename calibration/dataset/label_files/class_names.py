"""Names of classes that are numbers in label files: classes.txt, *.names, `names` in a YAML file.

Two files that call one number by two names are a problem; nothing is guessed.
"""

from __future__ import annotations

import posixpath
from typing import Any

import yaml

from calibration.dataset.label_files.collector import Gathering, class_number

CLASSES = "classes.txt"
LARGEST_YAML = 1 << 20
"""Bytes of a YAML file that may hold names; larger ones hold something else."""


def is_names(name: str) -> bool:
    """Whether a text file is a list of names, one a line."""
    base = posixpath.basename(name).lower()
    return base == CLASSES or base.endswith(".names")


def names_of(gathering: Gathering) -> dict[int, str]:
    """Number -> name; empty without any. The line number is the class, empty lines included."""
    found: dict[int, str] = {}
    for name in gathering.storage.files:
        if is_names(name):
            lines = gathering.storage.text(name).splitlines()
            _add(gathering, name, dict(enumerate(lines)), found)
    for name, document in _yamls(gathering):
        names = document["names"]
        rows = dict(enumerate(names)) if isinstance(names, list) else names
        numbered: dict[int, str] = {}
        for key, value in (rows if isinstance(rows, dict) else {}).items():
            number = class_number(str(key))
            if number is not None and isinstance(value, str | int | float):
                numbered[number] = str(value)
        if not numbered or len(numbered) != len(rows):
            gathering.problem(name, "`names` is neither a list of names nor number: name")
        _add(gathering, name, numbered, found)
    return found


def keypoint_numbers(gathering: Gathering) -> int:
    """How many numbers of keypoints follow a box, by `kpt_shape`; 0 where it is not said."""
    for _, document in _yamls(gathering):
        shape = document.get("kpt_shape")
        if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
            return int(shape[0] * shape[1])
    return 0


def _add(gathering: Gathering, name: str, rows: dict[int, str], found: dict[int, str]) -> None:
    gathering.label_file(name)
    for number, given in rows.items():
        title = given.strip()
        if not title:
            continue
        before = found.setdefault(number, title)
        if before != title:
            gathering.problem(name, f"calls class {number} '{title}', another file '{before}'")


def _yamls(gathering: Gathering) -> list[tuple[str, dict[str, Any]]]:
    """YAML files with `names`."""
    storage, found = gathering.storage, []
    for name in storage.with_suffix(".yaml", ".yml"):
        text = storage.text(name) if storage.files[name] <= LARGEST_YAML else ""
        if "names" not in text:
            continue
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            line = " ".join(str(error).split())[:120]
            gathering.problem(name, f"is not YAML: {line}")
            continue
        if isinstance(document, dict) and "names" in document:
            found.append((name, document))
    return found
