"""The policy: `(facts, state, now) -> (state, decision)`, pure. Rules come from the mission.

The most severe demand wins, the strictest ceiling among all holds. A stop, once commanded, is
demanded until the vehicle stands and the road is perceived; release is permitted only then.
Nothing here reads a clock, sends, or knows a camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.contract.mission import Mission
from edge.contract.policy_checks import STOPS
from edge.contract.sections.policy import Policy, Rule
from edge.runtime.facts import Decision, Demand, Facts
from edge.runtime.fault_counter import FaultCounter, FaultTime
from edge.runtime.matching import matches
from edge.runtime.rule_state import RuleState
from firmware_bridge.codec import Action, Perception, Reason, SafetyCommand
from firmware_bridge.limits import LIMITS

_NO_CEILING_MPS = LIMITS.speed_ceiling_max_cmps / 100.0

# Late results that must come in a row before the vehicle is slowed: a second at 25 a second.
_LATE_RESULTS = 25.0


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """The mission's part in a decision, with every age in nanoseconds.

    `unknown_after_ns`: the mission's age, but never below what its own budget makes of a healthy
    loop, one period and the end-to-end budget (docs/runtime.md); never above `slow_down_after_ns`.
    """

    labels: tuple[str, ...]
    policy: Policy
    unknown_after_ns: int
    slow_down_after_ns: int
    comfort_stop_after_ns: int
    commands_a_step: int
    valid_for_ms: int

    @staticmethod
    def of(mission: Mission, *, fps: float) -> PolicySettings:
        """Settings for a source of `fps` frames a second. A period is the longer one of the
        mission's camera and of the source, which may be a slower clip."""
        period_ns = 1e9 / min(fps, mission.camera.fps)
        fallbacks, link = mission.policy.fallbacks, mission.link
        slow_ns = round(fallbacks.slow_down_after_periods * period_ns)
        healthy_ns = round(mission.budget.end_to_end_ms * 1e6 + period_ns)
        unknown_ns = round(fallbacks.unknown_after_periods * period_ns)
        return PolicySettings(
            labels=mission.model.labels,
            policy=mission.policy,
            unknown_after_ns=min(max(unknown_ns, healthy_ns), slow_ns),
            slow_down_after_ns=slow_ns,
            comfort_stop_after_ns=round(fallbacks.comfort_stop_after_periods * period_ns),
            commands_a_step=max(1, math.ceil(link.rate_hz * link.acknowledge_within_ms / 1000.0)),
            valid_for_ms=link.valid_for_ms,
        )


@dataclass(frozen=True)
class PolicyState:
    """What the policy remembers from turn to turn.

    Attributes:
        rules: one for each rule of the mission, in its order.
        stale: how long the newest perceived frame has been too old.
        unknown: results that could not be perceived.
        late: results that came while too many were late.
        known_ns: capture time of the newest perceived frame; None: none yet.
        newest_known: the newest result was perceived.
        held_stop: the stop that is demanded until standstill.
    """

    rules: tuple[RuleState, ...]
    stale: FaultTime
    unknown: FaultCounter
    late: FaultCounter
    known_ns: int | None = None
    newest_known: bool = False
    held_stop: Demand | None = None


def initial(settings: PolicySettings) -> PolicyState:
    """The state of a loop that has seen nothing: it demands a stop from the first turn on.

    A vehicle that moves when the daemon starts has been on its own until now; it is brought to a
    stop and then released like after any other (docs/runtime.md).
    """
    return PolicyState(
        held_stop=_just_started(settings),
        rules=tuple(RuleState() for _ in settings.policy.rules),
        stale=FaultTime(settings.comfort_stop_after_ns - settings.slow_down_after_ns),
        unknown=FaultCounter(settings.policy.fallbacks.slow_down_after_periods),
        late=FaultCounter(_LATE_RESULTS),
    )


def decide(
    settings: PolicySettings, facts: Facts, state: PolicyState, now_ns: int
) -> tuple[PolicyState, Decision]:
    """One turn."""
    state, matched = _take_in(settings, facts, state)
    too_old = _past(state, now_ns, settings.slow_down_after_ns)
    state = replace(state, stale=state.stale.after(now_ns, bad=too_old))
    known = _is_known(settings, state, now_ns)
    standstill = facts.standstill is True
    rules = tuple(
        after.cleared(
            rule,
            now_ns=now_ns,
            known=known,
            standstill=standstill,
            operator=facts.operator_request is True,
        )
        for rule, after in zip(settings.policy.rules, state.rules, strict=True)
    )
    demands = [
        _of_rule(rule)
        for rule, after in zip(settings.policy.rules, rules, strict=True)
        if after.active
    ]
    demands += _fallbacks(settings, facts, state, now_ns)
    demands += _escalation(settings, facts, demands)
    held = _held_stop(state.held_stop, demands, standstill=standstill, known=known)
    if held is not None and held not in demands:
        demands.append(held)
    # Stable: of equally severe demands the mission's own rules come first, in their order.
    demands.sort(key=lambda d: -d.action)
    decision = Decision(
        command=_command(settings, demands, may_release=standstill and known),
        winner=demands[0] if demands else None,
        demands=tuple(demands),
        perception=Perception.KNOWN if known else Perception.UNKNOWN,
        waiting=state.known_ns is None,
        matched=matched,
    )
    return replace(state, rules=rules, held_stop=held), decision


def _take_in(
    settings: PolicySettings, facts: Facts, state: PolicyState
) -> tuple[PolicyState, tuple[str, ...]]:
    """Counters and confirm windows after this turn's new result, if there is one."""
    seen = facts.seen
    if seen is None:
        return state, ()
    too_late = (
        facts.late_share is not None and facts.late_share > settings.policy.fallbacks.late_share_max
    )
    state = replace(
        state,
        unknown=state.unknown.after(bad=not seen.known),
        late=state.late.after(bad=too_late),
        newest_known=seen.known,
    )
    if not seen.known:
        return state, ()
    policy = settings.policy
    found = [
        matches(rule.when, seen, labels=settings.labels, zones=policy.zones)
        for rule in policy.rules
    ]
    rules = tuple(
        # What a frame does not tell neither confirms nor clears, as in an Unknown frame.
        before if match is None else before.saw(rule, matched=match, captured_ns=seen.captured_ns)
        for rule, before, match in zip(policy.rules, state.rules, found, strict=True)
    )
    names = tuple(rule.name for rule, match in zip(policy.rules, found, strict=True) if match)
    return replace(state, rules=rules, known_ns=seen.captured_ns), names


def _is_known(settings: PolicySettings, state: PolicyState, now_ns: int) -> bool:
    return (
        state.newest_known
        and state.known_ns is not None
        and now_ns - state.known_ns < settings.unknown_after_ns
    )


def _of_rule(rule: Rule) -> Demand:
    return Demand(
        name=rule.name,
        kind="rule",
        action=Action[rule.action],
        speed_ceiling_mps=rule.speed_ceiling_mps,
        deceleration_mps2=rule.deceleration_mps2 or 0.0,
        reason=Reason.POLICY_RULE,
    )


def _fallback(settings: PolicySettings, name: str, action: Action, reason: Reason) -> Demand:
    fallbacks = settings.policy.fallbacks
    capped = action in (Action.CAP_SPEED, Action.SLOW_DOWN)
    return Demand(
        name=name,
        kind="fallback",
        action=action,
        speed_ceiling_mps=fallbacks.speed_ceiling_mps if capped else None,
        deceleration_mps2=fallbacks.deceleration_mps2 if action >= Action.CAP_SPEED else 0.0,
        reason=reason,
    )


def _fallbacks(
    settings: PolicySettings, facts: Facts, state: PolicyState, now_ns: int
) -> list[Demand]:
    """What the failure table of docs/runtime.md demands now."""
    lost = _past(state, now_ns, settings.comfort_stop_after_ns)
    stop, slow = Action.COMFORT_STOP, Action.SLOW_DOWN
    unknown = Reason.PERCEPTION_UNKNOWN
    table = (
        (facts.ending, "run ends", stop, Reason.SHUTDOWN),
        (facts.camera_gone, "camera gone", stop, Reason.CAMERA_LOST),
        (facts.inference_hung, "inference hung", stop, Reason.HEALTH),
        (lost, "perception lost", stop, unknown),
        (state.stale.active, "perception stale", slow, unknown),
        (state.unknown.active, "perception unknown", slow, unknown),
        (state.late.active, "results late", slow, Reason.LATE),
    )
    demands = [
        _fallback(settings, name, action, reason) for holds, name, action, reason in table if holds
    ]
    if state.known_ns is None:
        demands.append(_just_started(settings))
    return demands


def _just_started(settings: PolicySettings) -> Demand:
    return _fallback(settings, "just started", Action.COMFORT_STOP, Reason.STARTING)


def _past(state: PolicyState, now_ns: int, limit_ns: int) -> bool:
    return state.known_ns is not None and now_ns - state.known_ns >= limit_ns


def _held_stop(
    held: Demand | None, demands: list[Demand], *, standstill: bool, known: bool
) -> Demand | None:
    """The stop to be held: a graver one replaces it, standstill on a perceived road ends it."""
    stops = [d for d in demands if d.action in STOPS]
    gravest = max(stops, key=lambda d: d.action, default=None)
    if gravest is not None and (held is None or gravest.action >= held.action):
        return gravest
    if held is not None and standstill and known and gravest is None:
        return None
    return held


def _escalation(settings: PolicySettings, facts: Facts, demands: list[Demand]) -> list[Demand]:
    """One step above the gravest demand for as many late commands in a row as are sent in one
    acknowledge time, up to COMFORT_STOP; and SLOW_DOWN where too many are late, in a row or not.

    The row outlives sessions: only a command acknowledged in time ends it. Both stand beside a
    graver demand too, so that their own braking is never the softer one.
    """
    steps = facts.unacknowledged_in_a_row // settings.commands_a_step
    gravest = max((d.action for d in demands), default=Action.NONE)
    raised = Action(min(gravest + steps, Action.COMFORT_STOP))
    table = (
        (steps > 0, "commands unacknowledged", raised),
        (facts.commands_often_late, "commands late", Action.SLOW_DOWN),
    )
    return [
        _fallback(settings, name, action, Reason.UNACKNOWLEDGED)
        for holds, name, action in table
        if holds
    ]


def _command(
    settings: PolicySettings, demands: list[Demand], *, may_release: bool
) -> SafetyCommand:
    """The most severe action with the hardest braking asked for it and the lowest ceiling."""
    action = demands[0].action if demands else Action.NONE
    equals = [d for d in demands if d.action is action]
    ceilings = [d.speed_ceiling_mps for d in demands if d.speed_ceiling_mps is not None]
    stop = action in STOPS
    return SafetyCommand(
        action=action,
        release=may_release and not stop,
        speed_ceiling_mps=0.0 if stop else min(ceilings, default=_NO_CEILING_MPS),
        deceleration_limit_mps2=max((d.deceleration_mps2 for d in equals), default=0.0),
        valid_for_ms=settings.valid_for_ms,
        reason=equals[0].reason if equals else Reason.CLEAR,
    )
