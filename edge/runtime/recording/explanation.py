"""Says in words why an action was taken at a moment of a run.

In: a `Journal`, a moment, and the mission where it is at hand. Out: `Explanation`: what was
applied, the mode, what asked for it, what asked for less, and how each came about. It tells what
was recorded, and never decides anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge.contract.mission.sections.policy import Policy, Rule
from edge.runtime.recording.journal import Applied, Asked, Journal
from firmware_bridge.protocol.messages import Action

FAULT_WORDS = {
    "just started": "no frame had been perceived yet, so nothing watched the road",
    "run ends": "the run was to end, and ends with a stop",
    "camera gone": "the camera delivered nothing and was being reopened",
    "inference hung": "the network had not answered for far longer than it ever takes",
    "perception lost": "the newest perceived frame was too old to go on",
    "perception stale": "the newest perceived frame was old, or had been for long",
    "perception unknown": "too many results could not be perceived",
    "results late": "too many results came later than the end-to-end budget allows",
    "commands unacknowledged": "the microcontroller did not acknowledge commands in time",
    "commands late": "too many of the last commands were acknowledged late",
}
"""Every fallback of the policy in words; a test holds it complete."""

CORE_WORDS = {
    "no_greeting": "no host had greeted it since it booted",
    "contract_mismatch": "the host speaks another contract",
    "limits_mismatch": "the host was built for other limits",
    "command_timeout": "no fresh command came",
    "heartbeat_timeout": "no heartbeat of a turning loop came",
    "perception_timeout": "no frame younger than a second was vouched for",
    "heartbeat_unhealthy": "the last heartbeat was not healthy",
    "message_stale": "a message was too old",
    "frame_refused": "a frame was refused",
    "speed_sensor": "the speed was not valid",
}
"""Every fault that the microcontroller reports, in words; a test holds it complete."""

_STEPS = {
    "first_seen": "first seen",
    "confirmed": "confirmed",
    "commanded": "commanded",
    "acknowledged": "acknowledged",
    "effective": "applied",
    "ended": "ended",
    "released": "released",
}


@dataclass(frozen=True)
class Cause:
    """One rule or fault that asked for something at that moment.

    Attributes:
        name, kind, action: as in the journal.
        why: in words.
        came_about: its moments in words, those after the asked one too.
        ends: what ends it; "" where the mission is not at hand.
    """

    name: str
    kind: str
    action: str
    why: str
    came_about: str
    ends: str


@dataclass(frozen=True)
class Explanation:
    """Why what was applied at one moment was applied.

    Attributes:
        at_s: seconds of the run.
        applied, mode: in words.
        alone: what the microcontroller did by itself, in words; "" where it followed the host.
        causes: those that asked for the gravest action.
        beside: those that asked for less at the same time.
        faults: of the run in the two seconds before, in words.
    """

    at_s: float
    applied: str
    mode: str
    alone: str
    causes: tuple[Cause, ...]
    beside: tuple[Cause, ...]
    faults: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield f"at {self.at_s:.2f} s"
        yield f"  applied  {self.applied}"
        yield f"  mode     {self.mode}"
        if self.alone:
            yield f"  itself   {self.alone}"
        if not self.causes:
            yield "  because  no rule and no fault asked for anything"
        for word, rows in (("because", self.causes), ("beside", self.beside)):
            for cause in rows:
                asked = f"{cause.kind} '{cause.name}' asked for {cause.action}"
                yield f"  {word:8} {asked}: {cause.why}"
                yield f"           {cause.came_about}"
                if cause.ends:
                    yield f"           ends {cause.ends}"
        for text in self.faults:
            yield f"  fault    {text}"


def explain(journal: Journal, at_s: float, policy: Policy | None) -> Explanation:
    """Why the vehicle was treated as it was at `at_s` seconds of the run."""
    rules = {} if policy is None else {rule.name: rule for rule in policy.rules}
    asked = sorted((one for one in journal.asked if one.holds(at_s)), key=lambda one: -one.action)
    gravest = asked[0].action if asked else Action.NONE
    applied = _last(journal.applied, at_s)
    mode = [(since, mode) for since, mode in journal.modes if since <= at_s]
    return Explanation(
        at_s=at_s,
        applied="not known yet" if applied is None else _applied_words(applied),
        mode="none yet" if not mode else f"{mode[-1][1].name} since {mode[-1][0]:.2f} s",
        alone="" if applied is None else _alone_words(applied, gravest),
        causes=tuple(_cause(one, rules.get(one.name)) for one in asked if one.action is gravest),
        beside=tuple(_cause(one, rules.get(one.name)) for one in asked if one.action < gravest),
        faults=tuple(
            f"{text} (at {since:.2f} s)"
            for since, text in journal.faults
            if at_s - 2.0 <= since <= at_s
        ),
    )


def _last(applied: Sequence[Applied], at_s: float) -> Applied | None:
    before = [one for one in applied if one.at_s <= at_s]
    return before[-1] if before else None


def _applied_words(applied: Applied) -> str:
    words = f"{applied.action.name} since {applied.at_s:.2f} s"
    if applied.action >= Action.CAP_SPEED:
        words += f", to {applied.ceiling_mps:g} m/s with {applied.deceleration_mps2:g} m/s2"
    return words + (", latched until it is released" if applied.latched else "")


def _alone_words(applied: Applied, asked: Action) -> str:
    """What the microcontroller adds to what was asked for."""
    if applied.action <= asked:
        return ""
    reasons = [CORE_WORDS.get(name, name) for name in applied.faults]
    if reasons:
        return f"the microcontroller did so by itself: {'; '.join(reasons)}"
    if applied.latched:
        return "the microcontroller holds a stop that was not released yet"
    return "the microcontroller had not followed a milder command yet"


def _cause(one: Asked, rule: Rule | None) -> Cause:
    why = FAULT_WORDS.get(one.name, "")
    came = [
        f"{words} at {one.moments[name]:.2f} s"
        for name, words in _STEPS.items()
        if name in one.moments
    ]
    ends = ""
    if rule is not None:
        why = rule.why
        ends = _ends(rule)
        came.insert(2, f"({rule.confirm.k} of {rule.confirm.of} frames)")
    return Cause(
        name=one.name,
        kind="fault" if one.kind == "fallback" else one.kind,
        action=one.action.name,
        why=why or "the mission file says why (--mission)",
        came_about=", ".join(came).replace(", (", " ("),
        ends=ends,
    )


def _ends(rule: Rule) -> str:
    """What ends a rule, in words."""
    if rule.clear == "never":
        return "never in this run"
    words = f"when none of {rule.confirm.of} frames in a row shows it"
    if rule.hold_ms:
        words += f" and {rule.hold_ms} ms have passed since the last that did"
    return (
        words
        + {
            "when_gone": "",
            "standstill": ", and the vehicle stands",
            "operator": ", the vehicle stands and the operator asks",
        }[rule.clear]
    )
