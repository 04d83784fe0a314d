"""Flattens a mission to values by dotted key, for stage keys, lock files and run records.

Leaves paths out: a file's place changes nothing, and its content has a digest of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edge.contract.mission.schema import Mission


def mission_facts(mission: Mission) -> dict[str, Any]:
    """Every value of a mission by its dotted key, in types of JSON."""
    return dict(flatten(_plain(mission.model_dump(exclude={"tracking": True, "data": {"url"}}))))


def section_facts(mission: Mission, *sections: str) -> dict[str, Any]:
    """The values of some sections, such as "calibration"."""
    facts = mission_facts(mission)
    return {key: value for key, value in facts.items() if key.split(".")[0] in sections}


def flatten(values: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    """(dotted key, value) of nested mappings; lists count as values."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{before}{key}.")
        else:
            yield before + key, value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items() if not isinstance(one, Path)}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value if not isinstance(one, Path)]
    return value
