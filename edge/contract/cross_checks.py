"""Rules of the mission that span several keys, each yielding every place it is broken.

They read the mission as plain dictionaries and pass over what is missing or of the wrong type, so
that they report beside the schema's own findings instead of after them. Never raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from firmware_bridge.codec import Action

Raw = Mapping[str, Any]
Mistake = tuple[str, str]
"""Dotted key, and what is wrong there."""

STAGES = ("grab", "preprocess", "infer", "decode", "track", "decide", "send")
"""Names of the stages everywhere: budgets, histograms, tables."""

STOPS = (Action.COMFORT_STOP, Action.EMERGENCY_STOP)
"""Actions that end at standstill and are latched until released."""


def _section(raw: Raw, *keys: str) -> Raw:
    for key in keys:
        value = raw.get(key)
        if not isinstance(value, Mapping):
            return {}
        raw = value
    return raw


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rows(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _rules(raw: Raw) -> Iterator[tuple[int, Raw]]:
    for row, rule in enumerate(_rows(_section(raw, "policy").get("rules"))):
        if isinstance(rule, Mapping):
            yield row, rule


def _model_origin(raw: Raw) -> Iterator[Mistake]:
    model = _section(raw, "model")
    has = {key: model.get(key) is not None for key in ("file", "factory", "weights")}
    if model and has["file"] == has["factory"]:
        yield "model", "give either file (an ONNX file) or factory (module:function)"
    if has["factory"] != has["weights"]:
        yield "model", "weights go with factory, and factory needs weights"


def _labels_differ(raw: Raw) -> Iterator[Mistake]:
    labels = [str(label) for label in _rows(_section(raw, "model").get("labels"))]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield "model.labels", f"'{label}' is given more than once"


def _conditions_differ(raw: Raw) -> Iterator[Mistake]:
    model = _section(raw, "model")
    labels = [str(label) for label in _rows(_section(model, "condition").get("labels"))]
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield "model.condition.labels", f"'{label}' is given more than once"
    if _classifies(raw):
        for label in sorted(set(labels) & {str(label) for label in _rows(model.get("labels"))}):
            yield "model.condition.labels", f"'{label}' is also in model.labels: a rule names one"


def _classifies(raw: Raw) -> bool:
    return _section(raw, "model", "decode").get("kind") == "classify"


def _decoder_complete(raw: Raw) -> Iterator[Mistake]:
    """Detectors have cells and overlaps, classifiers have neither."""
    decode = _section(raw, "model", "decode")
    kind = decode.get("kind")
    for key, there in (
        ("strides", bool(_rows(decode.get("strides")))),
        ("iou_threshold", decode.get("iou_threshold") is not None),
    ):
        if kind in ("yolox", "roadnet") and not there and not decode.get(key):
            yield f"model.decode.{key}", f"missing: decoder '{kind}' needs it"
        if kind == "classify" and there:
            yield f"model.decode.{key}", "goes with a detector, not with kind = 'classify'"


def _thresholds_say_something(raw: Raw) -> Iterator[Mistake]:
    """The highest of n shares is never below 1/n, so that a lower threshold never says unknown."""
    model = _section(raw, "model")
    heads = [("model.condition", _section(model, "condition"), _section(model, "condition"))]
    if _classifies(raw):
        heads.append(("model.decode", _section(model, "decode"), model))
    for key, head, labelled in heads:
        labels, threshold = _rows(labelled.get("labels")), _number(head.get("score_threshold"))
        if labels and threshold is not None and threshold * len(labels) <= 1.0:
            least = f"the highest of {len(labels)} shares is never below {1.0 / len(labels):.3g}"
            yield f"{key}.score_threshold", f"{threshold:g} never says unknown: {least}"


def _input_fits_strides(raw: Raw) -> Iterator[Mistake]:
    strides = [
        step
        for value in _rows(_section(raw, "model", "decode").get("strides"))
        if (step := _number(value)) is not None and step > 0
    ]
    for side in ("width_px", "height_px"):
        size = _number(_section(raw, "model", "input").get(side))
        if size is not None and any(size % step for step in strides):
            yield f"model.input.{side}", f"{size:g} is not a multiple of every stride in {strides}"


def _std_divides(raw: Raw) -> Iterator[Mistake]:
    for value in _rows(_section(raw, "model", "preprocess").get("std")):
        if (number := _number(value)) is not None and number <= 0.0:
            yield "model.preprocess.std", f"every value must be above 0, found {number:g}"


def _data_complete(raw: Raw) -> Iterator[Mistake]:
    data = _section(raw, "data")
    kind, has_root = data.get("kind"), data.get("root") is not None
    if kind in ("images", "arrays") and not has_root:
        yield "data.root", f"missing: kind = '{kind}' needs a folder"
    if kind == "scenes" and (has_root or data.get("table") is not None):
        yield "data", "kind = 'scenes' is generated: root and table go with kind = 'images'"
    if (data.get("table") is None) != (data.get("group") is None):
        yield "data", "table and group go together"


def _budget_fits(raw: Raw) -> Iterator[Mistake]:
    budget = _section(raw, "budget")
    limit = _number(budget.get("end_to_end_ms"))
    total = sum(_number(budget.get(f"{stage}_ms")) or 0.0 for stage in STAGES)
    if limit is not None and total > limit:
        yield "budget.end_to_end_ms", f"{limit:g} is less than the {total:g} ms of its stages"


def _gates_have_a_subject(raw: Raw) -> Iterator[Mistake]:
    asked = _section(raw, "gates").get("condition_agree_min") is not None
    if asked and _section(raw, "model").get("condition") is None:
        yield "gates.condition_agree_min", "there is no [model.condition] to agree on"


def _rules_are_distinct(raw: Raw) -> Iterator[Mistake]:
    names = [rule.get("name") for _, rule in _rules(raw)]
    for row, name in enumerate(names):
        if name is not None and name in names[:row]:
            yield f"policy.rules[{row}].name", f"'{name}' is already the name of another rule"


def _rules_name_known_things(raw: Raw) -> Iterator[Mistake]:
    labels = _rows(_section(raw, "model").get("labels"))
    scenes = [*_rows(_section(raw, "model", "condition").get("labels"))]
    if _classifies(raw):
        scenes += labels
    zones = _section(raw, "policy", "zones")
    for row, rule in _rules(raw):
        when = _section(rule, "when")
        label, scene, zone = when.get("label"), when.get("scene"), when.get("zone")
        key = f"policy.rules[{row}].when"
        if labels and isinstance(label, str) and label not in labels:
            yield f"{key}.label", f"'{label}' is not in model.labels ({_first(labels)})"
        elif isinstance(label, str) and _classifies(raw):
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
    """Objects or a scene; where and how many goes with objects."""
    for row, rule in _rules(raw):
        if not isinstance(rule.get("when"), Mapping):
            continue
        when, key = _section(rule, "when"), f"policy.rules[{row}].when"
        if (when.get("label") is None) == (when.get("scene") is None):
            yield key, "give either label (objects) or scene (what the whole frame is like)"
        if when.get("scene") is None:
            continue
        for name, unset in OF_OBJECTS.items():
            if when.get(name, unset) != unset:
                yield f"{key}.{name}", "goes with label: a scene is the whole frame"


OF_OBJECTS = {"zone": None, "height_min": 0.0, "count": 1, "time_to_contact_max_s": None}
"""Keys of `when` that only objects have, with the value that asks for nothing."""


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
        confirm = _section(rule, "confirm")
        k, window = _number(confirm.get("k")), _number(confirm.get("of"))
        if k is not None and window is not None and k > window:
            yield f"{key}.confirm", f"{k:g} of {window:g} frames can never be reached"


def _fallbacks_in_order(raw: Raw) -> Iterator[Mistake]:
    fallbacks = _section(raw, "policy", "fallbacks")
    keys = ("unknown", "slow_down", "comfort_stop")
    ages = [_number(fallbacks.get(f"{key}_after_periods")) for key in keys]
    given = [age for age in ages if age is not None]
    if sorted(set(given)) != given:
        yield "policy.fallbacks", "unknown, slow_down, comfort_stop must come in this order of age"


def _command_outlives_its_turn(raw: Raw) -> Iterator[Mistake]:
    link = _section(raw, "link")
    rate, valid = _number(link.get("rate_hz")), _number(link.get("valid_for_ms"))
    if rate is not None and valid is not None and rate > 0 and valid < 3000.0 / rate:
        yield (
            "link.valid_for_ms",
            f"{valid:g} is less than three turns of {1000.0 / rate:g} ms: "
            "one lost frame would slow the vehicle",
        )


def _train_has_a_network(raw: Raw) -> Iterator[Mistake]:
    if raw.get("train") is not None and _section(raw, "model").get("file") is not None:
        yield "train", "goes with model.factory, not with model.file"


def _train_counts_scenes(raw: Raw) -> Iterator[Mistake]:
    train, drawn = _section(raw, "train"), _section(raw, "data").get("kind") == "scenes"
    for key in ("scenes", "validation_scenes") if train else ():
        if drawn and train.get(key) is None:
            yield f"train.{key}", "missing: data.kind = 'scenes' draws so many"
        if not drawn and train.get(key) is not None:
            yield f"train.{key}", "goes with data.kind = 'scenes'"


CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (
    _model_origin,
    _labels_differ,
    _conditions_differ,
    _decoder_complete,
    _thresholds_say_something,
    _input_fits_strides,
    _std_divides,
    _data_complete,
    _budget_fits,
    _gates_have_a_subject,
    _rules_are_distinct,
    _rules_name_known_things,
    _rules_look_for_one_thing,
    _rules_have_their_numbers,
    _fallbacks_in_order,
    _command_outlives_its_turn,
    _train_has_a_network,
    _train_counts_scenes,
)


def cross_mistakes(raw: Raw) -> list[Mistake]:
    """Every broken rule of CHECKS in a mission given as plain dictionaries."""
    return [mistake for check in CHECKS for mistake in check(raw)]
