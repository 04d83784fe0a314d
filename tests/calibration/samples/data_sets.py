"""Small data sets in every format, for tests: each function fills a folder and returns it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge.perception.values import BgrImage


def picture(seed: int, *, width_px: int = 64, height_px: int = 48) -> BgrImage:
    """A smooth random picture: no noise, not constant, another for every seed."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(
        cv2.resize(coarse, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.uint8
    )


def put(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture(seed))


def folder(root: Path) -> Path:
    rows = ["file,drive,weather,rain,dawn_dusk,label"]
    for number in range(6):
        put(root / "images" / f"{number}.png", number)
        rows.append(f"{number}.png,{number // 2},sunny,{number % 2},0,{'ab'[number % 2]}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def coco(root: Path) -> Path:
    for number in range(4):
        put(root / "val2017" / f"{number:012d}.jpg", number)
    document = {
        "info": {"year": 2017},
        "licenses": [{"id": 1, "name": "CC BY 4.0"}],
        "images": [
            {
                "id": number,
                "file_name": f"{number:012d}.jpg",
                "width": 64,
                "height": 48,
                "weather": "foggy",
                "video_id": number // 2,
            }
            for number in range(4)
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 3, "bbox": [2, 3, 20, 10], "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [1, 1, 8, 20], "iscrowd": 0},
            {"id": 3, "image_id": 1, "category_id": 1, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        ],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    return root


def voc(root: Path) -> Path:
    (root / "Annotations").mkdir()
    for number in range(3):
        put(root / "JPEGImages" / f"haze-{number:03d}.jpg", number)
        (root / "Annotations" / f"haze-{number:03d}.xml").write_text(
            f"<annotation><folder>x</folder><filename>haze-{number:03d}.jpg</filename>"
            "<size><width>64</width><height>48</height><depth>3</depth></size>"
            "<object><name>car</name><bndbox><xmin>2</xmin><ymin>3</ymin>"
            "<xmax>22</xmax><ymax>13</ymax></bndbox></object></annotation>"
        )
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("haze-000\nhaze-001\n")
    (root / "ImageSets" / "Main" / "val.txt").write_text("haze-002\n")
    return root


def bdd100k(root: Path) -> Path:
    frames = []
    for number in range(4):
        put(root / "images" / "100k" / "train" / f"b{number}.jpg", number)
        frames.append(
            {
                "name": f"b{number}.jpg",
                "videoName": f"drive{number // 2}",
                "attributes": {
                    "weather": "rainy",
                    "scene": "highway",
                    "timeofday": "night" if number else "undefined",
                },
                "labels": [
                    {"id": 0, "category": "car", "box2d": {"x1": 2, "y1": 3, "x2": 22, "y2": 13}},
                    {"id": 1, "category": "lane", "poly2d": [[0, 0, "L"]]},
                ],
            }
        )
    (root / "labels").mkdir()
    (root / "labels" / "det_train.json").write_text(json.dumps(frames))
    return root


def gtsrb(root: Path) -> Path:
    for label in (0, 14):
        rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
        part = root / "Final_Training" / "Images" / f"{label:05d}"
        for track in range(2):
            for frame in range(2):
                put(part / f"{track:05d}_{frame:05d}.ppm", label * 10 + track * 2 + frame)
                rows.append(f"{track:05d}_{frame:05d}.ppm;64;48;5;5;58;43;{label}")
        (part / f"GT-{label:05d}.csv").write_text("\n".join(rows) + "\n")
    return root


def yolo(root: Path) -> Path:
    for number in range(4):
        part = "train" if number < 3 else "val"
        put(root / "images" / part / f"{number}.jpg", number)
        text = "" if number == 2 else "1 0.5 0.5 0.25 0.5\n0 0.25 0.25 0.1 0.1\n"
        (root / "labels" / part).mkdir(parents=True, exist_ok=True)
        (root / "labels" / part / f"{number}.txt").write_text(text)
    (root / "data.yaml").write_text("nc: 3\nnames:\n  0: person\n  1: 'car'  # any\n  2: bus\n")
    return root


def kitti(root: Path) -> Path:
    rest = "0.00 0 -1.58 {} 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
    for number in range(3):
        put(root / "training" / "image_2" / f"{number:06d}.png", number)
        lines = [
            "Car " + rest.format("2 3 22 13"),
            "Person_sitting " + rest.format("30 10 36 20"),
            "DontCare -1 -1 -10 40 5 60 15 -1 -1 -1 -1000 -1000 -1000 -10",
        ]
        path = root / "training" / "label_2" / f"{number:06d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines[: 3 * (number != 1)]) + "\n")
    return root


def labelme(root: Path) -> Path:
    for number in range(3):
        put(root / f"{number}.png", number)
        shapes = [
            {"label": "car", "points": [[22, 13], [2, 3]], "shape_type": "rectangle", "flags": {}},
            {"label": "person", "points": [[30, 10], [36, 12], [33, 20]], "shape_type": "polygon"},
            {"label": "lane", "points": [[0, 40], [60, 40]], "shape_type": "line"},
            {
                "label": "person",
                "points": [[50, 10], [52, 10]],
                "shape_type": "circle",
                "flags": {"crowd": True},
            },
        ]
        document = {
            "version": "5.4.1",
            "flags": {"fog": number == 2},
            "shapes": shapes,
            "imagePath": f"..\\pictures\\{number}.png",
            "imageData": None,
            "imageHeight": 48,
            "imageWidth": 64,
        }
        (root / f"{number}.json").write_text(json.dumps(document))
    return root


def openimages(root: Path) -> Path:
    columns = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsGroupOf"
    rows = [columns]
    for number in range(3):
        put(root / "validation" / f"00{number}a.jpg", number)
        rows.append(f"00{number}a,xclick,/m/0k4j,1,0.25,0.5,0.125,0.5,0,0")
        rows.append(f"00{number}a,xclick,/m/01g317,1,0.5,1,0.5,1,-1,1")
    (root / "validation-annotations-bbox.csv").write_text("\n".join(rows) + "\n")
    (root / "class-descriptions-boxable.csv").write_text("/m/0k4j,Car\n/m/01g317,Person\n")
    (root / "labels.csv").write_text("ImageID,Source,LabelName,Confidence\n000a,x,/m/0k4j,1\n")
    return root


def npz(root: Path) -> Path:
    images = np.stack([picture(seed, width_px=32, height_px=32) for seed in range(8)])
    for part, rows in (("train", slice(0, 6)), ("val", slice(6, 8))):
        np.savez_compressed(
            root / f"{part}.npz",
            images=images[rows],
            labels=np.array([0, 0, 0, 1, 1, 1, 0, 1])[rows],
            tracks=np.array([0, 0, 1, 0, 0, 1, 7, 8])[rows],
        )
    (root / "class_names.csv").write_text("ClassId,name\n0,stop\n1,yield\n")
    return root


def video(root: Path) -> Path:
    writer = cv2.VideoWriter(
        str(root / "drive.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48)
    )
    for seed in range(30):
        writer.write(picture(seed))
    writer.release()
    return root


def masks(root: Path) -> Path:
    for number in range(3):
        put(root / "images" / "train" / f"{number}.png", number)
        put_mask(root / "masks" / "train" / f"{number}.png", [0, 1, 255])
    (root / "class_names.csv").write_text("id,name\n0,road\n1,sky\n")
    return root


def put_mask(path: Path, ids: list[int], *, width_px: int = 64, height_px: int = 48) -> None:
    """A grey PNG with these ids in stripes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(ids, np.uint8)[np.arange(width_px) * len(ids) // width_px]
    assert cv2.imwrite(str(path), np.tile(stripes, (height_px, 1)))


MAKERS: dict[str, Callable[[Path], Path]] = {
    "folder": folder,
    "coco": coco,
    "voc": voc,
    "bdd100k": bdd100k,
    "gtsrb": gtsrb,
    "kitti": kitti,
    "labelme": labelme,
    "openimages": openimages,
    "yolo": yolo,
    "masks": masks,
    "npz": npz,
    "video": video,
}
