"""Reads values from a mission given as plain dictionaries, before validation by its schema.

A missing value or one of the wrong type reads as None or empty. Never raises.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

Raw = Mapping[str, Any]
Mistake = tuple[str, str]
"""Dotted key, and what is wrong there."""


def section(raw: Raw, *keys: str) -> Raw:
    """The section at these keys, or an empty one."""
    for key in keys:
        value = raw.get(key)
        if not isinstance(value, Mapping):
            return {}
        raw = value
    return raw


def number(value: object) -> float | None:
    """A finite number, or None for anything else; True and False are none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        given = float(value)
    except OverflowError:
        return None
    return given if math.isfinite(given) else None


def rows(value: object) -> list[Any]:
    """The rows of an array, or none."""
    return list(value) if isinstance(value, list | tuple) else []


def twice(values: list[Any]) -> list[str]:
    """The values that occur more than once in a list, as text, sorted."""
    return sorted(text for text, count in Counter(map(str, values)).items() if count > 1)


def classifies(raw: Raw) -> bool:
    """Whether the mission's network is a classifier."""
    return section(raw, "model", "decode").get("kind") == "classify"


def segments(raw: Raw) -> bool:
    """Whether the mission's network is a segmentation network."""
    return section(raw, "model", "decode").get("kind") == "segment"
