"""The verdict at the top of the page: whether the gates hold, which files may be used, what is
unknown.

Takes report.json as plain values. Advice on failed gates is in `advice.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.report.page.advice import Advice, advice_on
from converters.report.page.facts import Document, Gate, answers, float_failed, listed
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.gate_count import GateCount

KEEPING = ("found_min", "condition_agree_min", "accuracy_min", "accuracy_drop_max")
"""Gates on the agreement of a quantized network with float."""
NETWORKS = (FLOAT, INT8, CPU)
FEW = 100
"""Fewer answers than this leave an interval of about ten percent on either side."""


@dataclass(frozen=True)
class Verdict:
    """The first thing on the page.

    Attributes:
        passed: there are gates, and none failed.
        title: one sentence.
        summary: what a pass means; empty when it failed.
        failures: what each failed gate found, and its limit.
        advice: what to do, most useful first.
        cautions: what the figures cannot say.
    """

    passed: bool
    title: str
    summary: str
    failures: tuple[str, ...]
    advice: tuple[Advice, ...]
    cautions: tuple[str, ...]


def verdict_of(document: Document) -> Verdict:
    """The verdict of a report."""
    judged = [gate for gate in document["gates"] if gate["passed"] is not None]
    failed = [gate for gate in judged if not gate["passed"]]
    asked = [gate for gate in judged if gate["name"].split(" ")[0] in KEEPING]
    count = GateCount.of(gate["passed"] for gate in document["gates"])
    title, summary = f"Passed: {count.words}.", ""
    if not judged:
        title = "Not judged: the mission has no gate. No file may be used."
    if failed:
        title = f"Failed: {count.failed} of {count.judged} gates. {_usable(failed)}"
    elif asked:
        summary = (
            "INT8 keeps what this mission asks it to keep of the float network, on "
            f"{document['data']['held_back']['frames']} frames it was not calibrated on."
        )
    else:
        summary = (
            "No gate of this mission asks INT8 to keep what float sees (gates.found_min), so this "
            "says little about INT8."
        )
    return Verdict(
        passed=bool(judged) and not failed,
        title=title,
        summary=summary,
        failures=tuple(
            f"{gate['sentence']}; the gate asks for {gate['limit_text']}." for gate in failed
        ),
        advice=advice_on(document, failed),
        cautions=tuple(_cautions(document)),
    )


def _cautions(document: Document) -> list[str]:
    """Limits of the figures, whatever the gates say."""
    lines = []
    ungated = [gate["name"] for gate in document["gates"] if gate["passed"] is None]
    if ungated:
        lines.append(f"Not gated: {listed(ungated)}; whatever is measured there, nothing fails.")
    for output, evaluation in document["evaluation"].items():
        _, of = answers(evaluation, INT8)
        if of < FEW:
            lines.append(
                f"{of} answers of float ({output}) in {evaluation['frames']} held-back frames are "
                "few: mind the intervals."
            )
    return lines


def _usable(failed: Sequence[Gate]) -> str:
    """Which files must not be used, and which may."""
    if float_failed(failed):
        return "No file may be used."
    refused = [name for name in NETWORKS if any(gate["artifact"] == name for gate in failed)]
    others = [name for name in NETWORKS if name not in refused]
    return f"{listed(refused)} must not be used; {listed(others)} may."
