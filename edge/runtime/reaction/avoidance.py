"""Up to which speed a rule avoids contact with what stands still ahead, and what rules ask for it.

In: a mission. Out: one `RuleReaction` for each rule. Plain kinematics over the terms, triggers and
braking of this room; supposes that the network finds the object, the road is flat and the brakes
give what is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.contract.mission.schema import Mission
from edge.contract.mission.sections.policy import Rule
from edge.runtime.reaction.braking import FRICTION, Braking, applied_mps2, braking_on
from edge.runtime.reaction.terms import Term, delay_s, terms_of
from edge.runtime.reaction.trigger import Triggers, triggers_of
from firmware_bridge.protocol.messages import Action

KMH = 3.6
HIGHEST_KMH = 130.0
_STEP_KMH = 0.1

R152_DEMAND_MPS2 = 5.0
R152_WARNING_S = 0.8
R152_KMH = {"pedestrian": 30.0, "person": 30.0, "vehicle": 40.0, "car": 40.0}
"""UN R152 (advanced emergency braking of cars): speed up to which there must be no impact, dry, at
the regulation's conditions, by what is in front."""

R157_CUT_IN_MPS2, R157_CUT_IN_S = 6.0, 0.35
"""UN R157: a cut-in counts as avoidable where the time to contact is longer than
v / (2 x 6 m/s2) + 0.35 s."""

CUT_IN_MPS = 10.0
"""Closing speed at which R157's cut-in is compared."""


@dataclass(frozen=True)
class OnRoad:
    """One rule on one road.

    Attributes:
        braking: what is applied.
        avoids_kmh: up to this speed it stops before contact; None where the rule does not stop
            the vehicle, or the mission does not tell how far away it can match.
        needs_m: the distance at which it must match to stop from R152's speed (or from the
            camera's assumed speed), with delay and braking; None where it does not stop.
        cut_in_s: time to contact that it needs at CUT_IN_MPS; None where it does not stop.
    """

    braking: Braking
    avoids_kmh: float | None
    needs_m: float | None
    cut_in_s: float | None


@dataclass(frozen=True)
class RuleReaction:
    """How late one rule acts.

    Attributes:
        speed_kmh: at which distances are given: R152's for the label, or the assumed speed.
        matches_m: where it can match at the latest, at that speed; None: not known.
        acts_m: where the braking then begins; None: not known; 0 where contact comes first.
        asked_kmh: what R152 asks of such a rule; None where it asks nothing.
        remarks: what a person should know.
    """

    rule: str
    action: Action
    terms: tuple[Term, ...]
    delay_s: float
    triggers: Triggers
    speed_kmh: float
    matches_m: float | None
    acts_m: float | None
    roads: dict[str, OnRoad]
    asked_kmh: float | None
    remarks: tuple[str, ...]


def reactions(mission: Mission) -> tuple[RuleReaction, ...]:
    """One for each rule that acts on the vehicle, in the mission's order."""
    return tuple(
        _reaction(mission, rule)
        for rule in mission.policy.rules
        if Action[rule.action] >= Action.CAP_SPEED
    )


def _reaction(mission: Mission, rule: Rule) -> RuleReaction:
    action, asked_mps2 = Action[rule.action], rule.deceleration_mps2 or 0.0
    terms, triggers = terms_of(mission, rule), triggers_of(mission, rule)
    delay = delay_s(terms)
    stops = action >= Action.COMFORT_STOP
    asked_kmh = R152_KMH.get(rule.when.label or "") if stops else None
    speed_kmh = asked_kmh or mission.camera.assumed_speed_mps * KMH
    speed_mps = speed_kmh / KMH
    matches_m = triggers.at(speed_mps) if _told(triggers) else None
    roads = {}
    for road in FRICTION:
        braking = braking_on(road, action, asked_mps2)
        roads[road] = OnRoad(
            braking,
            avoids_kmh=avoided_kmh(triggers, braking, delay) if stops and _told(triggers) else None,
            needs_m=braking.stop_m(speed_mps, delay_s=delay) if stops else None,
            cut_in_s=braking.stop_m(CUT_IN_MPS, delay_s=delay) / CUT_IN_MPS if stops else None,
        )
    return RuleReaction(
        rule=rule.name,
        action=action,
        terms=terms,
        delay_s=delay,
        triggers=triggers,
        speed_kmh=speed_kmh,
        matches_m=matches_m,
        acts_m=None if matches_m is None else max(0.0, matches_m - speed_mps * delay),
        roads=roads,
        asked_kmh=asked_kmh,
        remarks=_remarks(rule, action, triggers, roads["dry"], asked_kmh),
    )


def _told(triggers: Triggers) -> bool:
    """Whether the mission tells how far away the rule can match."""
    return bool(triggers.known) and not triggers.unknown


def avoided_kmh(triggers: Triggers, braking: Braking, delay: float) -> float:
    """The highest speed, up to HIGHEST_KMH, below which every stop ends before contact."""
    for step in range(1, round(HIGHEST_KMH / _STEP_KMH) + 1):
        speed_mps = step * _STEP_KMH / KMH
        if braking.stop_m(speed_mps, delay_s=delay) > triggers.at(speed_mps):
            return (step - 1) * _STEP_KMH
    return HIGHEST_KMH


def _remarks(
    rule: Rule, action: Action, triggers: Triggers, dry: OnRoad, asked_kmh: float | None
) -> tuple[str, ...]:
    remarks = list(triggers.unknown)
    if action < Action.COMFORT_STOP:
        remarks.append("slows and does not stop: it avoids no contact by itself")
    elif not triggers.known and not triggers.unknown:
        remarks.append("no condition on distance: it matches where the network first finds it")
    if asked_kmh is None:
        return tuple(remarks)
    applied = applied_mps2(action, rule.deceleration_mps2 or 0.0)
    if applied < R152_DEMAND_MPS2:
        remarks.append(
            f"brakes with {applied:g} m/s2: UN R152 asks for {R152_DEMAND_MPS2:g} at least"
        )
    elif applied > R152_DEMAND_MPS2:
        remarks.append(f"brakes with {applied:g} m/s2: for UN R157 an emergency manoeuvre")
    if dry.avoids_kmh is not None and dry.avoids_kmh < asked_kmh:
        remarks.append(f"UN R152 asks for {asked_kmh:g} km/h, dry: this is less")
    return tuple(remarks)
