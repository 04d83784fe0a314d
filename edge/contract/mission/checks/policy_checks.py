"""Rules of the mission's `[policy]` that span several keys; each yields every broken place.

They belong to the table in `cross_checks.py`, read plain dictionaries and never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edge.contract.mission.raw_values import (
    Mistake,
    Raw,
    classifies,
    number,
    rows,
    section,
    segments,
)
from edge.contract.mission.zone_shapes import MOST_CORNERS, shape_mistake
from firmware_bridge.protocol.messages import Action

STOPS = (Action.COMFORT_STOP, Action.EMERGENCY_STOP)
"""Actions that end at standstill and are latched until released."""


def _rules(raw: Raw) -> Iterator[tuple[int, Raw]]:
    for row, rule in enumerate(rows(section(raw, "policy").get("rules"))):
        if isinstance(rule, Mapping):
            yield row, rule


def _rules_are_distinct(raw: Raw) -> Iterator[Mistake]:
    names: set[str] = set()
    for row, rule in _rules(raw):
        name = rule.get("name")
        if isinstance(name, str) and name.strip() in names:
            yield f"policy.rules[{row}].name", f"'{name}' is already the name of another rule"
        elif isinstance(name, str):
            names.add(name.strip())


def _zones_enclose_an_area(raw: Raw) -> Iterator[Mistake]:
    for name, corners in _zones(raw):
        if (mistake := shape_mistake(corners)) is not None:
            yield f"policy.zones.{name}", mistake


def _zones(raw: Raw) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Zones whose corners are all points of the frame; the schema reports the others."""
    for name, given in section(raw, "policy", "zones").items():
        corners = [tuple(number(value) for value in rows(corner)) for corner in rows(given)]
        points = [
            (x, y)
            for x, y in (corner for corner in corners if len(corner) == 2)
            if x is not None and y is not None and 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0
        ]
        if MOST_CORNERS >= len(points) == len(corners) >= 3:
            yield str(name), points


def _rules_can_match(raw: Raw) -> Iterator[Mistake]:
    """`count` is at most a frame's detections, `height_min` possible within the zone."""
    lowest = {name: max(y for _, y in corners) for name, corners in _zones(raw)}
    most = number(section(raw, "model", "decode").get("max_detections", 100))
    for row, rule in _rules(raw):
        when, key = section(rule, "when"), f"policy.rules[{row}].when"
        count, height = number(when.get("count")), number(when.get("height_min"))
        if count is not None and most is not None and count > most:
            yield f"{key}.count", f"{count:g} is more than model.decode.max_detections, {most:g}"
        zone = when.get("zone")
        reach = lowest.get(zone) if isinstance(zone, str) else None
        if height is not None and reach is not None and height > reach:
            yield (
                f"{key}.height_min",
                f"{height:g} of the frame is never met: what stands in '{zone}' ends at "
                f"{reach:g} of its height",
            )


def _rules_name_known_things(raw: Raw) -> Iterator[Mistake]:
    labels = rows(section(raw, "model").get("labels"))
    scenes = [*rows(section(raw, "model", "condition").get("labels"))]
    if classifies(raw):
        scenes += labels
    zones = section(raw, "policy", "zones")
    for row, rule in _rules(raw):
        when = section(rule, "when")
        label, scene, zone = when.get("label"), when.get("scene"), when.get("zone")
        key = f"policy.rules[{row}].when"
        if labels and isinstance(label, str) and label not in labels:
            yield f"{key}.label", f"'{label}' is not in model.labels ({_first(labels)})"
        elif isinstance(label, str) and classifies(raw):
            yield f"{key}.label", "a classifier finds no objects: ask for scene instead"
        if isinstance(scene, str) and scene not in scenes:
            there = _first(scenes) or "there is no condition head and no classifier"
            yield f"{key}.scene", f"'{scene}' is not among the scenes ({there})"
        if isinstance(zone, str) and zone not in zones:
            there = ", ".join(sorted(zones)) or "which is empty"
            yield f"{key}.zone", f"'{zone}' is not in policy.zones ({there})"


def _first(names: list[Any]) -> str:
    return ", ".join(map(str, names[:6])) + (", ..." if len(names) > 6 else "")


def _rules_look_for_one_thing(raw: Raw) -> Iterator[Mistake]:
    """A rule needs either a label or a scene; zone and count belong to a label."""
    for row, rule in _rules(raw):
        if not isinstance(rule.get("when"), Mapping):
            continue
        when, key = section(rule, "when"), f"policy.rules[{row}].when"
        if (when.get("label") is None) == (when.get("scene") is None):
            yield key, "give either label (objects) or scene (what the whole frame is like)"
        if when.get("scene") is None:
            continue
        for name, unset in OF_OBJECTS.items():
            if when.get(name, unset) != unset:
                yield f"{key}.{name}", "goes with label: a scene is the whole frame"


def _rules_measure_what_is_there(raw: Raw) -> Iterator[Mistake]:
    """A segmentation network gives areas and no objects, a detector objects and no areas."""
    for row, rule in _rules(raw):
        when, key = section(rule, "when"), f"policy.rules[{row}].when"
        if when.get("label") is None or classifies(raw):
            continue
        if not segments(raw):
            if when.get("share_min") is not None:
                yield f"{key}.share_min", "goes with decode.kind = 'segment': this one has objects"
            continue
        if when.get("share_min") is None:
            yield f"{key}.share_min", "missing: of a segmentation network rules ask for areas"
        for name in ("height_min", "count", "time_to_contact_max_s", "distance_max_m"):
            if when.get(name, OF_OBJECTS[name]) != OF_OBJECTS[name]:
                yield f"{key}.{name}", "a segmentation network finds no objects: ask for share_min"


OF_OBJECTS = {
    "zone": None,
    "height_min": 0.0,
    "count": 1,
    "time_to_contact_max_s": None,
    "distance_max_m": None,
    "share_min": None,
}
"""Keys of `when` that only objects and areas have, with the value that requires nothing."""


def _rules_have_their_numbers(raw: Raw) -> Iterator[Mistake]:
    for row, rule in _rules(raw):
        key = f"policy.rules[{row}]"
        action = rule.get("action")
        if not isinstance(action, str) or action not in Action.__members__:
            continue
        caps = action in ("CAP_SPEED", "SLOW_DOWN")
        if caps and rule.get("speed_ceiling_mps") is None:
            yield f"{key}.speed_ceiling_mps", f"missing: {action} needs it"
        if not caps and rule.get("speed_ceiling_mps") is not None:
            yield f"{key}.speed_ceiling_mps", f"{action} takes none"
        if action != "NOTIFY" and rule.get("deceleration_mps2") is None:
            yield f"{key}.deceleration_mps2", f"missing: {action} needs it"
        if Action[action] in STOPS and rule.get("clear") == "when_gone":
            yield f"{key}.clear", f"{action} is released at standstill at the earliest"
        confirm = section(rule, "confirm")
        k, window = number(confirm.get("k")), number(confirm.get("of"))
        if k is not None and window is not None and k > window:
            yield f"{key}.confirm", f"{k:g} of {window:g} frames can never be reached"


def _rules_know_distances(raw: Raw) -> Iterator[Mistake]:
    if section(raw, "camera").get("geometry") is not None:
        return
    for row, rule in _rules(raw):
        if section(rule, "when").get("distance_max_m") is not None:
            yield (
                f"policy.rules[{row}].when.distance_max_m",
                "there is no [camera.geometry] to measure a distance with: docs/distance.md",
            )


def _fallbacks_in_order(raw: Raw) -> Iterator[Mistake]:
    fallbacks = section(raw, "policy", "fallbacks")
    keys = ("unknown", "slow_down", "comfort_stop")
    ages = [number(fallbacks.get(f"{key}_after_periods")) for key in keys]
    given = [age for age in ages if age is not None]
    if sorted(set(given)) != given:
        yield "policy.fallbacks", "unknown, slow_down, comfort_stop must come in this order of age"


POLICY_CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (
    _zones_enclose_an_area,
    _rules_are_distinct,
    _rules_can_match,
    _rules_name_known_things,
    _rules_look_for_one_thing,
    _rules_measure_what_is_there,
    _rules_have_their_numbers,
    _rules_know_distances,
    _fallbacks_in_order,
)
