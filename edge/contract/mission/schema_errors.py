"""Turns pydantic's validation errors into mistakes: the key as in the file, and a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from edge.contract.mission.checks.cross_checks import cross_mistakes
from edge.contract.mission.raw_values import Mistake
from edge.contract.mission.schema import Mission


def mistakes_of(error: ValidationError, raw: dict[str, Any]) -> list[Mistake]:
    """Every mistake that the schema and the rules across keys find in a mission."""
    found: list[Mistake] = []
    for item in error.errors():
        if not item["loc"]:
            continue  # the summary of the cross checks, which are listed one by one below
        found.append((_key(item, raw), _sentence(item, raw)))
    return found + cross_mistakes(raw)


def _key(item: Any, raw: dict[str, Any]) -> str:
    """The dotted key in the file to which a mistake belongs. Where a key accepts several kinds of
    value, pydantic's location also names the kind, which is not a key."""
    key, value, last = "", raw, len(item["loc"]) - 1
    for row, part in enumerate(item["loc"]):
        if isinstance(part, int):
            key += f"[{part}]"
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else {}
        elif isinstance(value, Mapping) and part in value:
            key += f".{part}"
            value = value[part]
        elif row == last and item["type"] == "missing":
            key += f".{part}"
    return key.lstrip(".")


def _sentence(item: Any, raw: dict[str, Any]) -> str:
    if item["type"] == "missing":
        return "missing"
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(item["loc"][-1]), _known_keys(item["loc"]), n=1)
        return "unknown key" + (f": did you mean '{near[0]}'?" if near else "")
    said = item["msg"].removeprefix("Value error, ")
    try:
        found = repr(item["input"])
    except ValueError:  # Python prints no integer of more than 4,300 digits
        found = "a number of thousands of digits"
    found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
    return f"{said[0].lower()}{said[1:]}, found {found}"


_SHOWN = 120
"""A message shows at most so many characters of a value."""


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Names of the section that holds `location`, found by walking the schema."""
    model: Any = Mission
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        model = next(
            (a for a in candidates if isinstance(a, type) and issubclass(a, BaseModel)), None
        )
        if model is None:
            return []
    return list(model.model_fields)
