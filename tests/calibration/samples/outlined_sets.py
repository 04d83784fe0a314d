"""Data sets whose objects have outlines, for tests: each function fills a folder and returns it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_sets import put

WIDE, HIGH = 64, 48
"""Pixels of every picture that `put` writes."""


def yolo(root: Path, *lines: str, names: str = "names: [car, person, ignore]\n") -> Path:
    """One picture with these lines of points in pixels: class x y x y ..."""
    put(root / "images" / "1.png", 1)
    (root / "labels").mkdir()
    (root / "labels" / "1.txt").write_text("\n".join(map(shares, lines)) + "\n")
    (root / "data.yaml").write_text(names)
    return root


def shares(line: str) -> str:
    """A line of YOLO with shares for pixels."""
    number, *points = line.split()
    sides = (WIDE, HIGH)
    said = [f"{float(one) / sides[row % 2]:.9f}" for row, one in enumerate(points)]
    return " ".join([number, *said])


def labelme(root: Path, shapes: Sequence[dict[str, Any]]) -> Path:
    """One picture with these shapes."""
    put(root / "1.png", 1)
    document = {
        "shapes": list(shapes),
        "imagePath": "1.png",
        "imageHeight": HIGH,
        "imageWidth": WIDE,
    }
    (root / "1.json").write_text(json.dumps(document))
    return root


def shape(label: str, *points: float, kind: str = "polygon", **more: Any) -> dict[str, Any]:
    """A shape of labelme from x y x y ..."""
    pairs = [list(points[row : row + 2]) for row in range(0, len(points), 2)]
    return {"label": label, "points": pairs, "shape_type": kind, **more}


def coco(root: Path, segments: Sequence[dict[str, Any]]) -> Path:
    """One picture with these annotations of category 1 (car) unless they say otherwise."""
    put(root / "val2017" / "1.png", 1)
    rows = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], **row}
        for number, row in enumerate(segments, start=1)
    ]
    document = {
        "images": [{"id": 1, "file_name": "1.png", "width": WIDE, "height": HIGH}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    return root
