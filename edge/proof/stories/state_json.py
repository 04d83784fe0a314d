"""A policy state as JSON, with ages in place of times, and back.

In: a `PolicyState` and the time. Out: plain values, which do not depend on when they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edge.runtime.policy.facts import Demand
from edge.runtime.policy.fault_counter import FaultCounter
from edge.runtime.policy.policy import PolicyState
from edge.runtime.policy.rule_state import RuleState
from firmware_bridge.protocol.messages import Action, Reason


def state_to_json(state: PolicyState, now_ns: int) -> dict[str, Any]:
    """The state at `now_ns`."""

    def age(time_ns: int | None) -> int | None:
        return None if time_ns is None else now_ns - time_ns

    held = state.held_stop
    return {
        "known_age_ns": age(state.known_ns),
        "newest_age_ns": age(state.newest_ns),
        "newest_known": state.newest_known,
        "unknown": [state.unknown.level, state.unknown.active],
        "late": [state.late.level, state.late.active],
        "stale": [state.stale.level_ns, state.stale.active, age(state.stale.at_ns)],
        "held": None
        if held is None
        else {
            "name": held.name,
            "kind": held.kind,
            "action": held.action.name,
            "deceleration_mps2": held.deceleration_mps2,
            "reason": held.reason.name,
        },
        "rules": [
            {
                "window": "".join(str(int(bit)) for bit in rule.window),
                "active": rule.active,
                "match_age_ns": age(rule.last_match_ns),
                "conclusive_since_gap": rule.conclusive_since_gap,
                "newest_conclusive": rule.newest_conclusive,
            }
            for rule in state.rules
        ],
    }


def state_from_json(document: Mapping[str, Any], start: PolicyState, now_ns: int) -> PolicyState:
    """The state at `now_ns`; limits of counters are those of `start`."""

    def time(age_ns: int | None) -> int | None:
        return None if age_ns is None else now_ns - age_ns

    def counter(name: str, limit: float) -> FaultCounter:
        level, active = document[name]
        return FaultCounter(limit, float(level), bool(active))

    held = document["held"]
    level_ns, active, at_age_ns = document["stale"]
    return PolicyState(
        rules=tuple(
            RuleState(
                window=tuple(bit == "1" for bit in rule["window"]),
                active=bool(rule["active"]),
                last_match_ns=time(rule["match_age_ns"]),
                conclusive_since_gap=int(rule["conclusive_since_gap"]),
                newest_conclusive=bool(rule["newest_conclusive"]),
            )
            for rule in document["rules"]
        ),
        stale=replace(
            start.stale, level_ns=float(level_ns), active=bool(active), at_ns=time(at_age_ns)
        ),
        unknown=counter("unknown", start.unknown.limit),
        late=counter("late", start.late.limit),
        known_ns=time(document["known_age_ns"]),
        newest_ns=time(document["newest_age_ns"]),
        newest_known=bool(document["newest_known"]),
        held_stop=None
        if held is None
        else Demand(
            name=held["name"],
            kind=held["kind"],
            action=Action[held["action"]],
            speed_ceiling_mps=None,
            deceleration_mps2=float(held["deceleration_mps2"]),
            reason=Reason[held["reason"]],
        ),
    )
