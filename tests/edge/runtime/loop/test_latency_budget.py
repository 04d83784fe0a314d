"""Latency histograms against numpy's percentiles, misses against their window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_road import tiny_mission

from edge.contract.mission.checks.cross_checks import STAGES
from edge.runtime.loop.latency_budget import BUCKET_RATIO, Budgets, Histogram, MissWindow


@given(
    st.lists(st.floats(0.002, 50_000.0), min_size=1, max_size=300),
    st.sampled_from([50.0, 95.0, 99.0]),
)
def test_a_percentile_is_true_within_one_bucket(values: list[float], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    found = histogram.percentile_ms(percent)
    assert found is not None
    assert exact * (1 - 1e-9) <= found <= exact * BUCKET_RATIO * (1 + 1e-9)


def test_an_empty_histogram_knows_nothing() -> None:
    assert Histogram().percentile_ms(50.0) is None


def test_values_beyond_the_range_are_counted_and_the_maximum_is_exact() -> None:
    histogram = Histogram()
    for value in (0.0, 1e7):
        histogram.add(value)
    assert histogram.count == 2
    assert histogram.max_ms == 1e7


def test_memory_does_not_grow_with_samples() -> None:
    histogram = Histogram()
    buckets = len(histogram._counts)
    for value in np.random.default_rng(0).lognormal(2.0, 2.0, 20_000):
        histogram.add(float(value))
    assert len(histogram._counts) == buckets < 400


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_the_window_holds_the_newest_results_only(misses: list[bool]) -> None:
    window = MissWindow(10)
    for missed in misses:
        window.add(missed=missed)
    if len(misses) < 10:
        assert window.share is None
    else:
        assert window.share == pytest.approx(sum(misses[-10:]) / 10)


def test_every_stage_is_measured_against_its_own_budget(root: Path) -> None:
    budgets = Budgets(tiny_mission(root).budget)
    budgets.add("infer", 39.0)
    budgets.add("infer", 41.0)
    budgets.add("end_to_end", 101.0)
    rows = budgets.summaries()
    assert list(rows) == [*STAGES, "end_to_end", "to_acknowledge"]
    assert (rows["infer"].count, rows["infer"].misses, rows["infer"].budget_ms) == (2, 1, 40.0)
    assert rows["end_to_end"].misses == 1
    assert rows["grab"].p50_ms is None
    assert rows["to_acknowledge"].misses is None
