"""The next setting to try for the mixed precision search after a failed agreement gate.

Takes the report's search curve and gates; returns a sentence and `--set` options, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.report.page.facts import Document, Gate
from converters.search.mixed_precision import STEPS

FLAT = 0.05
"""Share of the task loss that the second half of the curve must save for a further step to be worth
trying."""


def loses_too_much_by(gates: Sequence[Gate]) -> float | None:
    """How many times as much is lost as the gates allow, the worst of them; None where one is not
    known, or allows nothing."""
    times = []
    for gate in gates:
        if gate["measured"] is None:
            return None
        least = gate["limit_text"].startswith(">=")
        allowed = 1.0 - gate["limit"] if least else gate["limit"]
        lost = 1.0 - gate["measured"] if least else gate["measured"]
        if allowed <= 0.0:
            return None
        times.append(lost / allowed)
    return max(times, default=None)


def next_search(document: Document, gates: Sequence[Gate]) -> tuple[str, str] | None:
    """A sentence and the settings; None where the search has nothing more to give.

    Where the search stopped early because the gates held on its own frames, its task loss limit is
    divided by how far the gates were missed. Where it reached the least share in INT8 while its
    curve was still falling, a smaller share is allowed.
    """
    search: Mapping[str, Any] = document["search"]
    *curve, chosen = search["steps"]
    if search["reached"]:
        times = loses_too_much_by(gates)
        if times is None or chosen["task_loss"] is None:
            return None
        aim = f"{chosen['task_loss'] / max(times, 1.05):.2g}"
        return (
            f"The search stopped with {100 * chosen['macs_int8_share']:.1f} % of the "
            f"multiplications in INT8 and a task loss of {chosen['task_loss']:.3g}, where the "
            f"gates held on its own frames. On the frames that judge, {times:.2g} times as much is "
            "lost as they allow: aim at as much less task loss.",
            f"--set precision.task_loss_max={aim}",
        )
    further = [step for step in STEPS if step > 1.0 - search["macs_int8_min"] + 1e-9]
    if not further or _flat(curve):
        return None
    least = round(1.0 - further[0], 4)
    asked = next(one["limit"] for one in document["gates"] if one["name"] == "macs_int8_min int8")
    if asked is not None and asked > least:
        return None
    return (
        f"The search left {100 * (1.0 - chosen['macs_int8_share']):.1f} % of the multiplications "
        "in float, as many as it may, and the task loss was still falling (to "
        f"{chosen['task_loss']:.3g}): allow the next point of its curve.",
        f"--set precision.macs_int8_min={least:g}",
    )


def _flat(curve: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the task loss hardly fell over the second half of the curve."""
    task_loss: list[float] = [step["task_loss"] for step in curve if step["task_loss"] is not None]
    if len(task_loss) < 3:
        return False
    half = len(task_loss) // 2
    return min(task_loss[half:]) > (1.0 - FLAT) * min(task_loss[:half])
