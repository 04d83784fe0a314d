"""The chain from light to brakes as one table of times, each with its origin.

In: a mission and one of its rules. Out: `Term`s; their sum is the delay until the microcontroller
begins to brake. Each is the longest that the mission or the link allows, not a usual value. Never
measures anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.contract.mission.notes import UPDATE_MS
from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Rule
from edge.runtime.tracking.time_to_contact import BOX_SETTINGS
from firmware_bridge.protocol.line_rate import BITS_PER_BYTE, wire_bytes
from firmware_bridge.protocol.messages import Heartbeat, SafetyCommand


@dataclass(frozen=True)
class Term:
    """One link of the chain: its longest time and where that number comes from."""

    name: str
    seconds: float
    origin: str


def terms_of(mission: Mission, rule: Rule) -> tuple[Term, ...]:
    """The terms of a rule, in the order in which they follow one another."""
    period_s = 1.0 / mission.camera.fps
    more = rule.confirm.of - 1
    terms = [
        Term("wait for the next frame", period_s, "one period of camera.fps"),
        Term("exposure", period_s, "at most one period of camera.fps"),
    ]
    if rule.when.time_to_contact_max_s is not None:
        followed_s = max(BOX_SETTINGS.span_min_s, (BOX_SETTINGS.samples_min - 1) * period_s)
        terms.append(Term("follow the object", followed_s, "time to contact of boxes"))
    link = mission.link
    line_s = (wire_bytes(Heartbeat) + wire_bytes(SafetyCommand)) * BITS_PER_BYTE / link.baud
    asked = f"{rule.confirm.k} of {rule.confirm.of}"
    terms += [
        Term("confirm", more * period_s, f"confirm {asked}: the last of {rule.confirm.of} frames"),
        Term("capture to command", mission.budget.end_to_end_ms / 1e3, "budget.end_to_end_ms"),
        Term("line", line_s, f"heartbeat and command at link.baud = {link.baud}"),
        Term("one command lost", 1.0 / link.rate_hz, "one turn of link.rate_hz"),
        Term("microcontroller", UPDATE_MS / 1e3, "one update (docs/link.md)"),
        _brake_delay(mission),
    ]
    return tuple(terms)


def _brake_delay(mission: Mission) -> Term:
    given_ms = mission.policy.brake_delay_ms
    if given_ms is None:
        return Term("the vehicle's brakes", 0.0, "policy.brake_delay_ms is not given: not counted")
    return Term("the vehicle's brakes", given_ms / 1e3, "policy.brake_delay_ms")


def delay_s(terms: tuple[Term, ...]) -> float:
    """From light to the first braking."""
    return sum(term.seconds for term in terms)
