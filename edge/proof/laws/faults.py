"""The failure table of docs/runtime.md as data: every fault that makes the loop act by itself.

Each row names its demand, the action and the reason; `deadline` says after what it is demanded.
Values only; declared.py says in which turns a row holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action, Reason

LATE_RESULTS = 25
"""Late results in a row until SLOW_DOWN (R-RUN-6)."""

RECOVERY = 0.25
"""A counter falls at this share of the rate at which it rises (R-RUN-4, R-RUN-5, R-RUN-6)."""


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        name: of its demand in a decision.
        action: what it demands; of "commands unacknowledged" the gravest that it reaches.
        reason: what its command carries.
        deadline: until when the action is commanded, in words, by the mission's settings.
    """

    name: str
    action: Action
    reason: Reason
    deadline: Callable[[PolicySettings], str]


def _at_once(_settings: PolicySettings) -> str:
    return "in the same turn"


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "just started",
            Action.COMFORT_STOP,
            Reason.STARTING,
            lambda _: "in every turn until a frame is perceived",
        ),
        Fault("run ends", Action.COMFORT_STOP, Reason.SHUTDOWN, _at_once),
        Fault("camera gone", Action.COMFORT_STOP, Reason.CAMERA_LOST, _at_once),
        Fault("inference hung", Action.COMFORT_STOP, Reason.HEALTH, _at_once),
        Fault(
            "perception lost",
            Action.COMFORT_STOP,
            Reason.PERCEPTION_UNKNOWN,
            lambda s: f"from {s.comfort_stop_after_ns / 1e6:g} ms of age on",
        ),
        Fault(
            "perception stale",
            Action.SLOW_DOWN,
            Reason.PERCEPTION_UNKNOWN,
            lambda s: f"from {s.slow_down_after_ns / 1e6:g} ms of age on",
        ),
        Fault(
            "perception unknown",
            Action.SLOW_DOWN,
            Reason.PERCEPTION_UNKNOWN,
            lambda s: f"{s.policy.fallbacks.slow_down_after_periods:g} unknown results in a row",
        ),
        Fault(
            "results late",
            Action.SLOW_DOWN,
            Reason.LATE,
            lambda s: (
                f"{LATE_RESULTS} results in a row, each with more than "
                f"{s.policy.fallbacks.late_share_max:.0%} of the last 50 late"
            ),
        ),
        Fault(
            "commands unacknowledged",
            Action.COMFORT_STOP,
            Reason.UNACKNOWLEDGED,
            lambda s: f"one step for every {s.commands_a_step} late commands in a row",
        ),
        Fault("commands late", Action.SLOW_DOWN, Reason.UNACKNOWLEDGED, _at_once),
    )
}
