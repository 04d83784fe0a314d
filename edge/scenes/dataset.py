"""Writes generated stills as a data set: pictures, COCO annotations, and a table of conditions.

In: a folder, a count, a seed. Out: the folder, whole or not at all. Never touches a folder with
anything else in it.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import cv2

from edge.contract.artifact import replacing_folder
from edge.contract.json_text import parse_json
from edge.perception.conditions import Conditions
from edge.progress import Advance
from edge.scenes.still import DATA_SET, HEIGHT_PX, WIDTH_PX, LabelledScene, seed_of, still
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import UsageError

SCHEMA = "brakepoint.scenes/1"
ANNOTATIONS, TABLE, IMAGES = "annotations.json", "labels.csv", "images"
COLUMNS = ("file", "weather", "light", "road", "road_condition", "group")
ROOM = 100_000
"""Most stills of one seed: a thousand seeds fill the range of this purpose."""
FORMATS = ("png", "jpg")


def write_dataset(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    suffix: str = "png",
    progress: Advance = lambda _what, _done, _total: None,
) -> dict[str, int]:
    """Write `count` stills; returns how many objects of each label they hold.

    `images/` with the pictures, `annotations.json` in COCO's form (distance with each annotation,
    conditions with each image), `labels.csv` with COLUMNS; pictures of a group belong to one part
    of any split.

    Raises:
        UsageError: the folder holds something that is not such a data set.
    """
    pictures: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    with replacing_folder(folder, require=_refuse_foreign) as staging:
        (staging / IMAGES).mkdir()
        for number in range(count):
            scene_seed = seed_of(DATA_SET, seed % 1000 * ROOM + number)
            scene = still(scene_seed, conditions=conditions)
            name = f"{IMAGES}/{number:06d}.{suffix}"
            _, data = cv2.imencode(f".{suffix}", scene.image)
            (staging / name).write_bytes(data.tobytes())
            pictures.append(_picture(scene, number=number, name=name, seed=scene_seed))
            objects += _annotations(scene, image_id=number + 1, first_id=len(objects) + 1)
            progress("draw", number + 1, count)
        document = {
            "info": {"description": "generated road scenes", "schema": SCHEMA, "seed": seed},
            "images": pictures,
            "annotations": objects,
            "categories": [
                {"id": row, "name": name, "supercategory": "road"}
                for row, name in enumerate(SCENE_LABELS, start=1)
            ],
        }
        text = json.dumps(document, indent=1, allow_nan=False)
        (staging / ANNOTATIONS).write_text(text + "\n", encoding="utf-8")
        (staging / TABLE).write_text(_table(pictures), encoding="utf-8")
    named = [SCENE_LABELS[row["category_id"] - 1] for row in objects]
    return {label: named.count(label) for label in SCENE_LABELS}


def _picture(scene: LabelledScene, *, number: int, name: str, seed: int) -> dict[str, Any]:
    conditions = scene.conditions
    return {
        "id": number + 1,
        "file_name": name,
        "width": WIDTH_PX,
        "height": HEIGHT_PX,
        "weather": conditions.weather,
        "light": conditions.light,
        "road": conditions.road,
        "road_condition": scene.road_condition,
        "group": f"scene-{seed}",
    }


def _annotations(scene: LabelledScene, *, image_id: int, first_id: int) -> list[dict[str, Any]]:
    rows = []
    for row, (x1, y1, x2, y2) in enumerate(scene.boxes.astype(float).tolist()):
        rows.append(
            {
                "id": first_id + row,
                "image_id": image_id,
                "category_id": int(scene.labels[row]) + 1,
                "bbox": [round(value, 2) for value in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": 0,
                "distance_m": round(float(scene.distance_m[row]), 3),
            }
        )
    return rows


def _table(pictures: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for picture in pictures:
        writer.writerow([picture["file_name"], *(picture[column] for column in COLUMNS[1:])])
    return stream.getvalue()


def _refuse_foreign(folder: Path) -> None:
    """Raises UsageError unless `folder` is absent, empty, or a data set written here."""
    if not folder.exists() and not folder.is_symlink():
        return
    found = "a file"
    if folder.is_dir() and not folder.is_symlink():
        inside = sorted(path.name for path in folder.iterdir())
        if not inside or _ours(folder, inside):
            return
        found = f"{len(inside)} entries such as {inside[0]}"
    raise UsageError(
        f"{folder} is not a folder for generated scenes",
        expected="a new or empty folder, or generated scenes to replace",
        found=found,
        remedy="choose another folder",
    )


def _ours(folder: Path, inside: list[str]) -> bool:
    if set(inside) != {ANNOTATIONS, TABLE, IMAGES}:
        return False
    try:
        info = parse_json((folder / ANNOTATIONS).read_text(encoding="utf-8"))["info"]
        return bool(info["schema"] == SCHEMA)
    except (OSError, ValueError, KeyError, TypeError):
        return False
