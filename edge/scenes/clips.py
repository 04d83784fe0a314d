"""Renders a story as frames with their ground truth, and writes them as a clip and JSON.

In: a story's name, a seed, conditions. Out: `LabelledScene`s; an .mp4 file and its ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge.contract.artifact import replacing, write_json
from edge.contract.clip_truth import TRUTH_SCHEMA
from edge.perception.conditions import Conditions
from edge.perception.video.verify_written import verify_written
from edge.progress import Advance
from edge.scenes.painting.atmosphere import CLEAR_DAY, with_defaults
from edge.scenes.still import HEIGHT_PX, WIDTH_PX, LabelledScene, render
from edge.scenes.stories import FPS, STORIES
from edge.scenes.world import SCENE_LABELS, Camera
from firmware_bridge.errors import DeviceFault


def frame_count(story: str) -> int:
    """How many frames a story has."""
    return round(STORIES[story].seconds * FPS)


def clip_frame(
    story: str,
    index: int,
    *,
    seed: int = 0,
    conditions: Conditions = CLEAR_DAY,
    width_px: int = WIDTH_PX,
    height_px: int = HEIGHT_PX,
) -> LabelledScene:
    """Frame `index` of a story at FPS; `seed` fixes who is in it, colours, light and clutter.

    Time to contact is distance over closing speed, from the story's own motion.

    Raises:
        KeyError: no such story in STORIES.
    """
    row, time_s, cast = STORIES[story], index / FPS, seed * 7919
    moment = row.at(time_s, cast)
    return render(
        Camera(width_px, height_px, height_px * 0.45),
        moment.actors,
        conditions=conditions,
        closing_mps=row.closing_mps(time_s, cast),
        look_seed=seed,
        travelled_m=moment.travelled_m,
        noise_seed=index,
    )


def clip(
    story: str,
    *,
    seed: int = 0,
    conditions: Conditions = CLEAR_DAY,
    width_px: int = WIDTH_PX,
    height_px: int = HEIGHT_PX,
) -> Iterator[LabelledScene]:
    """All frames of a story. See `clip_frame`."""
    for index in range(frame_count(story)):
        yield clip_frame(
            story,
            index,
            seed=seed,
            conditions=conditions,
            width_px=width_px,
            height_px=height_px,
        )


def write_clip(
    path: Path,
    story: str,
    *,
    seed: int = 0,
    conditions: Conditions = CLEAR_DAY,
    truth: Path | None = None,
    progress: Advance = lambda _what, _done, _total: None,
) -> int:
    """Write a story as an MPEG-4 file, atomically.

    Args:
        path: the file, replaced where it exists.
        story: a key of STORIES.
        seed, conditions: as for `clip_frame`.
        truth: where to write the ground truth (brakepoint's clip truth); None: not at all.
        progress: called after each frame.

    Returns:
        The number of frames.

    Raises:
        DeviceFault: the encoder does not open or the file cannot be written.
    """
    total = frame_count(story)
    rows: list[dict[str, Any]] = []
    with replacing(path) as temporary:
        writer = cv2.VideoWriter(
            str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH_PX, HEIGHT_PX)
        )
        if not writer.isOpened():
            raise DeviceFault(
                f"cannot write the clip {path}",
                expected="a path ending in .mp4 that OpenCV's MPEG-4 encoder can open",
                found="the encoder did not open",
                remedy="choose a name ending in .mp4 in a folder that can be written",
            )
        last = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.uint8)
        for scene in clip(story, seed=seed, conditions=conditions):
            writer.write(scene.image)
            rows.append({"index": len(rows), "time_s": len(rows) / FPS, "objects": _objects(scene)})
            last = scene.image
            progress("draw", len(rows), total)
        writer.release()
        verify_written(temporary, path, total=total, last=last)
    if truth is not None:
        whole = with_defaults(conditions)
        write_json(
            truth,
            TRUTH_SCHEMA,
            {
                "clip": path.name,
                "story": story,
                "seed": seed,
                "fps": FPS,
                "width_px": WIDTH_PX,
                "height_px": HEIGHT_PX,
                "conditions": dict(whole.__dict__),
                "road_condition": scene.road_condition,
                "frames": rows,
            },
        )
    return total


def _objects(scene: LabelledScene) -> list[dict[str, Any]]:
    """The objects of a frame as plain values; time to contact is null where nothing closes in."""
    return [
        {
            "id": int(scene.ids[row]),
            "label": SCENE_LABELS[int(scene.labels[row])],
            "box": [round(float(value), 2) for value in scene.boxes[row]],
            "distance_m": round(float(scene.distance_m[row]), 4),
            "time_to_contact_s": round(time_s, 4) if math.isfinite(time_s) else None,
        }
        for row in range(len(scene.ids))
        for time_s in (float(scene.time_to_contact_s[row]),)
    ]
