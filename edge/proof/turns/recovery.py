"""How long the policy takes back to a free road from the worst that can have happened.

In: settings and a clear road. Out: the frames and the time until nothing is commanded, by the real
`decide`, with every rule just matched, every counter full, the oldest frame, and the gravest stop
held. Every part recovers by itself and more slowly from a worse level, so no other state takes
longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from edge.proof.frames.frame_class import FrameClass
from edge.proof.laws.faults import LATE_RESULTS, RECOVERY
from edge.proof.turns.checker import MS, NOW_NS, QUIET, Checker
from edge.runtime.policy.facts import Demand
from edge.runtime.policy.fault_counter import FaultCounter
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.rule_state import RuleState
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action, Reason


@dataclass(frozen=True)
class Recovery:
    """The way back.

    Attributes:
        frames: clear frames until NONE is commanded; None: not within the bound.
        seconds: from the first of them.
        most_frames: the bound that the declared counters, windows and holds give.
        left: the demands that remain where it does not come back.
    """

    frames: int | None
    seconds: float
    most_frames: int
    left: tuple[str, ...]


def recover(settings: PolicySettings, clear: FrameClass, checker: Checker) -> Recovery:
    """Takes turns with clear frames at standstill, with the operator asking, until NONE."""
    period_ns = settings.unknown_after_ns - 1
    most = _bound(settings, period_ns)
    state, now_ns = worst(settings), NOW_NS
    facts = replace(QUIET, operator_request=True, late_share=0.0)
    stays = _stays(settings)
    left: tuple[str, ...] = ()
    for count in range(1, most + 1):
        now_ns += period_ns
        frame = clear.at(now_ns)
        turn = checker.take(
            settings, replace(facts, frame=frame), state, shown=clear, now_ns=now_ns
        )
        state = turn.after
        if turn.decision is None:
            break
        left = tuple(one.name for one in turn.decision.demands)
        if stays.issuperset(left):
            return Recovery(count, count * period_ns / 1e9, most, left)
    return Recovery(None, most * period_ns / 1e9, most, left)


def _stays(settings: PolicySettings) -> set[str]:
    """What is declared to stay: rules that never clear, and beside such a stop the held one."""
    never = [rule for rule in settings.policy.rules if rule.clear == "never"]
    held = worst(settings).held_stop
    stops = any(rule.action.endswith("STOP") for rule in never)
    return {rule.name for rule in never} | ({held.name} if stops and held is not None else set())


def worst(settings: PolicySettings) -> PolicyState:
    """Everything that can be wrong, at once and at its most."""
    start = initial(settings)
    limit_ns = settings.comfort_stop_after_ns - settings.slow_down_after_ns
    rules = tuple(
        RuleState(
            window=(True,) * rule.confirm.of,
            active=True,
            last_match_ns=NOW_NS,
            conclusive_since_gap=0,
            newest_conclusive=True,
        )
        for rule in settings.policy.rules
    )
    stops = [rule for rule in settings.policy.rules if rule.action.endswith("STOP")]
    held = start.held_stop
    if stops:
        gravest = max(stops, key=lambda rule: Action[rule.action])
        held = Demand(
            name=gravest.name,
            kind="rule",
            action=Action[gravest.action],
            speed_ceiling_mps=None,
            deceleration_mps2=gravest.deceleration_mps2 or 0.0,
            reason=Reason.POLICY_RULE,
        )
    return replace(
        start,
        rules=rules,
        stale=replace(start.stale, level_ns=float(limit_ns), at_ns=NOW_NS, active=True),
        unknown=FaultCounter(start.unknown.limit, start.unknown.limit, active=True),
        late=FaultCounter(start.late.limit, start.late.limit, active=True),
        known_ns=NOW_NS - 100 * settings.comfort_stop_after_ns,
        newest_ns=NOW_NS - 100 * settings.comfort_stop_after_ns,
        newest_known=False,
        held_stop=held,
    )


def _bound(settings: PolicySettings, period_ns: int) -> int:
    """Frames after which every counter, window and hold has run out, and one more."""
    rules, fallbacks = settings.policy.rules, settings.policy.fallbacks
    stale_ns = (settings.comfort_stop_after_ns - settings.slow_down_after_ns) / RECOVERY
    times_ns = [stale_ns, *(rule.hold_ms * MS for rule in rules)]
    frames = [
        *(rule.confirm.of for rule in rules),
        math.ceil(fallbacks.slow_down_after_periods / RECOVERY),
        math.ceil(LATE_RESULTS / RECOVERY),
        *(math.ceil(time / period_ns) for time in times_ns),
    ]
    return max(frames) + 1
