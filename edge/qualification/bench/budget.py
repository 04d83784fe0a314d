"""Proposes a mission's [budget] from what was measured: the 99th percentile and a margin.

Windows go in; milliseconds by key, and the section as TOML, come out. The section fits: its stages
fit into its end-to-end budget. Never changes a mission.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edge.contract.mission.checks.cross_checks import STAGES
from edge.contract.mission.sections.device import Budget
from edge.qualification.bench.windows import END_TO_END, Window

MARGIN = 1.25
"""On the 99th percentile: a quarter for days that are hotter and roads that are fuller."""

LEAST_MS, MOST_MS = 0.5, 10_000.0
"""Below half a millisecond the scheduler decides, not the stage; the schema allows ten seconds."""


def propose(windows: Sequence[Window], present: Budget) -> dict[str, float]:
    """Keys of [budget] and milliseconds; a stage that never ran keeps what it has."""
    found: dict[str, float] = {}
    for stage in STAGES:
        highest = _highest_p99(windows, stage)
        found[f"{stage}_ms"] = present.stage_ms(stage) if highest is None else _with_margin(highest)
    whole = _highest_p99(windows, END_TO_END)
    needed = sum(found.values())
    found["end_to_end_ms"] = max(
        math.ceil(needed), present.end_to_end_ms if whole is None else _with_margin(whole)
    )
    return found


def as_toml(budget: Mapping[str, float]) -> str:
    """The section, ready for a mission file."""
    return "\n".join(["[budget]", *(f"{key} = {value:g}" for key, value in budget.items())])


def _highest_p99(windows: Sequence[Window], row: str) -> float | None:
    spreads = [one.rows[row] for one in windows]
    return max((spread.p99 for spread in spreads if spread is not None), default=None)


def _with_margin(p99_ms: float) -> float:
    """Rounded up to half a millisecond below ten, else to a whole one."""
    value = MARGIN * p99_ms
    step = 0.5 if value < 10.0 else 1.0
    return min(max(math.ceil(value / step) * step, LEAST_MS), MOST_MS)
