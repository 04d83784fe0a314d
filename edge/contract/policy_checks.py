"""Rules of the mission's `[policy]` that span several keys, each yielding every place it is broken.

Like `cross_checks.py`, of which they are a part, they read plain dictionaries and never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from edge.contract.plain import Mistake, Raw, classifies, number, rows, section, segments
from firmware_bridge.codec import Action

STOPS = (Action.COMFORT_STOP, Action.EMERGENCY_STOP)
"""Actions that end at standstill and are latched until released."""


def _rules(raw: Raw) -> Iterator[tuple[int, Raw]]:
    for row, rule in enumerate(rows(section(raw, "policy").get("rules"))):
        if isinstance(rule, Mapping):
            yield row, rule


def _rules_are_distinct(raw: Raw) -> Iterator[Mistake]:
    names = [rule.get("name") for _, rule in _rules(raw)]
    for row, name in enumerate(names):
        if name is not None and name in names[:row]:
            yield f"policy.rules[{row}].name", f"'{name}' is already the name of another rule"


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
    """Objects (or areas) or a scene; where and how many goes with objects."""
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
    """A segmentation network tells areas and no objects, a detector objects and no areas."""
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
        for name in ("height_min", "count", "time_to_contact_max_s"):
            if when.get(name, OF_OBJECTS[name]) != OF_OBJECTS[name]:
                yield f"{key}.{name}", "a segmentation network finds no objects: ask for share_min"


OF_OBJECTS = {
    "zone": None,
    "height_min": 0.0,
    "count": 1,
    "time_to_contact_max_s": None,
    "share_min": None,
}
"""Keys of `when` that only objects and areas have, with the value that asks for nothing."""


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


def _fallbacks_in_order(raw: Raw) -> Iterator[Mistake]:
    fallbacks = section(raw, "policy", "fallbacks")
    keys = ("unknown", "slow_down", "comfort_stop")
    ages = [number(fallbacks.get(f"{key}_after_periods")) for key in keys]
    given = [age for age in ages if age is not None]
    if sorted(set(given)) != given:
        yield "policy.fallbacks", "unknown, slow_down, comfort_stop must come in this order of age"


POLICY_CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (
    _rules_are_distinct,
    _rules_name_known_things,
    _rules_look_for_one_thing,
    _rules_measure_what_is_there,
    _rules_have_their_numbers,
    _fallbacks_in_order,
)
