"""How far two networks are apart, and what a gate makes of it: what could not be measured fails,
what is not asked for is said to be not gated.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calibration.sessions import Floats
from converters.agreement import CPU, FLOAT, INT8, Found
from converters.gates import GATES, Measured, judge_gates
from converters.parity import Comparison, Parity
from converters.report import _finite
from edge.contract.mission import Gates


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


def measured(**changes: object) -> Measured:
    good = {name: Found(9, 10, 0) for name in (FLOAT, INT8, CPU)}
    values = {
        "parity_max_abs": 1e-5,
        "found": good,
        "condition": good,
        "classifies": False,
        "size_mb": 1.0,
        "held_back": 4,
    }
    return Measured(**(values | changes))  # type: ignore[arg-type] # of these types


LIMITS = Gates(parity_max_abs=1e-3, found_min=0.9, condition_agree_min=0.9, size_max_mb=1.0)


def test_limits_that_are_just_reached_pass() -> None:
    results = judge_gates(LIMITS, measured())
    assert [gate.name for gate in results] == [gate.name for gate in GATES]
    assert all(gate.passed for gate in results)


def test_what_is_not_asked_for_is_said_to_be_not_gated() -> None:
    results = {gate.name: gate for gate in judge_gates(Gates(), measured())}
    assert results.pop("parity_max_abs").passed
    assert {gate.passed for gate in results.values()} == {None}
    assert {gate.limit_text for gate in results.values()} == {"not gated"}


NOTHING = {name: Found(0, 0, 0) for name in (FLOAT, INT8, CPU)}


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"parity_max_abs": 1.1e-3}, {"parity_max_abs"}),
        ({"parity_max_abs": math.nan}, {"parity_max_abs"}),
        ({"parity_max_abs": math.inf}, {"parity_max_abs"}),
        ({"size_mb": 1.1}, {"size_max_mb"}),
        ({"found": {FLOAT: Found(9, 9, 0), INT8: Found(8, 9, 0), CPU: Found(9, 9, 0)}},
         {"found_min int8"}),
        ({"found": NOTHING}, {"found_min int8", "found_min cpu"}),
        ({"condition": NOTHING}, {"condition_agree_min int8", "condition_agree_min cpu"}),
    ],
)  # fmt: skip
def test_what_is_beyond_a_limit_or_unknown_fails(
    changes: dict[str, object], failing: set[str]
) -> None:
    results = judge_gates(LIMITS, measured(**changes))
    assert {gate.name for gate in results if gate.passed is False} == failing
    assert all(gate.sentence for gate in results)


def test_the_report_holds_no_number_that_json_lacks() -> None:
    plain = _finite({"a": [math.nan, {"b": math.inf}], "c": 1.5, "d": None})
    assert json.loads(json.dumps(plain, allow_nan=False)) == {
        "a": [None, {"b": None}],
        "c": 1.5,
        "d": None,
    }
