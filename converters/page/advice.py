"""What to do about a failed gate, in sentences a team lead can act on. One table: the first word of
a gate's name -> its advice.

Reads the report's own figures; measures nothing and promises no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from calibration.metrics import wilson_95
from converters.page.report_facts import Document, Gate, answers, float_failed, listed

CONDITION = "condition"


@dataclass(frozen=True)
class Advice:
    """One thing to do, and the command or setting that does it."""

    text: str
    command: str = ""


def advice_on(document: Document, failed: Sequence[Gate]) -> tuple[Advice, ...]:
    """What to do about the failed gates of a report, most useful first."""
    by_kind: dict[str, list[Gate]] = {}
    for gate in failed:
        by_kind.setdefault(gate["name"].split(" ")[0], []).append(gate)
    advice: dict[Advice, None] = {}  # the same advice once, in the order met
    for kind, gates in by_kind.items():
        advice.update(dict.fromkeys(ADVICE.get(kind, _any)(document, gates)))
    return tuple(advice)


def _kept(document: Document, gates: Sequence[Gate]) -> list[Advice]:
    """Where quantized networks lose too many of float's answers."""
    lines = []
    if not float_failed([one for one in document["gates"] if one["passed"] is False]):
        lines.append(
            Advice(
                "Run the float network meanwhile.",
                "brakepoint run MISSION --from DIR --precision float",
            )
        )
    condition = gates[0]["name"].startswith("condition")
    judged = [
        evaluation
        for output, evaluation in document["evaluation"].items()
        if (output == CONDITION) == condition
    ]
    for evaluation in judged:
        lines += _few(evaluation, gates[0])
    lines += _layers(document) + _tuning(document) + _unseen_conditions(document)
    for evaluation in judged:
        lines += _where(evaluation, [gate["artifact"] for gate in gates])
    return lines


def _few(evaluation: Mapping[str, Any], gate: Gate) -> list[Advice]:
    if "iou_mean" in evaluation:  # pixels are many, and alike: their count tells nothing
        return []
    found, of = answers(evaluation, gate["artifact"])
    if not of:
        return [
            Advice(
                "Hold back frames in which float finds something: without any, nothing is known.",
                "--set calibration.held_back=N",
            )
        ]
    low, high = wilson_95(found, of)
    if low <= gate["limit"] <= high:
        return [
            Advice(
                f"Hold back more frames: with {of} answers of float the limit of "
                f"{gate['limit']:g} lies inside the 95 % interval, so chance decides.",
                "--set calibration.held_back=N",
            )
        ]
    return []


def _where(evaluation: Mapping[str, Any], files: Sequence[str]) -> list[Advice]:
    """The class and the weather that lose most, where there is more than one."""
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


def _layers(document: Document) -> list[Advice]:
    search, share = document["search"], document["quantized"]["macs_int8_share"]
    if search is None:
        return [
            Advice(
                "Let convert find the layers that INT8 ruins and leave them in float.",
                "--set precision.search=mixed",
            )
        ]
    if share is None:
        return []
    return [
        Advice(
            f"{100 * share:.1f} % of the multiplications run in INT8: leave more in float.",
            "--set precision.damage_max=LESS --set precision.macs_int8_min=LESS",
        )
    ]


def _tuning(document: Document) -> list[Advice]:
    if document["finetuning"] is not None:
        return []
    return [
        Advice(
            "Fit the weights to this INT8, with float as the teacher; it needs no labels.",
            "brakepoint finetune MISSION --from DIR --out ANOTHER",
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


def _size(_document: Document, _gates: Sequence[Gate]) -> list[Advice]:
    return [
        Advice(
            "Take a smaller network; or raise the limit where the device has the room: int8.onnx "
            "holds its weights in float, and the engine built from it is smaller.",
            "--set gates.size_max_mb=MORE",
        )
    ]


def _slow(_document: Document, _gates: Sequence[Gate]) -> list[Advice]:
    return [
        Advice(
            "Take a smaller network or a smaller model.input; or give the stage more of the "
            "budget. Measure on an idle machine: what else runs here counts too."
        )
    ]


def _unlabelled(_document: Document, gates: Sequence[Gate]) -> list[Advice]:
    if any(gate["measured"] is None for gate in gates):
        return [
            Advice(
                "Give labelled frames that show what the gate asks for.",
                "--set gates.labelled=ROOT_OR_LOCK",
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
    "infer_p99_max_ms": _slow,
    "accuracy_min": _unlabelled,
    "accuracy_drop_max": _unlabelled,
    "worst_condition_min": _unlabelled,
    "class_accuracy_min": _unlabelled,
    "condition_accuracy_min": _unlabelled,
}
