"""The policy: `(settings, facts, state, now) -> (state, decision)`, pure.

In: the mission's rules and fallbacks, the facts of one turn, the state after the turn before. Out:
the state after this turn and a `Decision`. The most severe demand wins, with the lowest ceiling and
the hardest braking of all. Once a stop is commanded, it is demanded until the vehicle stands, the
road is perceived and every rule has its whole confirm window of frames; release is permitted only
then. Never reads a clock, sends, or knows a camera.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.contract.mission.sections.policy import Rule
from edge.perception.video.read import LEAST_APART_NS
from edge.runtime.policy.arbitration import command_of, held_stop, with_held
from edge.runtime.policy.facts import Decision, Demand, Facts, FrameFacts
from edge.runtime.policy.fault_counter import FaultCounter, FaultTime
from edge.runtime.policy.rule_matching import matches
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action, Perception, Reason

# Late results that must come in a row before the vehicle is slowed: a second at 25 a second.
_LATE_RESULTS = 25.0


@dataclass(frozen=True)
class PolicyState:
    """The policy's state from turn to turn.

    Attributes:
        rules: one for each rule of the mission, in its order.
        stale: for how long the newest perceived frame has been too old.
        unknown: results that could not be perceived.
        late: results that came while too many were late.
        known_ns: capture time of the newest perceived frame; None before the first.
        newest_ns: capture time of the newest frame, perceived or not.
        newest_known: the newest result was perceived.
        held_stop: the stop that is demanded until it may be released, with the hardest braking that
            any stop has demanded meanwhile.
    """

    rules: tuple[RuleState, ...]
    stale: FaultTime
    unknown: FaultCounter
    late: FaultCounter
    known_ns: int | None = None
    newest_ns: int | None = None
    newest_known: bool = False
    held_stop: Demand | None = None


def initial(settings: PolicySettings) -> PolicyState:
    """The state before the first turn: it demands a stop.

    A vehicle that moves when the daemon starts has had no supervision until now; it is brought to a
    stop and then released as after any other stop (R-RUN-21).
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
    """Decides one turn.

    Args:
        settings: of the mission and the source.
        facts: what this turn knows.
        state: after the turn before, or `initial`.
        now_ns: monotonic time of the turn.

    Returns:
        The state after the turn, and the decision.
    """
    state, matched = _update_counts(settings, facts, state, now_ns)
    too_old = _past(state, now_ns, settings.slow_down_after_ns)
    state = replace(state, stale=state.stale.after(now_ns, bad=too_old))
    known = _is_known(settings, state, now_ns)
    standstill = facts.standstill is True
    policy = settings.policy
    rules = tuple(
        after.cleared(
            rule,
            now_ns=now_ns,
            known=known,
            standstill=standstill,
            operator=facts.operator_request is True,
        )
        for rule, after in zip(policy.rules, state.rules, strict=True)
    )
    unsure = tuple(
        rule.name
        for rule, after in zip(policy.rules, rules, strict=True)
        if not after.permits_release(rule)
    )
    may_release = standstill and known and not unsure
    demands = [
        _of_rule(rule) for rule, after in zip(policy.rules, rules, strict=True) if after.active
    ]
    demands += _fallbacks(settings, facts, state, now_ns)
    demands += _escalation(settings, facts, demands)
    held = held_stop(state.held_stop, demands, may_release=may_release)
    if held is not None:
        demands = with_held(held, demands)
    # Stable: of equally severe demands the mission's own rules come first, in their order.
    demands.sort(key=lambda d: -d.action)
    decision = Decision(
        command=command_of(demands, may_release=may_release, valid_for_ms=settings.valid_for_ms),
        winner=demands[0] if demands else None,
        demands=tuple(demands),
        perception=Perception.KNOWN if known else Perception.UNKNOWN,
        waiting=state.known_ns is None,
        matched=matched,
        unsure=unsure,
    )
    return replace(state, rules=rules, held_stop=held), decision


def _update_counts(
    settings: PolicySettings, facts: Facts, state: PolicyState, now_ns: int
) -> tuple[PolicyState, tuple[str, ...]]:
    """The state with counters and confirm windows after this turn's new frame, if there is one, and
    the names of the rules that match in it."""
    matched: tuple[str, ...] = ()
    if facts.frame is not None:
        state = _update_fault_counters(settings, facts, facts.frame, state, now_ns)
        if state.newest_known:
            state, matched = _update_rules(settings, facts.frame, state)
        else:
            state = _after_gap(state)
    return (_after_gap(state) if facts.camera_gone else state), matched


def _update_fault_counters(
    settings: PolicySettings, facts: Facts, frame: FrameFacts, state: PolicyState, now_ns: int
) -> PolicyState:
    """The fault counters after one more frame. One that was captured after now, or before the
    newest frame, counts as Unknown: its age is not known (R-RUN-10)."""
    too_late = (
        facts.late_share is not None and facts.late_share > settings.policy.fallbacks.late_share_max
    )
    in_order = state.newest_ns is None or frame.captured_ns >= state.newest_ns
    timely = in_order and frame.captured_ns <= now_ns
    known = frame.known and timely
    return replace(
        state,
        unknown=state.unknown.after(bad=not known),
        late=state.late.after(bad=too_late),
        newest_ns=frame.captured_ns if timely else state.newest_ns,
        newest_known=known,
    )


def _update_rules(
    settings: PolicySettings, frame: FrameFacts, state: PolicyState
) -> tuple[PolicyState, tuple[str, ...]]:
    """Every rule's confirm window after a perceived frame; and names of the rules that match."""
    policy = settings.policy
    apart_ns = None if state.known_ns is None else frame.captured_ns - state.known_ns
    if apart_ns is not None and apart_ns >= settings.unknown_after_ns:
        state = _after_gap(state)
    verdicts = [
        matches(rule.when, frame, labels=settings.labels, zones=policy.zones)
        for rule in policy.rules
    ]
    names = tuple(rule.name for rule, match in zip(policy.rules, verdicts, strict=True) if match)
    same_moment = apart_ns is not None and apart_ns < LEAST_APART_NS
    update = RuleState.after_repeat if same_moment else RuleState.after_frame
    rules = tuple(
        update(before, rule, matched=match, captured_ns=frame.captured_ns)
        for rule, before, match in zip(policy.rules, state.rules, verdicts, strict=True)
    )
    # A moment keeps its first time: frames in quick succession must at last reach the next moment.
    known_ns = state.known_ns if same_moment else frame.captured_ns
    return replace(state, rules=rules, known_ns=known_ns), names


def _after_gap(state: PolicyState) -> PolicyState:
    """After a gap in perception."""
    return replace(state, rules=tuple(rule.after_gap() for rule in state.rules))


def _is_known(settings: PolicySettings, state: PolicyState, now_ns: int) -> bool:
    return (
        state.newest_known
        and state.known_ns is not None
        and now_ns - state.known_ns < settings.unknown_after_ns
    )


def _of_rule(rule: Rule) -> Demand:
    action = Action[rule.action]
    return Demand(
        name=rule.name,
        kind="rule",
        action=action,
        speed_ceiling_mps=rule.speed_ceiling_mps,
        # NOTIFY never brakes, whatever deceleration the rule names.
        deceleration_mps2=0.0 if action is Action.NOTIFY else rule.deceleration_mps2 or 0.0,
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
    """The demands of the failure table of docs/runtime.md that hold now."""
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


def _escalation(settings: PolicySettings, facts: Facts, demands: list[Demand]) -> list[Demand]:
    """Demands for late acknowledges.

    One step above the gravest demand for every `commands_a_step` late commands in a row, up to
    COMFORT_STOP; and SLOW_DOWN where too many commands are late, in a row or not. The row outlives
    sessions of the link: only a command acknowledged in time ends it. Both are demanded beside a
    graver demand too, since their braking may be the harder one.
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
