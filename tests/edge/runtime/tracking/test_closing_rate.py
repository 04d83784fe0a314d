"""Closing rates of many histories at once, against a line fitted to one history at a time."""

from __future__ import annotations

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.runtime.tracking.closing_rate import (
    ARRIVED,
    ClosingSettings,
    History,
    Rate,
    Sample,
    closing_rates,
)
from edge.runtime.tracking.scale_growth import PATCH_SETTINGS
from edge.runtime.tracking.time_to_contact import BOX_SETTINGS


def plain_rate(sizes: list[Sample], now_s: float, given: ClosingSettings) -> Rate | None:
    """The definition, sample by sample: a resistant line, and a least-squares line of what lies
    near it."""
    if len(sizes) < given.samples_min or sizes[-1][0] < now_s - given.stale_s:
        return None
    if sizes[-1][0] - sizes[0][0] < given.span_min_s:
        return None
    third = max(1, len(sizes) // 3)
    (t1, q1), (t2, q2) = (
        (median(at for at, _ in some), 1.0 / median(size for _, size in some))
        for some in (sizes[:third], sizes[-third:])
    )
    if t2 <= t1:
        return None
    slope = (q2 - q1) / (t2 - t1)
    now = median(1.0 / size - slope * (at - now_s) for at, size in sizes)
    rows = [(at - now_s, size, now + slope * (at - now_s)) for at, size in sizes]
    usual = median(abs(1.0 - size * expected) for _, size, expected in rows)
    limit = given.outlier * max(usual, given.jitter / 2.0)
    inliers = [row for row in rows if abs(1.0 - row[1] * row[2]) <= limit]
    w = wt = wtt = wq = wtq = 0.0
    for t, size, expected in inliers:
        weight = 1.0 / max(expected * expected, 1e-12)
        w += weight
        wt += weight * t
        wtt += weight * t * t
        wq += weight / size
        wtq += weight * t / size
    spread = w * wtt - wt * wt
    if len(inliers) < given.samples_min or spread <= 1e-9 * w * w:
        return None
    now, slope = (wtt * wq - wt * wtq) / spread, (w * wtq - wt * wq) / spread
    if now <= 0.0:
        return ARRIVED
    squares = sum((1.0 - size * (now + slope * t)) ** 2 for t, size, _ in inliers)
    prior = given.jitter_weight * given.jitter**2
    jitter = (prior + squares) / (given.jitter_weight + len(inliers) - 2)
    rate = -slope / now
    spreads = w - 2.0 * rate * wt + rate * rate * wtt
    return Rate(rate, max(jitter * spreads / spread / now**2, 1e-12))


def drawn(random: np.random.Generator) -> History:
    """A history as a detector might give it: growing or shrinking, with jitter, outliers, gaps and
    frames at the same time."""
    at_s, size = random.uniform(0.0, 2.0), random.uniform(5.0, 300.0)
    growth, jitter = random.uniform(-1.0, 4.0), random.choice([0.0, 0.01, 0.05])
    sizes: list[Sample] = []
    for _ in range(random.integers(0, 30)):
        seen = size * math.exp(growth * at_s) * (1.0 + random.normal(0.0, jitter))
        if random.random() < 0.05:
            seen = random.uniform(1.0, 400.0)
        sizes.append((at_s, max(float(seen), 1.0)))
        at_s += float(random.choice([0.0, 0.002, 0.04, 0.04, 0.04, 0.2]))
    return History(sizes, [BOX_SETTINGS, PATCH_SETTINGS][random.integers(0, 2)])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_each_history_has_the_rate_that_it_has_alone(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    histories = [drawn(random) for _ in range(count)]
    newest_s = max((h.sizes[-1][0] for h in histories if h.sizes), default=0.0)
    now_s = newest_s + float(random.choice([0.0, 0.04, 0.3]))
    found = closing_rates(histories, now_s)
    assert len(found) == count
    for history, rate in zip(histories, found, strict=True):
        assert closing_rates([history], now_s) == [rate]  # to the last bit
        wanted = plain_rate(list(history.sizes), now_s, history.settings)
        assert (rate is None) == (wanted is None)
        if rate is not None and wanted is not None:
            assert rate.value == pytest.approx(wanted.value, rel=1e-12, abs=1e-12)
            assert rate.variance == pytest.approx(wanted.variance, rel=1e-9)


def test_no_history_has_no_rate() -> None:
    assert closing_rates([], 0.0) == []
    assert closing_rates([History((), BOX_SETTINGS)], 0.0) == [None]


def test_frames_with_one_stamp_give_no_rate_and_disturb_no_other() -> None:
    """All but the first at the same time: both medians have it, and there is no line."""
    stuck = History([(0.0, 50.0)] + [(0.4, 50.0 + size) for size in range(12)], BOX_SETTINGS)
    good = History([(index * 0.04, 50.0 * 1.02**index) for index in range(12)], BOX_SETTINGS)
    found = closing_rates([good, stuck, good], 0.44)
    assert found[0] == found[2] == closing_rates([good], 0.44)[0]
    assert found[0] is not None
    assert found[1] is None
