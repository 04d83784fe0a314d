"""What docs/runtime.md declares of one turn: everything that `decide` must answer.

In: a `Turn`'s facts, verdicts, state before and time. Out: `Declared`: the command, and what has to
be remembered. Written from the numbered requirements; of edge/runtime/policy it uses nothing but
the values that go in and come out, since it judges what computes them. Its values are named tuples,
which are made faster than dataclasses: an exploration makes millions.
"""

from __future__ import annotations

from typing import NamedTuple

from edge.proof.laws.declared_rules import RuleAfter, rule_after
from edge.proof.laws.faults import FAULTS, LATE_RESULTS, RECOVERY
from edge.proof.laws.turn import Turn
from edge.runtime.policy.fault_counter import FaultCounter
from firmware_bridge.protocol.limits import LIMITS
from firmware_bridge.protocol.messages import Action, Reason

MOMENT_NS = 1_000_000
"""Frames closer than this show one moment (R-RUN-11)."""

STOPS = frozenset((Action.COMFORT_STOP, Action.EMERGENCY_STOP))
_CAPS = frozenset((Action.CAP_SPEED, Action.SLOW_DOWN))
_HIGHEST_MPS = LIMITS.speed_ceiling_max_cmps / 100.0


class Sight(NamedTuple):
    """What the turn knows of the road.

    Attributes:
        seen: the turn brought a frame that was perceived, in time and in order.
        repeat: it shows the same moment as the one before (R-RUN-11).
        gap: perception has a gap before the frame: it was not perceived, or comes too long after
            the one before (R-RUN-14).
        known_ns, newest_ns, newest_known: as in `PolicyState`.
        age_ns: of the newest perceived moment; None before the first.
        known: perception is KNOWN (R-RUN-1).
    """

    seen: bool
    repeat: bool
    gap: bool
    known_ns: int | None
    newest_ns: int | None
    newest_known: bool
    age_ns: int | None
    known: bool


class Counted(NamedTuple):
    """A fault counter after the turn."""

    level: float
    active: bool


class Wish(NamedTuple):
    """What one active rule, fault or held stop asks for."""

    name: str
    kind: str
    action: Action
    ceiling_mps: float
    braking_mps2: float
    reason: Reason


class Command(NamedTuple):
    """The numbers of a command. `reasons`: any of these may be given."""

    action: Action
    ceiling_mps: float
    braking_mps2: float
    release: bool
    reasons: frozenset[Reason]


class Declared(NamedTuple):
    """What a turn must answer; `held` is the stop to hold after it, action and braking."""

    sight: Sight
    unknown: Counted
    late: Counted
    stale: Counted
    rules: tuple[RuleAfter, ...]
    wishes: tuple[Wish, ...]
    held: tuple[Action, float] | None
    command: Command


def declared(turn: Turn) -> Declared:
    """What this turn must answer."""
    sight = _sight(turn)
    rules = tuple(
        rule_after(
            rule,
            before,
            turn,
            verdict=turn.verdicts[at] if sight.seen else None,
            repeat=sight.repeat,
            gap=sight.gap,
            known=sight.known,
            seen=sight.seen,
        )
        for at, (rule, before) in enumerate(
            zip(turn.settings.policy.rules, turn.before.rules, strict=True)
        )
    )
    unknown, late = _counters(turn, seen=sight.seen)
    stale = _stale(turn, sight)
    wishes = [
        Wish(
            rule.name,
            "rule",
            Action[rule.action],
            _HIGHEST_MPS if rule.speed_ceiling_mps is None else rule.speed_ceiling_mps,
            0.0 if rule.action == "NOTIFY" else rule.deceleration_mps2 or 0.0,
            Reason.POLICY_RULE,
        )
        for rule, after in zip(turn.settings.policy.rules, rules, strict=True)
        if after.active
    ]
    wishes += _faults(turn, sight, unknown=unknown.active, late=late.active, stale=stale.active)
    wishes += _unacknowledged(turn, wishes)
    may_release = (
        turn.facts.standstill is True and sight.known and all(rule.permits for rule in rules)
    )
    held = _held(turn, wishes, may_release=may_release)
    return Declared(
        sight=sight,
        unknown=unknown,
        late=late,
        stale=stale,
        rules=rules,
        wishes=tuple(wishes),
        held=held,
        command=_command(turn, wishes, held, may_release=may_release),
    )


def _sight(turn: Turn) -> Sight:
    """R-RUN-1, R-RUN-10, R-RUN-11, R-RUN-14."""
    frame, before = turn.facts.frame, turn.before
    known_ns, newest_ns, newest_known = before.known_ns, before.newest_ns, before.newest_known
    seen = repeat = gap = False
    if frame is not None:
        timely = newest_ns is None or frame.captured_ns >= newest_ns
        timely &= frame.captured_ns <= turn.now_ns
        seen = newest_known = timely and frame.known
        newest_ns = frame.captured_ns if timely else newest_ns
        gap = not seen
        if seen and known_ns is not None:
            repeat = frame.captured_ns - known_ns < MOMENT_NS
            gap = frame.captured_ns - known_ns >= turn.settings.unknown_after_ns
        if seen and not repeat:
            known_ns = frame.captured_ns
    age_ns = None if known_ns is None else turn.now_ns - known_ns
    known = newest_known and age_ns is not None and age_ns < turn.settings.unknown_after_ns
    return Sight(seen, repeat, gap, known_ns, newest_ns, newest_known, age_ns, known)


def _counters(turn: Turn, *, seen: bool) -> tuple[Counted, Counted]:
    """R-RUN-5 and R-RUN-6: unknown results, late results."""
    fallbacks, share = turn.settings.policy.fallbacks, turn.facts.late_share
    unknown, late = turn.before.unknown, turn.before.late
    if turn.facts.frame is None:
        return Counted(unknown.level, unknown.active), Counted(late.level, late.active)
    too_late = share is not None and share > fallbacks.late_share_max
    return (
        _counted(unknown, fallbacks.slow_down_after_periods, bad=not seen),
        _counted(late, LATE_RESULTS, bad=too_late),
    )


def _counted(before: FaultCounter, limit: float, *, bad: bool) -> Counted:
    level = min(before.level + 1.0, limit) if bad else max(before.level - RECOVERY, 0.0)
    return Counted(level, level == limit or (before.active and level > 0.0))


def _stale(turn: Turn, sight: Sight) -> Counted:
    """R-RUN-2 and R-RUN-4: too old now, or not yet recovered from it."""
    settings, before = turn.settings, turn.before.stale
    most_ns = settings.comfort_stop_after_ns - settings.slow_down_after_ns
    passed_ns = 0 if before.at_ns is None else turn.now_ns - before.at_ns
    too_old = sight.age_ns is not None and sight.age_ns >= settings.slow_down_after_ns
    owed_ns = before.level_ns + (passed_ns if too_old else -RECOVERY * passed_ns)
    owed_ns = min(max(owed_ns, 0.0), float(most_ns))
    return Counted(owed_ns, too_old or owed_ns > 0.0)


def _faults(turn: Turn, sight: Sight, *, unknown: bool, late: bool, stale: bool) -> list[Wish]:
    """The rows of the failure table that hold in this turn."""
    facts = turn.facts
    old_ns = -1 if sight.age_ns is None else sight.age_ns
    holds = {
        "just started": sight.known_ns is None,
        "run ends": facts.ending,
        "camera gone": facts.camera_gone,
        "inference hung": facts.inference_hung,
        "perception lost": old_ns >= turn.settings.comfort_stop_after_ns,
        "perception stale": stale,
        "perception unknown": unknown,
        "results late": late,
    }
    return [_fault_wish(turn, name, FAULTS[name].action) for name, true in holds.items() if true]


def _fault_wish(turn: Turn, name: str, action: Action) -> Wish:
    fallbacks = turn.settings.policy.fallbacks
    return Wish(
        name,
        "fallback",
        action,
        fallbacks.speed_ceiling_mps if action in _CAPS else _HIGHEST_MPS,
        fallbacks.deceleration_mps2 if action > Action.NOTIFY else 0.0,
        FAULTS[name].reason,
    )


def _unacknowledged(turn: Turn, wishes: list[Wish]) -> list[Wish]:
    """A step above the gravest other demand for each row of late commands; and their share."""
    steps = turn.facts.unacknowledged_in_a_row // turn.settings.commands_a_step
    gravest = max((wish.action for wish in wishes), default=Action.NONE)
    found = []
    if steps > 0:
        raised = Action(min(gravest + steps, Action.COMFORT_STOP))
        found.append(_fault_wish(turn, "commands unacknowledged", raised))
    if turn.facts.commands_often_late:
        found.append(_fault_wish(turn, "commands late", FAULTS["commands late"].action))
    return found


def _held(turn: Turn, wishes: list[Wish], *, may_release: bool) -> tuple[Action, float] | None:
    """R-RUN-21: a stop once demanded, with the hardest braking that any has asked for since."""
    stops = [(wish.action, wish.braking_mps2) for wish in wishes if wish.action in STOPS]
    before = turn.before.held_stop
    if not stops and (may_release or before is None):
        return None
    if before is not None:
        stops.append((before.action, before.deceleration_mps2))
    return max(action for action, _ in stops), max(braking for _, braking in stops)


def _command(
    turn: Turn, wishes: list[Wish], held: tuple[Action, float] | None, *, may_release: bool
) -> Command:
    """R-RUN-17, R-RUN-18, R-RUN-19, R-RUN-22."""
    asked = [(wish.action, wish.ceiling_mps, wish.braking_mps2) for wish in wishes]
    if held is not None:
        asked.append((held[0], 0.0, held[1]))
    action = max((one[0] for one in asked), default=Action.NONE)
    row, stops = LIMITS.action[action], action in STOPS
    braking = max((one[2] for one in asked), default=0.0)
    braking = max(braking, row.deceleration_min_cmps2 / 100.0)
    reasons = {wish.reason for wish in wishes if wish.action is action}
    before = turn.before.held_stop
    if before is not None and held is not None and before.action is action:
        reasons.add(before.reason)
    return Command(
        action=action,
        ceiling_mps=0.0 if stops else min((one[1] for one in asked), default=_HIGHEST_MPS),
        braking_mps2=min(braking, row.deceleration_max_cmps2 / 100.0),
        release=may_release and not stops,
        reasons=frozenset(reasons or {Reason.CLEAR}),
    )
