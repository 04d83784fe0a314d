"""A run's verdicts on itself: when, in which words, and when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_road import tiny_mission

from edge.runtime.loop.latency_budget import END_TO_END, Budgets
from edge.runtime.recording.fault_log import FAULTS
from edge.runtime.recording.run_verdicts import budget_missed, never_released, too_far_apart
from firmware_bridge.protocol.messages import Action


@pytest.fixture
def budgets(root: Path) -> Budgets:
    return Budgets(tiny_mission(root).budget)  # infer 40, end to end 100 ms


def measured(budgets: Budgets, *, infer: list[float], whole: list[float]) -> str | None:
    for value in infer:
        budgets.add("infer", value)
    for value in whole:
        budgets.add(END_TO_END, value)
    return budget_missed(budgets.summaries())


def test_a_run_that_missed_its_budget_names_the_stage_that_took_too_long(budgets: Budgets) -> None:
    text = measured(budgets, infer=[90.0] * 20, whole=[140.0] * 19 + [80.0])
    assert text is not None
    assert text.startswith("19 of 20 results took longer than the 100 ms of budget.end_to_end_ms")
    assert text.endswith("; at the median infer 90 of 40 ms")


def test_stages_that_all_keep_their_budget_are_not_blamed(budgets: Budgets) -> None:
    text = measured(budgets, infer=[30.0] * 20, whole=[140.0] * 20)
    assert text is not None
    assert text.endswith("each stage keeps its own budget")


@pytest.mark.parametrize(
    "whole", [[], [140.0] * 9, [140.0] * 10 + [80.0] * 10], ids=["none", "too few", "half"]
)
def test_a_budget_that_is_missed_now_and_then_is_no_verdict(
    budgets: Budgets, whole: list[float]
) -> None:
    assert measured(budgets, infer=[90.0] * len(whole), whole=whole) is None


def test_a_source_is_too_slow_where_its_next_frame_comes_too_late() -> None:
    assert too_far_apart(2.5, 500_000_000) is None
    for fps in (2.0, 0.01):
        assert f"{fps:g} frames a second" in (too_far_apart(fps, 500_000_000) or "")


def test_a_run_of_nothing_but_stops_says_which_rules_were_waited_for() -> None:
    stops = {Action.COMFORT_STOP: 90, Action.EMERGENCY_STOP: 3, Action.NONE: 0}
    text = never_released(stops, unsure=["wet road", "person"])
    assert text is not None
    assert text.endswith("'wet road', 'person'")
    assert "the vehicle never stood" in (never_released(stops, unsure=[]) or "")
    assert never_released(stops | {Action.SLOW_DOWN: 1}, unsure=["wet road"]) is None
    assert never_released({}, unsure=[]) is None


def test_every_verdict_has_its_row_among_the_faults() -> None:
    for kind in ("frames too far apart", "budget missed", "never released"):
        assert FAULTS[kind].exit_code == 0
        assert FAULTS[kind].remedy
