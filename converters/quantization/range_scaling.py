"""Range scaling: multiplies all ranges by one factor, up to the extremes that were observed.

Takes ranges and a factor; returns ranges. Detections come from rare, large activations, which an
MSE range clips because frequent small ones gain by it. The task loss decides on the factor; one
number for a whole network cannot overfit a few frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from calibration.ranges.ranges import Range

RANGE_SCALES = (1.0, 1.15, 1.3, 1.5)
"""Factors to try. Task loss differs by about an eighth between them; less is noise."""


def scaled_ranges(ranges: Mapping[str, Range], by: float) -> dict[str, Range]:
    """Every range times `by`, none beyond the extremes that were observed."""
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
