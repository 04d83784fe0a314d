"""What failed and what to do about it, in sentences a team lead can act on. One table: the first
word of a gate's name -> its advice.

Reads the report's own figures; measures nothing and promises no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

MAIN_OUTPUTS = ("detections", "classes")
FEW = 100
"""Fewer answers than this leave an interval of about ten percent on either side."""


@dataclass(frozen=True)
class Verdict:
    """The first thing on the page.

    Attributes:
        passed: no gate failed.
        title: one sentence.
        failures: what each failed gate found, and its limit.
        advice: what to do, most useful first.
        cautions: what the figures cannot say.
    """

    passed: bool
    title: str
    failures: tuple[str, ...]
    advice: tuple[str, ...]
    cautions: tuple[str, ...]


def verdict_of(document: Document) -> Verdict:
    """The verdict of a report."""
    judged = [gate for gate in document["gates"] if gate["passed"] is not None]
    failed = [gate for gate in judged if not gate["passed"]]
    if not failed:
        title = f"Passed: all {len(judged)} gates hold."
    else:
        files = "No file" if _float_failed(failed) else _listed(gate["artifact"] for gate in failed)
        use = "may be used." if files == "No file" else "must not be used; float.onnx may."
        title = f"Failed: {len(failed)} of {len(judged)} gates. {files} {use}"
    advice: dict[str, None] = {}  # the same advice once, in the order met
    for gate in failed:
        for line in ADVICE.get(gate["name"].split(" ")[0], _any)(document, gate):
            advice.setdefault(line)
    return Verdict(
        passed=not failed,
        title=title,
        failures=tuple(f"{gate['sentence']}; the gate asks for {gate['limit_text']}."
                       for gate in failed),
        advice=tuple(advice),
        cautions=tuple(_cautions(document)),
    )


def _kept(document: Document, gate: Mapping[str, Any]) -> list[str]:
    """Advice where a quantized network loses too many of float's answers."""
    lines = []
    if not _float_failed([one for one in document["gates"] if one["passed"] is False]):
        lines.append(
            "Run the float network meanwhile: brakepoint run MISSION --from DIR --precision float."
        )
    condition = gate["name"].startswith("condition")
    output = next(
        (name for name in document["evaluation"] if (name in MAIN_OUTPUTS) != condition), None
    )
    name = gate["artifact"]
    if output is not None:
        evaluation = document["evaluation"][output]
        lines += _few(evaluation, name, gate["limit"])
        lines += _where(evaluation, name)
    lines += _layers(document)
    lines += _unseen_conditions(document)
    return lines


def _few(evaluation: Mapping[str, Any], name: str, limit: float) -> list[str]:
    rows = evaluation["by_condition"]["weather"]
    found = sum(row["networks"][name]["found"] for row in rows)
    of = sum(row["networks"][name]["of"] for row in rows)
    if not of:
        return [
            "Hold back frames in which float finds something: without any, nothing is known "
            "(--set calibration.held_back=N, or other data)."
        ]
    if of < FEW and abs(found / of - limit) < 1 / of**0.5:
        return [
            f"Hold back more frames: {of} answers of float are few, so one or two decide this "
            "gate (--set calibration.held_back=N)."
        ]
    return []


def _where(evaluation: Mapping[str, Any], name: str) -> list[str]:
    """The class and the weather that lose most, where there is more than one."""
    lines = []
    for rows, key, what in (
        (evaluation["by_class"], "label", "class"),
        (evaluation["by_condition"]["weather"], "word", "weather"),
    ):
        lost = {
            row[key]: (row["networks"][name]["of"] - row["networks"][name]["found"], row)
            for row in rows
            if row[key] is not None
        }
        if len(lost) < 2 or not any(count for count, _ in lost.values()):
            continue
        word, (count, row) = max(lost.items(), key=lambda item: item[1][0])
        lines.append(
            f"Look first at {what} '{word}': {name} loses {count} of "
            f"{row['networks'][name]['of']} there."
        )
    return lines


def _layers(document: Document) -> list[str]:
    search, share = document.get("search"), document["quantized"]["macs_int8_share"]
    if search is None:
        return [
            "Let convert find the layers that INT8 ruins and leave them in float: "
            "--set precision.search=mixed."
        ]
    if share is None:
        return []
    return [
        f"{100 * share:.1f} % of the multiplications run in INT8: allow more float "
        "(--set precision.macs_int8_min=SHARE, and a smaller precision.damage_max)."
    ]


def _unseen_conditions(document: Document) -> list[str]:
    missing = _only_held_back(document)
    if not missing:
        return []
    return [f"Calibrate on {_listed(missing)} too: frames in it are judged but none is calibrated on."]


def _parity(_document: Document, _gate: Mapping[str, Any]) -> list[str]:
    return [
        "Use none of these files: float.onnx does not compute what its source does.",
        "Check that forward does not depend on training mode or on random numbers, and export again.",
    ]


def _size(_document: Document, _gate: Mapping[str, Any]) -> list[str]:
    return [
        "Take a smaller network, or raise gates.size_max_mb where the device has the room. "
        "int8.onnx still holds its weights in float; the engine that a device builds is smaller.",
    ]


def _any(_document: Document, _gate: Mapping[str, Any]) -> list[str]:
    return ["Mend the model or the calibration, and convert again."]


ADVICE: Mapping[str, Callable[[Document, Mapping[str, Any]], list[str]]] = {
    "parity_max_abs": _parity,
    "found_min": _kept,
    "condition_agree_min": _kept,
    "size_max_mb": _size,
}


def _cautions(document: Document) -> list[str]:
    """What the figures cannot say, whatever the gates do."""
    lines = []
    ungated = [gate["name"] for gate in document["gates"] if gate["passed"] is None]
    if ungated:
        lines.append(f"Not gated: {_listed(ungated)}. Nothing fails there, whatever is measured.")
    for output, evaluation in document["evaluation"].items():
        answers = sum(
            next(iter(row["networks"].values()))["of"]
            for row in evaluation["by_condition"]["weather"]
        )
        if answers < FEW:
            lines.append(
                f"{answers} answers of float ({output}) in {evaluation['frames']} held-back frames "
                "are few: the intervals are wide."
            )
    return lines


def _only_held_back(document: Document) -> list[str]:
    """Weathers and lights that are judged and not calibrated on."""
    data = document["data"]
    return [
        word
        for kind in ("weather", "light")
        for word in dict.fromkeys(row[kind] for row in data["held_back"]["conditions"])
        if word is not None and word not in {row[kind] for row in data["calibration"]["conditions"]}
    ]


def _float_failed(failed: list[Mapping[str, Any]]) -> bool:
    return any(gate["artifact"] == "float.onnx" for gate in failed)


def _listed(words: Any) -> str:
    """"a", "a and b", "a, b and c", each once."""
    once = list(dict.fromkeys(words))
    return " and ".join([", ".join(once[:-1]), once[-1]] if len(once) > 1 else once)
