"""Reads the ground truth of a clip, frame by frame, as `brakepoint scenes --truth` writes it.

A JSON file goes in; `TrueFrame` values come out. A person may write the file for another clip: only
`frames` are read, each with `time_s` and `objects` of `label` and `box`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.contract.json_text import parse_json
from firmware_bridge.errors import Missing, NotTrusted

TRUTH_SCHEMA = "brakepoint.scene_truth/1"
_MOST_FRAMES = 1_000_000


@dataclass(frozen=True)
class TrueObject:
    """One object: its label in words, and its box x1 y1 x2 y2 in pixels of the frame."""

    label: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class TrueFrame:
    """The objects in the frame that is shown `time_s` seconds into the clip."""

    time_s: float
    objects: tuple[TrueObject, ...]


def read_truth(path: Path) -> tuple[TrueFrame, ...]:
    """The frames of a truth file, in the order of the clip.

    Raises:
        Missing: there is no such file.
        NotTrusted: it is no such file, or a value in it is impossible.
    """
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Missing(
            f"cannot read the truth of a clip: {path}",
            expected="a file that `brakepoint scenes CLIP --truth FILE` writes",
            found=error.strerror or str(error),
            remedy="name the file, or make the clip and its truth again",
        ) from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _not_a_truth(path, f"no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != TRUTH_SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise _not_a_truth(path, f"schema {found!r}")
    rows = document.get("frames")
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_FRAMES:
        raise _not_a_truth(path, "no list of frames")
    frames = tuple(_frame(path, index, row) for index, row in enumerate(rows))
    times = [frame.time_s for frame in frames]
    if any(after <= before for before, after in itertools.pairwise(times)):
        raise _not_a_truth(path, "frames whose time_s does not ascend")
    return frames


def _frame(path: Path, index: int, row: Any) -> TrueFrame:
    where = f"frame {index}"
    objects = row.get("objects") if isinstance(row, Mapping) else None
    if not isinstance(objects, list):
        raise _not_a_truth(path, f"{where} has no list of objects")
    time_s = _number(row.get("time_s"))
    if time_s is None or time_s < 0.0:
        raise _not_a_truth(path, f"{where}: time_s {row.get('time_s')!r}")
    return TrueFrame(time_s, tuple(_object(path, where, one) for one in objects))


def _object(path: Path, where: str, row: Any) -> TrueObject:
    label = row.get("label") if isinstance(row, Mapping) else None
    box = row.get("box") if isinstance(row, Mapping) else None
    numbers = [_number(value) for value in box] if isinstance(box, list) else []
    sides = [value for value in numbers if value is not None]
    if not isinstance(label, str) or len(numbers) != 4 or len(sides) != 4:
        raise _not_a_truth(path, f"{where}: an object without a label and a box of four numbers")
    x1, y1, x2, y2 = sides
    if x2 <= x1 or y2 <= y1:
        raise _not_a_truth(path, f"{where}: box {box} is inside out (x1 y1 x2 y2)")
    return TrueObject(label, (x1, y1, x2, y2))


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _not_a_truth(path: Path, found: str) -> NotTrusted:
    return NotTrusted(
        f"{path} does not tell what is in a clip",
        expected=f"{TRUTH_SCHEMA}: frames with time_s, ascending, and objects with label and box",
        found=found,
        remedy="make it with `brakepoint scenes CLIP --truth FILE`, or correct it (docs/report.md)",
    )
