"""The difference of two networks and the verdicts of gates: an unmeasured figure fails, a gate
without a limit is reported as not gated.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from converters.report.report import _finite
from converters.verification.agreement.agreement import Agreement
from converters.verification.gates.result import GateResult
from converters.verification.gates.table import GATES, Measurements, judge_gates
from converters.verification.labelled_accuracy import NOT_ASKED, Accuracy, Score, Scores
from converters.verification.parity import Comparison, Parity
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.sections.conversion import Gates
from edge.contract.mission.sections.device import Budget
from edge.perception.values import Floats


def apart(reference: list[float], candidate: list[float]) -> Parity:
    seen = Comparison(["main"])
    seen.add((np.float32(reference),), (np.float32(candidate),))
    return seen.result()


def test_equal_in_every_bit_has_no_ratio() -> None:
    assert (apart([1, 2], [1, 2]).max_abs, apart([1, 2], [1, 2]).snr_db) == (0.0, None)


def test_a_tenth_is_twenty_decibels() -> None:
    found = apart([1.0], [1.1])
    assert found.max_abs == pytest.approx(0.1, rel=1e-5)
    assert found.snr_db == pytest.approx(20.0, abs=1e-3)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("side", ["reference", "candidate", "both"])
def test_what_is_not_finite_is_never_equal_and_never_a_failure_of_ours(
    poison: float, side: str
) -> None:
    reference = [1.0, poison if side != "candidate" else 1.0]
    candidate = [1.0, poison if side != "reference" else 1.0]
    with np.errstate(invalid="ignore"):
        found = apart(reference, candidate)
    assert not math.isfinite(found.max_abs)
    assert found.snr_db is not None
    assert not math.isfinite(found.snr_db)


def test_a_later_good_picture_does_not_hide_a_bad_one() -> None:
    seen = Comparison(["main", "condition"])
    good: tuple[Floats, Floats] = (np.float32([1.0]), np.float32([1.0]))
    seen.add(good, (np.float32([1.0]), np.float32([np.nan])))
    seen.add(good, good)
    assert math.isnan(seen.result().max_abs)
    assert seen.result().outputs["main"].max_abs == 0.0


@given(arrays.arrays(np.float32, 8, elements=st.floats(-100, 100, width=32)))
def test_the_largest_difference_is_numpys(candidate: Floats) -> None:
    reference = np.linspace(-1, 1, 8, dtype=np.float32)
    found = apart(list(reference), list(candidate)).max_abs
    assert found == np.abs(candidate.astype(np.float64) - reference).max()


ACCURACY_GATES = {
    *("accuracy_min", "accuracy_drop_max", "worst_condition_min"),
    *("class_accuracy_min", "condition_accuracy_min"),
}


def measured(**changes: object) -> Measurements:
    good = {name: Agreement(9, 10, 0) for name in (FLOAT, INT8, CPU)}
    values = {
        "parity_max_abs": 1e-5,
        "found": good,
        "condition": good,
        "classifies": False,
        "size_mb": 1.0,
        "held_back": 4,
        "macs_int8_share": {INT8: 0.9, CPU: 0.9},
        "without_int8": {},
        "infer_p99_ms": 10.0,
        "timed_frames": 4,
        "backend": "onnxruntime",
        "accuracy": NOT_ASKED,
    }
    return Measurements(**(values | changes))  # type: ignore[arg-type] # of these types


LIMITS = Gates(
    parity_max_abs=1e-3,
    found_min=0.9,
    condition_agree_min=0.9,
    size_max_mb=1.0,
    macs_int8_min=0.9,
    infer_p99_max_ms="budget",
    accuracy_min=0.5,
    accuracy_drop_max=0.1,
    worst_condition_min=0.3,
    class_accuracy_min={"pedestrian": 0.4},
    condition_accuracy_min={"fog": 0.3},
)
BUDGET = Budget(**dict.fromkeys((f"{stage}_ms" for stage in STAGES), 10.0), end_to_end_ms=100.0)


def scored(value: float | None) -> Score:
    return Score(value, None if value is None else (value - 0.1, value + 0.1), 4)


def accurate(*, overall: float = 0.5, fog: float | None = 0.3) -> Accuracy:
    """Of all networks the same, but float is a tenth better."""
    own = Scores(
        scored(overall),
        {"pedestrian": scored(0.4)},
        {"weather fog": scored(fog), "light day": scored(0.6), "light unknown": scored(0.0)},
    )
    better = replace(own, overall=scored(0.6))
    return Accuracy("known", "4 frames of road", "AP50", {FLOAT: better, INT8: own, CPU: own})


def judge_all(limits: Gates, seen: Measurements) -> tuple[GateResult, ...]:
    return judge_gates(limits, seen, budget=BUDGET)


def test_limits_that_are_just_reached_pass() -> None:
    results = judge_all(LIMITS, measured(accuracy=accurate()))
    assert [gate.name for gate in results[: len(GATES)]] == [gate.name for gate in GATES]
    assert [gate.name for gate in results[len(GATES) :]] == [
        "infer_p99_max_ms cpu",
        *(
            name
            for short in ("int8", "cpu")
            for name in (
                f"accuracy_min {short}",
                f"accuracy_drop_max {short}",
                f"worst_condition_min {short}",
                f"class_accuracy_min {short}: pedestrian",
                f"condition_accuracy_min {short}: fog",
            )
        ),
    ]
    assert all(gate.passed for gate in results)
    said = {gate.name: gate.sentence for gate in results}
    assert said["worst_condition_min int8"] == (
        "int8.onnx has AP50 0.300 (0.200 to 0.400) in 'weather fog', its worst condition, "
        "on 4 of 4 frames of road"
    )
    assert "0.500 where float has 0.600, 0.100 less" in said["accuracy_drop_max cpu"]


def test_every_key_of_gates_is_judged() -> None:
    assert LIMITS.model_fields_set == Gates.model_fields.keys() - {"labelled"}, "give it a limit"
    judged = {gate.name.split(" ")[0] for gate in judge_all(LIMITS, measured(accuracy=accurate()))}
    assert judged == LIMITS.model_fields_set


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"infer_p99_ms": 10.1}, {"infer_p99_max_ms"}),
        ({"macs_int8_share": {INT8: 0.89, CPU: 0.9}}, {"macs_int8_min"}),
        ({"macs_int8_share": {INT8: 0.9, CPU: 0.89}}, {"macs_int8_min"}),
        ({"macs_int8_share": {INT8: None, CPU: None}}, {"macs_int8_min"}),
        ({"accuracy": accurate(overall=0.499)}, {"accuracy_min", "accuracy_drop_max"}),
        ({"accuracy": accurate(fog=0.299)}, {"worst_condition_min", "condition_accuracy_min"}),
        ({"accuracy": accurate(fog=None)}, {"condition_accuracy_min"}),
        ({"accuracy": Accuracy("unknown", "no labels")}, ACCURACY_GATES),
        ({"accuracy": NOT_ASKED}, ACCURACY_GATES),
    ],
)
def test_accuracy_that_is_too_low_or_unknown_fails(
    changes: dict[str, object], failing: set[str]
) -> None:
    results = judge_all(LIMITS, measured(**{"accuracy": accurate(), **changes}))
    assert {gate.name.split(" ")[0] for gate in results if gate.passed is False} == failing
    assert all(gate.sentence for gate in results)


def test_a_condition_or_class_that_no_frame_shows_fails() -> None:
    limits = Gates(class_accuracy_min={"vehicle": 0.0}, condition_accuracy_min={"snow": 0.0})
    results = [
        gate for gate in judge_all(limits, measured(accuracy=accurate())) if gate.limit == 0.0
    ]
    assert [gate.passed for gate in results] == [False] * 4
    assert all("show none of it" in gate.sentence for gate in results)


def test_what_is_not_asked_for_is_said_to_be_not_gated() -> None:
    results = {gate.name: gate for gate in judge_all(Gates(), measured())}
    assert results.pop("parity_max_abs").passed
    assert {gate.passed for gate in results.values()} == {None}
    assert {gate.limit_text for gate in results.values()} == {"not gated"}


NOTHING = {name: Agreement(0, 0, 0) for name in (FLOAT, INT8, CPU)}


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"parity_max_abs": 1.1e-3}, {"parity_max_abs"}),
        ({"parity_max_abs": math.nan}, {"parity_max_abs"}),
        ({"parity_max_abs": math.inf}, {"parity_max_abs"}),
        ({"size_mb": 1.1}, {"size_max_mb"}),
        ({"found": {FLOAT: Agreement(9, 9, 0), INT8: Agreement(8, 9, 0), CPU: Agreement(9, 9, 0)}},
         {"found_min int8"}),
        ({"found": NOTHING}, {"found_min int8", "found_min cpu"}),
        ({"condition": NOTHING}, {"condition_agree_min int8", "condition_agree_min cpu"}),
    ],
)  # fmt: skip
def test_what_is_beyond_a_limit_or_unknown_fails(
    changes: dict[str, object], failing: set[str]
) -> None:
    results = judge_all(LIMITS, measured(**{"accuracy": accurate(), **changes}))
    assert {gate.name for gate in results if gate.passed is False} == failing
    assert all(gate.sentence for gate in results)


def test_the_report_holds_no_number_that_json_lacks() -> None:
    plain = _finite({"a": [math.nan, {"b": math.inf}], "c": 1.5, "d": None})
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "a": [None, {"b": None}],
        "c": 1.5,
        "d": None,
    }
