"""Each range method against a slow reference over every value, and on typical histograms."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibration.observation.histogram import Histogram
from calibration.ranges.methods.cumulative_histogram import CumulativeHistogram
from calibration.ranges.methods.entropy import (
    BINS,
    LEVELS,
    THRESHOLDS,
    divergences,
    least_divergence,
)
from calibration.ranges.methods.mean_square_error import least_square_error
from calibration.ranges.methods.table import METHODS
from edge.contract.mission.sections.conversion import Calibration

random = np.random.default_rng(11)
wide = random.normal(size=30_000) * 3.0
DRAWN = {
    "normal": random.normal(size=30_000),
    "laplace": random.laplace(size=30_000) * 40.0,
    "silu": wide / (1.0 + np.exp(-wide)),
    "relu6": np.clip(random.normal(size=30_000) * 3.0, 0.0, 6.0),
    "cauchy": random.standard_cauchy(size=10_000),
}


def counted(values: NDArray[np.floating]) -> Histogram:
    seen = Histogram()
    seen.add(values.astype(np.float32))
    return seen


def rounding_error(values: NDArray[np.floating], amax: float) -> float:
    """Mean square error of symmetric INT8 over every single value."""
    scale = amax / 127
    return float(np.mean((np.clip(np.rint(values / scale), -127, 127) * scale - values) ** 2))


def slow_divergences(bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The definition, a threshold and a level at a time."""
    found = []
    for threshold in THRESHOLDS:
        reference = bins[:threshold].copy()
        reference[-1] += bins[threshold:].sum()
        quantized = np.zeros(threshold)
        level_of = np.arange(threshold) * LEVELS // threshold
        for level in range(LEVELS):
            inside = (level_of == level) & (bins[:threshold] > 0)
            if inside.any():
                quantized[inside] = bins[:threshold][inside].mean()
        reference /= reference.sum()
        quantized /= quantized.sum() or 1.0
        there = reference > 0
        with np.errstate(divide="ignore"):
            ratio = np.log(reference[there] / quantized[there])
        found.append(float((reference[there] * ratio).sum()))
    return np.array(found)


@pytest.mark.parametrize("drawn", DRAWN)
def test_divergences_are_those_of_the_definition(drawn: str) -> None:
    values = np.abs(DRAWN[drawn])
    bins = np.histogram(values, BINS, (0.0, float(values.max())))[0].astype(np.float64)
    slow, fast = slow_divergences(bins), divergences(bins)
    finite = np.isfinite(slow)
    assert np.array_equal(finite, np.isfinite(fast))
    assert np.abs(slow[finite] - fast[finite]).max() < 1e-9


@pytest.mark.parametrize("drawn", ["normal", "laplace", "silu"])
def test_entropy_range_is_nearly_that_of_all_values(drawn: str) -> None:
    values = np.abs(DRAWN[drawn]).astype(np.float32)
    exact = np.histogram(values, BINS, (0.0, float(values.max())))[0].astype(np.float64)
    of_all = divergences(exact)
    taken = least_divergence(counted(DRAWN[drawn]), 0.0)
    near = np.abs(THRESHOLDS * values.max() / BINS - taken) <= taken * 0.02
    # Not the same bin: the values inside a bucket are spread evenly. But as little is lost.
    assert of_all[near].min() <= of_all.min() + 0.02


@pytest.mark.parametrize("drawn", DRAWN)
def test_mse_range_has_the_least_error_over_all_values(drawn: str) -> None:
    values = DRAWN[drawn].astype(np.float32)
    taken = least_square_error(counted(values), 0.0)
    top = float(np.abs(values).max())
    best = min(rounding_error(values, top * share) for share in np.linspace(1 / 60, 1.0, 300))
    assert rounding_error(values, taken) <= best * 1.02


@settings(max_examples=60)
@given(
    st.lists(st.floats(2.0**-10, 1024.0, width=32), min_size=1, max_size=50),
    st.floats(0.0, 1500.0),
)
def test_sums_below_a_magnitude_are_those_of_the_values(values: list[float], x: float) -> None:
    sure = [value for value in values if value * (1.0 + 2.0**-7) <= x]
    possible = [value for value in values if value * (1.0 - 2.0**-7) < x]
    sums = CumulativeHistogram(counted(np.array(values))).moments(np.array([x]))
    for power, found in enumerate(sums):
        least = sum(value**power for value in sure) * (1 - 2.0**-6)
        most = sum(value**power for value in possible) * (1 + 2.0**-6)
        assert least - 1e-9 <= found[0] <= most + 1e-9


@settings(max_examples=30)
@given(st.sampled_from(sorted(METHODS)), st.integers(-20, 20), st.integers(0, 3))
def test_a_power_of_two_scales_every_range(method: str, exponent: int, seed: int) -> None:
    values = np.random.default_rng(seed).laplace(size=3_000).astype(np.float32)
    one = METHODS[method](counted(values), 99.9)
    other = METHODS[method](counted(values * np.float32(2.0**exponent)), 99.9)
    assert other == pytest.approx(one * 2.0**exponent, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_sign_does_not_matter(method: str) -> None:
    values = DRAWN["silu"].astype(np.float32)
    assert METHODS[method](counted(values), 99.9) == METHODS[method](counted(-values), 99.9)


@pytest.mark.parametrize("method", ["percentile", "entropy", "mse"])
def test_a_lone_outlier_does_not_set_the_range(method: str) -> None:
    values = np.concatenate([np.random.default_rng(1).normal(size=300_000), [60.0]])
    assert METHODS[method](counted(values), 99.99) < 30.0
    assert METHODS["max"](counted(values), 99.99) == 60.0


def test_every_method_can_be_asked_for_and_is_explained(root: Path) -> None:
    asked = set(get_args(Calibration.model_fields["method"].annotation))
    assert asked == {*METHODS, "auto"}
    page = (root / "docs" / "calibration.md").read_text()
    assert [name for name in METHODS if f'"{name}"' not in page and f"`{name}`" not in page] == []
