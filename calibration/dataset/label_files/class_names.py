"""Names of classes that label files number: classes.txt, *.names, `names` in a YAML file.

In: the files of a data set. Out: class number -> name. Two files with different names for one
number are a problem.
"""

from __future__ import annotations

import posixpath
from typing import Any

import yaml

from calibration.dataset.label_files.collector import Collector, class_number

CLASSES = "classes.txt"
LARGEST_YAML = 1 << 20
"""Bytes of a YAML file that may hold names; larger ones hold something else."""


def is_names(name: str) -> bool:
    """Whether a text file is a list of names, one a line."""
    base = posixpath.basename(name).lower()
    return base == CLASSES or base.endswith(".names")


def names_of(collector: Collector) -> dict[int, str]:
    """Number -> name; empty without any. The line number is the class, empty lines included."""
    found: dict[int, str] = {}
    for name in collector.storage.files:
        if is_names(name):
            lines = collector.storage.text(name).splitlines()
            _add(collector, name, dict(enumerate(lines)), found)
    for name, document in _yamls(collector):
        names = document["names"]
        rows = dict(enumerate(names)) if isinstance(names, list) else names
        numbered: dict[int, str] = {}
        for key, value in (rows if isinstance(rows, dict) else {}).items():
            number = class_number(str(key))
            if number is not None and isinstance(value, str | int | float):
                numbered[number] = str(value)
        if not numbered or len(numbered) != len(rows):
            collector.add_problem(name, "`names` is neither a list of names nor number: name")
        _add(collector, name, numbered, found)
    return found


def keypoint_numbers(collector: Collector) -> int:
    """How many numbers of keypoints follow a box, by `kpt_shape`; 0 without it."""
    for _, document in _yamls(collector):
        shape = document.get("kpt_shape")
        if isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape):
            return int(shape[0] * shape[1])
    return 0


def _add(collector: Collector, name: str, rows: dict[int, str], found: dict[int, str]) -> None:
    collector.add_label_file(name)
    for number, given in rows.items():
        title = given.strip()
        if not title:
            continue
        before = found.setdefault(number, title)
        if before != title:
            collector.add_problem(name, f"calls class {number} '{title}', another file '{before}'")


def _yamls(collector: Collector) -> list[tuple[str, dict[str, Any]]]:
    """YAML files with `names`."""
    storage, found = collector.storage, []
    for name in storage.with_suffix(".yaml", ".yml"):
        text = storage.text(name) if storage.files[name] <= LARGEST_YAML else ""
        if "names" not in text:
            continue
        try:
            document = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            line = " ".join(str(error).split())[:120]
            collector.add_problem(name, f"is not YAML: {line}")
            continue
        if isinstance(document, dict) and "names" in document:
            found.append((name, document))
    return found
