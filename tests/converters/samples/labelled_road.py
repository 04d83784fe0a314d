"""A road of red and blue cells with its truth, as a data set that a reader knows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tiny_mission import CELL, SIDE

FRAMES = 12


def write_labelled_road(folder: Path, *, strange: bool = False) -> Path:
    """Pictures with a red and a blue cell each, three a drive, rain in every second drive.

    `strange` adds a box of a kind that the model has no label for.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(3)
    rows = ["file,drive,weather,label,xmin,ymin,xmax,ymax"]
    for number in range(FRAMES):
        image = random.integers(60, 120, (SIDE, SIDE, 3), dtype=np.uint8)
        red, blue = random.choice(16, 2, replace=False)
        drive = number // 3
        said = f"{number:03}.png,{drive},{'rainy' if drive % 2 else 'sunny'}"
        for cell, label, colour in ((red, "person", (0, 0, 255)), (blue, "vehicle", (255, 0, 0))):
            y, x = CELL * (cell // 4), CELL * (cell % 4)
            image[y : y + CELL, x : x + CELL] = colour
            rows.append(f"{said},{label},{x},{y},{x + CELL},{y + CELL}")
        if strange and number == 0:
            rows.append(f"{said},hovercraft,1,1,9,9")
        assert cv2.imwrite(str(folder / f"{number:03}.png"), image)
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder
