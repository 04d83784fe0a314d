"""The device reads verdicts under the names by which `convert` writes them."""

from __future__ import annotations

from typing import Any

import pytest
from checkout import ROOT

from converters.verification.agreement.agreement import Agreement
from converters.verification.gates.table import Measurements, judge_gates
from converters.verification.labelled_accuracy import Accuracy
from edge.contract.gate_verdicts import ALWAYS, declared_gates
from edge.contract.mission.loading import load_mission
from edge.contract.mission.sections.conversion import Gates

EVERYTHING: dict[str, Any] = {
    "found_min": 0.9, "condition_agree_min": 0.9, "size_max_mb": 1.0, "macs_int8_min": 0.5,
    "infer_p99_max_ms": 10.0, "accuracy_min": 0.3, "accuracy_drop_max": 0.1,
    "worst_condition_min": 0.2, "class_accuracy_min": {"car": 0.5},
    "condition_accuracy_min": {"fog": 0.4},
}  # fmt: skip


@pytest.mark.parametrize(
    "given", [{}, *({key: value} for key, value in EVERYTHING.items()), EVERYTHING]
)
@pytest.mark.parametrize("condition", [True, False])
def test_every_declared_gate_gets_a_row_of_its_name(given: dict[str, Any], condition: bool) -> None:
    gates = Gates(**given)
    mission = load_mission(ROOT / "examples" / "roadnet" / "mission.toml")
    found = {name: Agreement(9, 10, 0) for name in ("int8.onnx", "cpu.onnx")}
    seen = Measurements(
        parity_max_abs=1e-6, found=found, condition=found if condition else {}, classifies=False,
        size_mb=0.5, held_back=10, macs_int8_share=dict.fromkeys(found, 0.9), without_int8={},
        infer_p99_ms=1.0, timed_frames=10, backend="here",
        accuracy=Accuracy("unknown", "no labels", "AP50", None),
    )  # fmt: skip
    rows = {(one.artifact, one.name) for one in judge_gates(gates, seen, budget=mission.budget)}
    limited = {
        (one.artifact, one.name)
        for one in judge_gates(gates, seen, budget=mission.budget)
        if one.passed is not None
    }
    for artifact, names in ALWAYS.items():
        assert {(artifact, name) for name in names} <= rows
        wanted = {(artifact, name) for name in declared_gates(gates, artifact, condition=condition)}
        assert wanted == {row for row in limited if row[0] == artifact}
