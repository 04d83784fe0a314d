"""Rules of the mission that span several keys: the table `CHECKS` and its rules on the model.

A mission as plain dictionaries goes in; (dotted key, sentence) of every broken rule comes out. The
rules skip missing values and values of the wrong type, so that they report together with the
schema's findings instead of after them. Never raises.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator

from edge.contract.mission.checks.camera_checks import CAMERA_CHECKS
from edge.contract.mission.checks.data_checks import DATA_CHECKS
from edge.contract.mission.checks.policy_checks import POLICY_CHECKS
from edge.contract.mission.raw_values import (
    Mistake,
    Raw,
    classifies,
    number,
    rows,
    section,
    segments,
    twice,
)
from edge.contract.mission.sections.device import LinkSettings
from edge.contract.mission.sections.policy import UNKNOWN_AT_MOST_MS
from edge.perception.conditions import AXES, CONDITION_NAMES
from edge.perception.decode import DECODERS
from edge.perception.segmentation import MOST_LABELS
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.line_rate import minimum_baud

STAGES = ("grab", "preprocess", "infer", "decode", "track", "decide", "send")
"""Names of the stages of the loop, in budgets, histograms and tables."""


def _model_origin(raw: Raw) -> Iterator[Mistake]:
    model = section(raw, "model")
    has = {key: model.get(key) is not None for key in ("file", "factory", "weights")}
    if model and has["file"] == has["factory"]:
        yield "model", "give either file (an ONNX file) or factory (module:function)"
    if has["weights"] and not has["factory"]:
        yield "model", "weights go with factory"


def _batch_ascends(raw: Raw) -> Iterator[Mistake]:
    sizes = [number(size) for size in rows(section(raw, "model", "input").get("batch"))]
    known = [size for size in sizes if size is not None]
    if known != sorted(known):
        shown = ", ".join(f"{size:g}" for size in known)
        yield "model.input.batch", f"the least, the usual and the largest ascend; not {shown}"


def _labels_differ(raw: Raw) -> Iterator[Mistake]:
    for label in twice(rows(section(raw, "model").get("labels"))):
        yield "model.labels", f"'{label}' is given more than once"


def _conditions_differ(raw: Raw) -> Iterator[Mistake]:
    model = section(raw, "model")
    labels = [str(label) for label in rows(section(model, "condition").get("labels"))]
    for label in twice(labels):
        yield "model.condition.labels", f"'{label}' is given more than once"
    if classifies(raw):
        for label in sorted(set(labels) & {str(label) for label in rows(model.get("labels"))}):
            yield "model.condition.labels", f"'{label}' is also in model.labels: a rule names one"


def _decoder_complete(raw: Raw) -> Iterator[Mistake]:
    """Detectors need strides and iou_threshold, segmentation networks strides, classifiers none."""
    decode = section(raw, "model", "decode")
    kind = decode.get("kind")
    for key, there in (
        ("strides", bool(rows(decode.get("strides")))),
        ("iou_threshold", decode.get("iou_threshold") is not None),
    ):
        wanted = kind in DECODERS
        wanted |= kind == "segment" and key == "strides"
        if wanted and not there and not decode.get(key):
            yield f"model.decode.{key}", f"missing: decoder '{kind}' needs it"
        if kind in ("classify", "segment") and there and not wanted:
            yield f"model.decode.{key}", f"goes with a detector, not with kind = '{kind}'"


def _one_level(raw: Raw) -> Iterator[Mistake]:
    decode = section(raw, "model", "decode")
    strides = rows(decode.get("strides"))
    kind = decode.get("kind")
    one_level = {name for name, row in DECODERS.items() if row.layout == "map"} | {"segment"}
    if kind in one_level and len(strides) > 1:
        yield "model.decode.strides", f"'{kind}' has one output level, found {len(strides)}"


def _masks_can_be_told(raw: Raw) -> Iterator[Mistake]:
    model = section(raw, "model")
    labels, output = rows(model.get("labels")), section(model, "decode").get("output")
    if segments(raw) and labels and not 2 <= len(labels) <= MOST_LABELS:
        yield "model.labels", f"a segmentation network has 2 to {MOST_LABELS}, found {len(labels)}"
    if output is not None and not segments(raw):
        yield "model.decode.output", "goes with kind = 'segment'"
    elif output is not None and model.get("condition") is not None:
        yield "model.decode.output", "with [model.condition] the outputs are main and condition"


def _thresholds_say_something(raw: Raw) -> Iterator[Mistake]:
    """The highest of n softmax shares is at least 1/n: a lower threshold never gives Unknown."""
    model = section(raw, "model")
    heads = [("model.condition", section(model, "condition"), section(model, "condition"))]
    if classifies(raw) or segments(raw):
        heads.append(("model.decode", section(model, "decode"), model))
    for key, head, labelled in heads:
        labels, threshold = rows(labelled.get("labels")), number(head.get("score_threshold"))
        if labels and threshold is not None and threshold * len(labels) <= 1.0:
            least = f"the highest of {len(labels)} shares is never below {1.0 / len(labels):.3g}"
            yield f"{key}.score_threshold", f"{threshold:g} never says unknown: {least}"


def _input_fits_strides(raw: Raw) -> Iterator[Mistake]:
    strides = [
        step
        for value in rows(section(raw, "model", "decode").get("strides"))
        if (step := number(value)) is not None and step > 0
    ]
    for side in ("width_px", "height_px"):
        size = number(section(raw, "model", "input").get(side))
        if size is not None and any(size % step for step in strides):
            yield f"model.input.{side}", f"{size:g} is not a multiple of every stride in {strides}"


def _input_can_be_held(raw: Raw) -> Iterator[Mistake]:
    size = section(raw, "model", "input")
    wide, high = number(size.get("width_px")), number(size.get("height_px"))
    if wide is not None and high is not None and wide * high > MOST_PIXELS:
        yield "model.input", f"{wide:g} x {high:g} are more than {MOST_PIXELS:,} pixels"


MOST_PIXELS = 2**25
"""Largest network input in pixels: 0.4 GB as float32. An 8K camera has as many."""


def _budget_fits(raw: Raw) -> Iterator[Mistake]:
    budget = section(raw, "budget")
    limit = number(budget.get("end_to_end_ms"))
    total = sum(number(budget.get(f"{stage}_ms")) or 0.0 for stage in STAGES)
    if limit is not None and total > limit:
        yield "budget.end_to_end_ms", f"{limit:g} is less than the {total:g} ms of its stages"


def _gates_have_a_subject(raw: Raw) -> Iterator[Mistake]:
    asked = section(raw, "gates").get("condition_agree_min") is not None
    if asked and section(raw, "model").get("condition") is None:
        yield "gates.condition_agree_min", "there is no [model.condition] to agree on"
    labels = [str(label) for label in rows(section(raw, "model").get("labels"))]
    for label in section(raw, "gates", "class_accuracy_min"):
        if labels and label not in labels:
            yield f"gates.class_accuracy_min.{label}", "no label of the model"


def _gates_name_conditions(raw: Raw) -> Iterator[Mistake]:
    for name in section(raw, "gates", "condition_accuracy_min"):
        if str(name).removesuffix(" (measured)") not in CONDITION_NAMES:
            near = difflib.get_close_matches(str(name), CONDITION_NAMES, n=1)
            words = "; ".join(f"{axis}: {', '.join(known)}" for axis, known in AXES.items())
            yield (
                f"gates.condition_accuracy_min.{name}",
                f"no condition{f': did you mean {near[0]!r}?' if near else ''} ({words})",
            )


def _command_outlives_its_turn(raw: Raw) -> Iterator[Mistake]:
    link = section(raw, "link")
    rate, valid = number(link.get("rate_hz")), number(link.get("valid_for_ms"))
    if rate is not None and valid is not None and rate > 0 and valid < 3000.0 / rate:
        yield (
            "link.valid_for_ms",
            f"{valid:g} is less than three turns of {1000.0 / rate:g} ms: "
            "one lost frame would slow the vehicle",
        )


def _line_carries_the_link(raw: Raw) -> Iterator[Mistake]:
    usual = LinkSettings()
    link = {"baud": usual.baud, "rate_hz": usual.rate_hz, **section(raw, "link")}
    baud, rate = number(link["baud"]), number(link["rate_hz"])
    fps = number(section(raw, "camera").get("fps"))
    if baud is None or rate is None or fps is None or not 0.0 < rate + fps < math.inf:
        return
    needed = minimum_baud(rate + fps)
    if baud < needed:
        yield (
            "link.baud",
            f"{baud:g} is too slow for {rate:g} commands a second and one more for each of "
            f"{fps:g} frames: they need at least {needed} baud",
        )


def _frames_are_vouched_for(raw: Raw) -> Iterator[Mistake]:
    """Refuses a camera so slow, or a budget so large, that no stop would ever be released."""
    fps = number(section(raw, "camera").get("fps"))
    end_to_end_ms = number(section(raw, "budget").get("end_to_end_ms"))
    if fps is None or not 0.0 < fps < math.inf:
        return
    period_ms = 1000.0 / fps
    if period_ms >= UNKNOWN_AT_MOST_MS:
        yield (
            "camera.fps",
            f"{fps:g} a second is a frame every {period_ms:.0f} ms, but perception is Unknown from "
            f"{UNKNOWN_AT_MOST_MS:g} ms on, so no stop would ever be released: more than "
            f"{1000.0 / UNKNOWN_AT_MOST_MS:g} a second",
        )
    elif end_to_end_ms is not None and period_ms + end_to_end_ms >= LIMITS.frame_age_max_ms:
        yield (
            "budget.end_to_end_ms",
            f"{end_to_end_ms:g} and a frame every {period_ms:.0f} ms let a frame get "
            f"{period_ms + end_to_end_ms:.0f} ms old, but the microcontroller only believes frames "
            f"younger than {LIMITS.frame_age_max_ms} ms: it would slow and stop the vehicle again "
            "and again",
        )


def _train_has_a_network(raw: Raw) -> Iterator[Mistake]:
    if raw.get("train") is not None and section(raw, "model").get("file") is not None:
        yield "train", "goes with model.factory, not with model.file"
    elif raw.get("train") is not None and section(raw, "model").get("weights") is None:
        yield "model.weights", "missing: [train] says how they are fitted, this where they lie"


def _train_counts_scenes(raw: Raw) -> Iterator[Mistake]:
    train, drawn = section(raw, "train"), section(raw, "data").get("kind") == "scenes"
    for key in ("scenes", "validation_scenes") if train else ():
        if drawn and train.get(key) is None:
            yield f"train.{key}", "missing: data.kind = 'scenes' draws so many"
        if not drawn and train.get(key) is not None:
            yield f"train.{key}", "goes with data.kind = 'scenes'"


def _train_counts_once(raw: Raw) -> Iterator[Mistake]:
    train = section(raw, "train")
    if train.get("draw") == "balanced" and train.get("class_weights") != "none":
        yield "train.draw", "with class_weights = 'balanced' rare labels would count twice: 'none'"


WEATHER = ("fog", "rain", "snow")


def _corruptions_keep_truth(raw: Raw) -> Iterator[Mistake]:
    given = section(raw, "train").get("corruptions") or ()
    painted = [name for name in WEATHER if isinstance(given, list | tuple) and name in given]
    if painted and section(raw, "model").get("condition") is not None:
        yield (
            "train.corruptions",
            f"{', '.join(painted)} would make the road condition of a picture untrue",
        )


CHECKS: tuple[Callable[[Raw], Iterator[Mistake]], ...] = (
    _model_origin,
    _batch_ascends,
    _labels_differ,
    _conditions_differ,
    _decoder_complete,
    _one_level,
    _masks_can_be_told,
    _thresholds_say_something,
    _input_fits_strides,
    _input_can_be_held,
    *DATA_CHECKS,
    _budget_fits,
    _gates_have_a_subject,
    _gates_name_conditions,
    *POLICY_CHECKS,
    _command_outlives_its_turn,
    _line_carries_the_link,
    _frames_are_vouched_for,
    *CAMERA_CHECKS,
    _train_has_a_network,
    _train_counts_scenes,
    _train_counts_once,
    _corruptions_keep_truth,
)


def cross_mistakes(raw: Raw) -> list[Mistake]:
    """Every broken rule of CHECKS in a mission given as plain dictionaries."""
    return [mistake for check in CHECKS for mistake in check(raw)]
