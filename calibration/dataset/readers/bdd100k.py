"""Reads BDD100K: JSON frames with `name`, `attributes` and labels that hold `box2d`.

In: JSON files: a list of frames, Scalabel's {"frames": [...]}, or the old form of one file a
picture. Out: a `LabelReading`.
"""

from __future__ import annotations

from typing import Any

from calibration.dataset.label_files.collector import Collector, group_of, json_of, wrong_schema
from calibration.dataset.records.record import Box, Entry, LabelReading
from calibration.dataset.storage.storage import Storage


def recognises(storage: Storage) -> bool:
    """Whether a JSON file begins as BDD100K's do."""
    return bool(_files(storage))


def _files(storage: Storage) -> list[str]:
    found = []
    for name in storage.with_suffix(".json"):
        head = storage.head_text(name)
        begins = head.startswith("[") or '"frames"' in head or '"frameIndex"' in head
        if begins and '"name"' in head:
            found.append(name)
    return found


def read(storage: Storage) -> LabelReading:
    """Every frame of every file."""
    collector = Collector(storage)
    files = _files(storage) or storage.with_suffix(".json")
    if not files:
        raise wrong_schema(
            storage, "the folder", expected="a BDD100K file (*.json)", found="no JSON file"
        )
    for name in files:
        document = json_of(storage, name)
        frames = document
        if isinstance(document, dict):
            frames = [document] if "name" in document else document.get("frames")
        if not isinstance(frames, list) or not all(
            isinstance(frame, dict) and "name" in frame for frame in frames
        ):
            raise wrong_schema(
                storage,
                name,
                expected="a list of frames, each with a name, attributes and labels",
                found=type(document).__name__
                + (f" with {', '.join(list(document)[:8])}" if isinstance(document, dict) else ""),
            )
        collector.add_label_file(name)
        for frame in frames:
            _collect(collector, name, frame)
    collector.add_unlabelled()
    return collector.reading()


def _collect(collector: Collector, name: str, frame: dict[str, Any]) -> None:
    where = f"{name}, frame {frame['name']}"
    given = str(frame["name"])
    file = collector.picture(
        given if "." in given else f"{given}.jpg", label_file=name, where=where
    )
    if file is None:
        return
    boxes: list[Box] = []
    for number, label in enumerate(_labels(frame)):
        box = label.get("box2d") if isinstance(label, dict) else None
        if not isinstance(box, dict):
            continue  # lanes and drivable areas carry poly2d
        here = f"{where}, label {label.get('id', number)}"
        corners = collector.numbers(
            [box.get(key) for key in ("x1", "y1", "x2", "y2")], 4, where=here
        )
        said = label.get("attributes")
        flags = {**label, **(said if isinstance(said, dict) else {})}
        ignored = collector.is_ignored(flags, where=here)
        if corners is not None:
            boxes += collector.box(label.get("category"), corners, where=here, ignored=ignored)
    attributes = frame.get("attributes")
    collector.add_entry(
        Entry(
            name=file,
            file=file,
            group=group_of(frame, file),
            boxes=tuple(boxes),
            conditions=collector.conditions(attributes if isinstance(attributes, dict) else {}),
            split=collector.part(name, file),
        )
    )


def _labels(frame: dict[str, Any]) -> list[Any]:
    """The labels of a frame; in the old form they are the `objects` of its only frame."""
    found = frame.get("labels")
    if found is None and isinstance(frame.get("frames"), list) and frame["frames"]:
        first = frame["frames"][0]
        found = first.get("objects") if isinstance(first, dict) else None
    return found if isinstance(found, list) else []
