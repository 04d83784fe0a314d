"""Modes of the loop: all that affects them is the one table in this file.

What the situation is, follows from facts and decision; the table says which mode it leads to. A
stop is left through STOPPED only.
"""

from __future__ import annotations

import enum

from edge.contract.mission.policy_checks import STOPS
from edge.runtime.policy.facts import Decision, Facts
from firmware_bridge.protocol.messages import Mode, Perception


class Situation(enum.Enum):
    """What a turn found."""

    WAITING = "nothing perceived yet"
    HEALTHY = "all is well"
    IMPAIRED = "perception unknown, link down or a fallback active"
    STOPPING = "a stop holds, the vehicle moves"
    STANDING = "a stop holds at standstill"
    ENDED = "the run ends"


_STARTING, _NORMAL, _DEGRADED, _SAFE, _STOPPED = Mode

TRANSITIONS: dict[Mode, dict[Situation, Mode]] = {
    Mode.STARTING: {
        Situation.WAITING: _STARTING,
        Situation.HEALTHY: _NORMAL,
        Situation.IMPAIRED: _DEGRADED,
        Situation.STOPPING: _SAFE,
        Situation.STANDING: _STOPPED,
        Situation.ENDED: _STOPPED,
    },
    Mode.NORMAL: {
        Situation.WAITING: _SAFE,
        Situation.HEALTHY: _NORMAL,
        Situation.IMPAIRED: _DEGRADED,
        Situation.STOPPING: _SAFE,
        Situation.STANDING: _STOPPED,
        Situation.ENDED: _STOPPED,
    },
    Mode.DEGRADED: {
        Situation.WAITING: _SAFE,
        Situation.HEALTHY: _NORMAL,
        Situation.IMPAIRED: _DEGRADED,
        Situation.STOPPING: _SAFE,
        Situation.STANDING: _STOPPED,
        Situation.ENDED: _STOPPED,
    },
    Mode.SAFE: {
        Situation.WAITING: _SAFE,
        Situation.HEALTHY: _STOPPED,
        Situation.IMPAIRED: _STOPPED,
        Situation.STOPPING: _SAFE,
        Situation.STANDING: _STOPPED,
        Situation.ENDED: _STOPPED,
    },
    Mode.STOPPED: {
        Situation.WAITING: _STOPPED,
        Situation.HEALTHY: _NORMAL,
        Situation.IMPAIRED: _DEGRADED,
        Situation.STOPPING: _SAFE,
        Situation.STANDING: _STOPPED,
        Situation.ENDED: _STOPPED,
    },
}


def situation(facts: Facts, decision: Decision) -> Situation:
    """What this turn found; the first that holds of ended, waiting, stop, impaired, healthy."""
    if facts.ending:
        return Situation.ENDED
    if decision.waiting:
        return Situation.WAITING
    if decision.command.action in STOPS or facts.effective_action in STOPS:
        return Situation.STANDING if facts.standstill is True else Situation.STOPPING
    fallback = any(demand.kind == "fallback" for demand in decision.demands)
    if fallback or decision.perception is not Perception.KNOWN or not facts.link_up:
        return Situation.IMPAIRED
    return Situation.HEALTHY


def next_mode(mode: Mode, found: Situation) -> Mode:
    """The mode after a turn that found this."""
    return TRANSITIONS[mode][found]


def mermaid() -> str:
    """The table as a Mermaid state diagram; docs/runtime.md holds it, and a test compares."""
    lines = ["stateDiagram-v2", "    [*] --> STARTING"]
    for mode, row in TRANSITIONS.items():
        for target in Mode:
            causes = [s.name.lower() for s, to in row.items() if to is target and to is not mode]
            if causes:
                lines.append(f"    {mode.name} --> {target.name}: {', '.join(causes)}")
    return "\n".join(lines) + "\n"
