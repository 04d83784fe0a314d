"""Parses COCO's `segmentation`: polygons, or run lengths as numbers or as text.

In: the value of the field. Out: `Polygons` or `Runs`, or why it is neither. Whether they fit their
picture is checked when they are drawn.
"""

from __future__ import annotations

import math
from typing import Any

from calibration.dataset.records.outlines import LEAST_POINTS, Polygons, Runs

DIGITS = 7
"""At most so many letters in one number: each has 5 bits, and a picture up to 2^26 pixels."""


def segment_of(given: Any) -> Polygons | Runs | str:
    """The outline, or why the field gives none."""
    if isinstance(given, dict):
        return _runs(given)
    if given in (None, []):
        return "has a box and no segmentation"
    rings = given if isinstance(given, list) else []
    if not rings or not all(isinstance(ring, list) and _numbers(ring) for ring in rings):
        return f"has a segmentation that is none: {str(given)[:60]}"
    if short := [ring for ring in rings if len(ring) < 2 * LEAST_POINTS or len(ring) % 2]:
        return f"has a polygon of {len(short[0])} numbers: 3 points (6 numbers) or more, x and y"
    return Polygons(tuple(tuple(float(one) for one in ring) for ring in rings))


def _numbers(values: list[Any]) -> bool:
    try:
        return all(type(one) in (int, float) and math.isfinite(one) for one in values)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _runs(given: dict[str, Any]) -> Runs | str:
    counts = given.get("counts")
    numbers = counts_of(counts) if isinstance(counts, str) else _whole(counts)
    size = _whole(given.get("size"))
    if numbers is None or size is None or len(size) != 2:
        return "has run lengths that are none: `size` [height, width] and `counts`"
    return Runs(tuple(numbers), width_px=size[1], height_px=size[0])


def _whole(values: Any) -> list[int] | None:
    """The values, if all are whole numbers of pixels; else None."""
    if not isinstance(values, list) or not all(type(one) is int and one >= 0 for one in values):
        return None
    return values


def counts_of(text: str) -> list[int] | None:
    """The run lengths in COCO's compressed text; None where the text is not in this format.

    Each letter holds 5 bits of a number, the lowest first, and a sixth that says that more follow;
    the highest bit is the sign. From the fourth number on, a number is the difference to the last
    but one. Source: the format of pycocotools, which does not notice a negative run as this does.
    """
    counts: list[int] = []
    value = place = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or place >= DIGITS:
            return None
        value |= (bits & 31) << 5 * place
        place += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << 5 * place
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        if counts[-1] < 0:
            return None
        value = place = 0
    return None if place else counts
