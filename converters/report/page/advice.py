"""Advice on failed gates: for each, sentences and commands. One table by the gate's name.

Takes report.json as plain values; measures nothing and promises no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.metrics.confidence_intervals import wilson_95
from converters.report.page.facts import Document, Gate, answers, float_failed, listed
from converters.report.page.next_search import next_search
from edge.contract.artifact_names import CPU, INT8

CONDITION = "condition"

MOST_TIMES = 8
"""Advice never asks for more than this many times the present number of frames."""


@dataclass(frozen=True)
class Advice:
    """One thing to do, and the command that does it; MISSION and DIR stand for those of this
    conversion, ANOTHER for a folder of its own, PARENT for the one that was fine-tuned."""

    text: str
    command: str = ""


def _again(settings: str) -> str:
    return f"brakepoint convert MISSION --out DIR {settings}"


def advice_on(document: Document, failed: Sequence[Gate]) -> tuple[Advice, ...]:
    """What to do about the failed gates of a report, most useful first."""
    by_kind: dict[str, list[Gate]] = {}
    for gate in failed:
        by_kind.setdefault(gate["name"].split(" ")[0], []).append(gate)
    advice: dict[Advice, None] = {}  # each advice once, in the order of the gates
    for kind, gates in by_kind.items():
        advice.update(dict.fromkeys(ADVICE.get(kind, _any)(document, gates)))
    return tuple(advice)


def _kept(document: Document, gates: Sequence[Gate]) -> list[Advice]:
    """Advice where a quantized network loses too many of float's detections: what may mend it, what
    shows more, and what works meanwhile."""
    lines = _layers(document, gates) + _tuning(document) + _ranges(document)
    condition = gates[0]["name"].startswith("condition")
    judged = [
        evaluation
        for output, evaluation in document["evaluation"].items()
        if (output == CONDITION) == condition
    ]
    for evaluation in judged:
        lines += _few(document, evaluation, gates[0])
    lines += _unseen_conditions(document)
    for evaluation in judged:
        lines += _where(evaluation, [gate["artifact"] for gate in gates])
    if not float_failed([one for one in document["gates"] if one["passed"] is False]):
        lines.append(
            Advice(
                "Run the float network meanwhile.",
                "brakepoint run MISSION --from DIR --precision float",
            )
        )
    return lines


def _few(document: Document, evaluation: Mapping[str, Any], gate: Gate) -> list[Advice]:
    if (
        "iou_mean" in evaluation
    ):  # neighbouring pixels are not independent: their count gives no interval
        return []
    found, of = answers(evaluation, gate["artifact"])
    frames = document["data"]["held_back"]["frames"]
    if not of:
        return [
            Advice(
                "Hold back frames in which float finds something: without any, nothing is known.",
                _again(f"--set calibration.held_back={2 * frames}"),
            )
        ]
    low, high = wilson_95(found, of)
    if low <= gate["limit"] <= high:
        more = min(MOST_TIMES * frames, _enough_frames(found, of, gate["limit"], frames))
        return [
            Advice(
                f"Hold back more frames: with {of} answers of float the limit of "
                f"{gate['limit']:g} lies inside the 95 % interval, so chance decides.",
                _again(f"--set calibration.held_back={more}"),
            )
        ]
    return []


def _enough_frames(found: int, of: int, limit: float, frames: int) -> int:
    """Frames needed for the limit to lie outside the interval of the measured share."""
    times = 2
    while times < MOST_TIMES:
        low, high = wilson_95(found * times, of * times)
        if not low <= limit <= high:
            break
        times += 1
    return times * frames


def _where(evaluation: Mapping[str, Any], files: Sequence[str]) -> list[Advice]:
    """The class and the weather with the largest loss, where there is more than one."""
    lines = []
    for rows, key, what in (
        (evaluation["by_class"], "label", "class"),
        (evaluation["by_condition"]["weather"], "word", "weather"),
    ):
        known = [row for row in rows if row[key] is not None]
        losses = [[_lost(row["networks"][name]) for name in files] for row in known]
        if len(known) < 2 or not any(map(any, losses)):
            continue
        lost, row = max(zip(losses, known, strict=True), key=lambda pair: sum(pair[0]))
        told = listed(
            f"{name} loses {count} of {row['networks'][name]['of']}"
            for name, count in zip(files, lost, strict=True)
        )
        lines.append(Advice(f"Look first at {what} '{row[key]}': {told}."))
    return lines


def _lost(kept: Mapping[str, Any]) -> int:
    lost: int = kept["of"] - kept["found"]
    return lost


def _layers(document: Document, gates: Sequence[Gate]) -> list[Advice]:
    if document["finetuning"] is not None:
        return []
    if document["search"] is None:
        return [
            Advice(
                "Let convert find the layers that INT8 ruins and leave them in float.",
                _again("--set precision.search=mixed"),
            )
        ]
    found = next_search(document, gates)
    return [] if found is None else [Advice(found[0], _again(found[1]))]


def _tuning(document: Document) -> list[Advice]:
    tuned = document["finetuning"]
    if tuned is not None:
        return [
            Advice(
                f"Fit the weights for longer: {tuned['steps']} steps were not enough.",
                f"brakepoint finetune MISSION --from PARENT --out DIR --steps {2 * tuned['steps']}",
            )
        ]
    return [
        Advice(
            "Fit the weights to this INT8, with float as the teacher; it needs no labels.",
            "brakepoint finetune MISSION --from DIR --out ANOTHER",
        )
    ]


def _ranges(document: Document) -> list[Advice]:
    """Advice to calibrate on more frames, where the ranges did not settle."""
    sampling, frames = document["calibration"]["sampling"], document["calibration"]["frames"]
    if sampling["settled"]:
        return []
    return [
        Advice(
            f"Take ranges from more frames: after {len(frames)} they were still moving.",
            _again(f"--set calibration.frames={2 * len(frames)}"),
        )
    ]


def _unseen_conditions(document: Document) -> list[Advice]:
    data = document["data"]
    missing = [
        word
        for kind in ("weather", "light")
        for word in dict.fromkeys(row[kind] for row in data["held_back"]["conditions"])
        if word is not None and word not in {row[kind] for row in data["calibration"]["conditions"]}
    ]
    if not missing:
        return []
    return [Advice(f"Calibrate on {listed(missing)} too: it is judged but not calibrated on.")]


def _parity(_document: Document, _gates: Sequence[Gate]) -> list[Advice]:
    return [
        Advice("Use none of these files: float.onnx does not compute what its source does."),
        Advice(
            "Check that forward depends on no training mode and no random number; export again."
        ),
    ]


def _size(_document: Document, gates: Sequence[Gate]) -> list[Advice]:
    more = math.ceil(max(gate["measured"] for gate in gates) * 10.0) / 10.0
    return [
        Advice(
            "Take a smaller network; or raise the limit where the device has the room: int8.onnx "
            "holds its weights in float, and the engine built from it is smaller.",
            _again(f"--set gates.size_max_mb={more:g}"),
        )
    ]


def _in_int8(document: Document, gates: Sequence[Gate]) -> list[Advice]:
    lines = []
    for gate in gates:
        if gate["artifact"] == INT8 and document["search"] is not None:
            lines.append(
                Advice(
                    "Let the search leave less in float.",
                    _again(f"--set precision.macs_int8_min={gate['limit']:g}"),
                )
            )
        if gate["artifact"] == CPU and gate["measured"] is not None:
            asked = next(g for g in document["gates"] if g["name"] == "macs_int8_min int8")
            least = math.floor(100.0 * gate["measured"]) / 100.0
            int8 = "" if asked["limit"] is None else f"int8 = {asked['limit']:g}, "
            lines.append(
                Advice(
                    "onnxruntime computes a layer in integers only where what follows it has an "
                    "integer kernel too (Relu, Clip, LeakyRelu, SiLU, Add, Concat, pooling): take "
                    "such activations, or allow what is there.",
                    _again(f"--set 'gates.macs_int8_min={{ {int8}cpu = {least:g} }}'"),
                )
            )
    return lines or _any(document, gates)


def _slow(_document: Document, _gates: Sequence[Gate]) -> list[Advice]:
    return [
        Advice(
            "Take a smaller network or a smaller model.input; or give the stage more of the "
            "budget. Measure on an idle machine: what else runs here counts too."
        )
    ]


def _drop(document: Document, gates: Sequence[Gate]) -> list[Advice]:
    if any(gate["measured"] is None for gate in gates):
        return _unlabelled(document, gates)
    return _layers(document, gates) + _tuning(document) + _unlabelled(document, gates)


def _unlabelled(_document: Document, gates: Sequence[Gate]) -> list[Advice]:
    if any(gate["measured"] is None for gate in gates):
        return [
            Advice(
                "Give labelled frames that show what the gate asks for.",
                _again("--set gates.labelled=ROOT_OR_LOCK"),
            )
        ]
    return [
        Advice(
            "Compare with float on the same frames: where float is as low, the network needs more "
            "training, not another INT8.",
            "brakepoint evaluate MISSION --from DIR --precision both",
        )
    ]


def _any(_document: Document, _gates: Sequence[Gate]) -> list[Advice]:
    return [Advice("Mend the model or the calibration, and convert again.")]


ADVICE: Mapping[str, Callable[[Document, Sequence[Gate]], list[Advice]]] = {
    "parity_max_abs": _parity,
    "found_min": _kept,
    "condition_agree_min": _kept,
    "size_max_mb": _size,
    "macs_int8_min": _in_int8,
    "infer_p99_max_ms": _slow,
    "accuracy_min": _unlabelled,
    "accuracy_drop_max": _drop,
    "worst_condition_min": _unlabelled,
    "class_accuracy_min": _unlabelled,
    "condition_accuracy_min": _unlabelled,
}
