"""The histogram counts every finite float32, merges without loss, and refuses the others."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from calibration.observation import histogram as module
from calibration.observation.histogram import BUCKETS, Histogram, NotFinite, Tally, upper_edge
from calibration.ranges.methods.table import METHODS, largest, percentile_edge
from calibration.ranges.ranges import range_of

FINITE = arrays.arrays(
    np.float32,
    st.integers(0, 60),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def counted(*parts: NDArray[np.float32]) -> Histogram:
    seen = Histogram()
    for part in parts:
        seen.add(part)
    return seen


def by_numpy(values: NDArray[np.float32]) -> NDArray[np.int64]:
    buckets = np.abs(values).view(np.uint32) >> 16
    return np.bincount(buckets, minlength=BUCKETS).astype(np.int64)


@given(FINITE, FINITE)
def test_merging_is_adding_everything(one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    merged = counted(one)
    merged.merge(counted(other))
    for whole in (counted(np.concatenate([one, other])), counted(one, other), merged):
        assert np.array_equal(whole.counts, by_numpy(np.concatenate([one, other])))
        assert (whole.lowest, whole.highest) == (merged.lowest, merged.highest)
        assert whole.total == one.size + other.size


@given(FINITE.filter(lambda values: values.size > 0))
def test_extremes_are_exact_and_nobody_is_lost(values: NDArray[np.float32]) -> None:
    seen = counted(values)
    assert (seen.lowest, seen.highest) == (values.min(), values.max())
    assert seen.amax == np.abs(values).max()
    assert seen.counts.sum() == values.size


@given(st.floats(width=32, min_value=0.0, max_value=2.0**127))
def test_a_bucket_ends_less_than_a_hundredth_above_its_values(value: float) -> None:
    bucket = int(np.flatnonzero(counted(np.float32([value])).counts)[0])
    edge = upper_edge(bucket)
    assert value < edge
    if value >= np.finfo(np.float32).tiny:
        assert edge <= value * (1.0 + 2.0**-7)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_leaves_no_trace(poison: float) -> None:
    seen = counted(np.float32([1.0, -3.0]))
    before = seen.counts.copy()
    with pytest.raises(NotFinite):
        seen.add(np.float32([2.0, poison, 9.0]))
    assert np.array_equal(seen.counts, before)
    assert (seen.lowest, seen.highest) == (-3.0, 1.0)


def test_of_many_values_runs_are_counted_in_turn_and_extremes_are_of_all() -> None:
    random = np.random.default_rng(0)
    size = 5 * module.ENOUGH + 3 * module.RUN + 17
    values = random.normal(size=size).astype(np.float32)
    whole = size // module.RUN
    by_turn = [module.count(values, turn=turn) for turn in range(7)]
    for turn, found in enumerate(by_turn):
        runs = np.arange(turn % 6, whole, 6)
        taken = values[: whole * module.RUN].reshape(-1, module.RUN)[runs].reshape(-1)
        seen = np.zeros(BUCKETS, np.int64)
        seen[found.first :][: found.counts.size] += found.counts.astype(np.int64)
        seen[0] += found.zeros
        assert np.array_equal(seen, by_numpy(taken))
        assert found.values == taken.size <= module.ENOUGH
        assert (found.lowest, found.highest) == (values.min(), values.max())
    assert sum(found.values for found in by_turn[:6]) == whole * module.RUN  # nothing twice
    assert module.count(values[: module.ENOUGH]).values == module.ENOUGH


@pytest.mark.parametrize("where", [0, module.ENOUGH + 5, -1])
def test_nothing_that_is_not_finite_passes_uncounted(where: int) -> None:
    values = np.ones(3 * module.ENOUGH + 5, np.float32)
    values[where] = np.nan
    for turn in range(4):
        with pytest.raises(NotFinite):
            module.count(values, turn=turn)


@pytest.mark.parametrize("method", METHODS)
def test_a_lone_value_that_was_not_counted_is_not_quantized_away(method: str) -> None:
    values = np.zeros(module.ENOUGH + module.RUN, np.float32)
    values[module.RUN] = 2.5  # in the second run; the first, third and so on are counted
    assert METHODS[method](counted(values), 99.0) == 2.5


WIDE = np.float32([0.0, -0.0, 1e-45, -1e-42, 3e-38, 2.0**-30, -1.0, 5.5, 6.0, -3e38])


@pytest.mark.parametrize("largest_seen", WIDE)
@pytest.mark.parametrize("share_of_zeros", [0.0, 0.01, 0.4, 0.999, 1.0])
def test_what_lies_far_below_the_largest_is_counted_too(
    largest_seen: np.float32, share_of_zeros: float
) -> None:
    random = np.random.default_rng(5)
    values = random.choice(WIDE[np.abs(WIDE) <= np.abs(largest_seen)], size=module.ENOUGH)
    values[random.random(values.size) < share_of_zeros] = 0.0
    room = np.full(module.ENOUGH, 7, np.uint16)
    for found in (module.count(values), module.count(values, room)):
        seen = Histogram()
        tally = Tally(seen)
        tally.add(found)
        tally.settle()
        assert np.array_equal(seen.counts, by_numpy(values))
    assert np.array_equal(counted(values).counts, by_numpy(values))


def test_any_layout_is_counted() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(counted(values.T[::2]).counts, by_numpy(values.T[::2].reshape(-1)))


@pytest.mark.parametrize("percentile", [90.5, 99.0, 99.9, 100.0])
@pytest.mark.parametrize("spread", ["normal", "heavy", "positive"])
def test_percentile_is_numpys_within_a_bucket(percentile: float, spread: str) -> None:
    random = np.random.default_rng(3)
    values = {
        "normal": random.normal(size=20_000),
        "heavy": random.standard_cauchy(size=20_000),
        "positive": np.maximum(random.normal(size=20_000), 0.0),
    }[spread].astype(np.float32)
    # numpy's own "inverted_cdf" asks for one value too many at 99.9: it counts in floats.
    rank = math.ceil(Fraction(str(percentile)) * values.size / 100)
    exact = float(np.sort(np.abs(values))[rank - 1])
    found = percentile_edge(counted(values), percentile)
    assert exact <= found <= exact * (1.0 + 2.0**-7)
    assert found <= np.abs(values).max()


def test_one_outlier_moves_max_and_not_percentile() -> None:
    values = np.concatenate([np.linspace(-1, 1, 100_000), [1000.0]]).astype(np.float32)
    assert largest(counted(values), 99.9) == 1000.0
    assert percentile_edge(counted(values), 99.9) <= 1.0 + 2.0**-7


@pytest.mark.parametrize("method", METHODS)
def test_nothing_zeros_and_mostly_zeros(method: str) -> None:
    nothing = range_of(Histogram(), method=method, percentile=99.9)
    assert (nothing.amax, nothing.low, nothing.high, nothing.values) == (0.0, 0.0, 0.0, 0)
    assert METHODS[method](Histogram(), 99.9) == 0.0
    zeros = range_of(counted(np.zeros(9, np.float32)), method=method, percentile=99.9)
    assert (zeros.amax, zeros.values) == (0.0, 9)
    # A range of 0 would quantize the few values away.
    sparse = counted(np.float32([0.0] * 99_999 + [2.5]))
    assert range_of(sparse, method=method, percentile=99.0).amax == 2.5


@settings(max_examples=50)
@given(FINITE, st.sampled_from(sorted(METHODS)), st.floats(90.5, 100.0))
def test_a_range_holds_zero_and_lies_inside_what_was_seen(
    values: NDArray[np.float32], method: str, percentile: float
) -> None:
    taken = range_of(counted(values), method=method, percentile=percentile)
    assert -taken.amax <= taken.low <= 0.0 <= taken.high <= taken.amax
    if values.size:
        assert taken.amax <= np.abs(values).max()
        assert taken.low >= min(0.0, float(values.min()))
        assert taken.high <= max(0.0, float(values.max()))
