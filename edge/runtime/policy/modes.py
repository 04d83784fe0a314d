"""The loop's mode, a state machine in one table.

In: the mode before a turn and the turn's facts and decision, which give the situation. Out: the
mode after it. A stop is left through STOPPED only (R-RUN-26).
"""

from __future__ import annotations

import enum

from edge.contract.mission.checks.policy_checks import STOPS
from edge.runtime.policy.facts import Decision, Facts
from firmware_bridge.protocol.messages import Mode, Perception


class Situation(enum.Enum):
    """The situation after a turn: the input of the state machine."""

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
    """The situation of a turn; the first that holds of ended, waiting, stop, impaired, healthy."""
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


def next_mode(mode: Mode, after: Situation) -> Mode:
    """The mode after a turn with this situation."""
    return TRANSITIONS[mode][after]


def mermaid() -> str:
    """The table as a Mermaid state diagram; a test compares it with docs/runtime.md."""
    lines = ["stateDiagram-v2", "    [*] --> STARTING"]
    for mode, row in TRANSITIONS.items():
        for target in Mode:
            causes = [s.name.lower() for s, to in row.items() if to is target and to is not mode]
            if causes:
                lines.append(f"    {mode.name} --> {target.name}: {', '.join(causes)}")
    return "\n".join(lines) + "\n"
