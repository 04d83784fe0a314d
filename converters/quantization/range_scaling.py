"""Ranges that reach further than their method took them: one factor for all of them.

What a network sees is rare, and what is rare lies far out: a method that weighs every value alike
cuts it off where the many values that mean nothing gain by it. How far is too far, the answers
say; one number for a whole network cannot be fitted to a few frames. Never takes a range from data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from calibration.ranges.ranges import Range

RANGE_SCALES = (1.0, 1.15, 1.3, 1.5)
"""Factors that are tried. An eighth of task loss lies between them, and less says nothing."""


def scaled_ranges(ranges: Mapping[str, Range], by: float) -> dict[str, Range]:
    """Every range by this factor, and none beyond the extremes that were seen."""
    return {name: _scaled(one, by) for name, one in ranges.items()}


def _scaled(one: Range, by: float) -> Range:
    if by == 1.0:
        return one
    seen = max(-one.lowest, one.highest, one.amax)
    amax = min(one.amax * by, seen)
    return replace(
        one,
        amax=amax,
        low=max(min(one.lowest, 0.0), -amax),
        high=min(max(one.highest, 0.0), amax),
    )
