"""What is wrong with a run as a whole: frames too far apart, results that mostly miss the budget, a
stop that was never released.

In: figures of the run. Out: a sentence for its report, or None; the remedies are in the table of
faults. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.contract.mission.checks.cross_checks import STAGES
from edge.runtime.loop.latency_budget import END_TO_END, Summary
from firmware_bridge.protocol.messages import Action

_MISSED_MOST = 0.5
_RESULTS_LEAST = 10


def too_far_apart(fps: float, unknown_after_ns: int) -> str | None:
    """A sentence where a frame is too old before the next one of such a source comes, else None."""
    if 1e9 / fps < unknown_after_ns:
        return None
    return (
        f"{fps:g} frames a second: each is too old after {unknown_after_ns / 1e6:.0f} ms, before "
        "the next one comes, so perception is Unknown in between and no stop is released"
    )


def budget_missed(latency: Mapping[str, Summary]) -> str | None:
    """A sentence where more than half of a run's results missed the end-to-end budget, with the
    stages that took longer than theirs at the median; else None."""
    whole = latency[END_TO_END]
    if whole.budget_ms is None or whole.misses is None or whole.p50_ms is None:
        return None
    if whole.count < _RESULTS_LEAST or whole.misses <= _MISSED_MOST * whole.count:
        return None
    over = [
        f"{name} {row.p50_ms:.0f} of {row.budget_ms:g}"
        for name, row in ((stage, latency[stage]) for stage in STAGES)
        if row.p50_ms is not None and row.budget_ms is not None and row.p50_ms > row.budget_ms
    ]
    stages = (
        f"; at the median {', '.join(over)} ms" if over else "; each stage keeps its own budget"
    )
    return (
        f"{whole.misses} of {whole.count} results took longer than the {whole.budget_ms:g} ms of "
        f"budget.end_to_end_ms, half of them {whole.p50_ms:.0f} ms or more{stages}"
    )


def never_released(commands: Mapping[Action, int], *, unsure: Sequence[str]) -> str | None:
    """A sentence where a run commanded nothing but stops, else None; `unsure`: the rules that
    permitted no release at the end."""
    sent = {action for action, count in commands.items() if count}
    if not sent or min(sent) < Action.COMFORT_STOP:
        return None
    if unsure:
        names = ", ".join(f"'{name}'" for name in unsure)
        return f"every command was a stop; not looked at for a whole confirm window: {names}"
    return (
        "every command was a stop: one was demanded all the time, or the vehicle never stood while "
        "the road was perceived"
    )
