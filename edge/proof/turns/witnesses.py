"""For each rule a story in which it fires, and one in which it changes the command.

In: settings and the representative frames. Out: a `Witness` for each rule, by the real `decide`:
the rule's least frames, in a row or with as many others between as it allows, until it fires; then
a clear road until it ends, first moving and then standing. A rule that fires in none of these is
unreachable. One whose action, ceiling and braking make no difference in any turn of them is
shadowed: the rules that match in its least frame match in every frame in which it does, so no other
frame shows it alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.contract.mission.sections.policy import Rule
from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.turns.checker import MS, QUIET
from edge.runtime.policy.facts import Decision
from edge.runtime.policy.policy import decide, initial
from edge.runtime.policy.settings import PolicySettings


@dataclass(frozen=True)
class Witness:
    """What was found of one rule.

    Attributes:
        rule: its name.
        fires: it was active in some turn.
        decides: without it, some command would have had another action, ceiling or braking.
        beside: rules that were active in every turn in which it was.
    """

    rule: str
    fires: bool
    decides: bool
    beside: tuple[str, ...]


def witness(settings: PolicySettings, classes: FrameClasses, rule: Rule) -> Witness:
    """Looks for a turn in which the rule is active, and for one in which it decides."""
    fires = False
    beside: set[str] | None = None
    for decision, without in _pairs(settings, classes, rule):
        active = {demand.name for demand in decision.demands if demand.kind == "rule"}
        if rule.name not in active:
            continue
        fires = True
        beside = active if beside is None else beside & active
        if _numbers(decision) != _numbers(without):
            return Witness(rule.name, fires=True, decides=True, beside=())
    others = sorted((beside or set()) - {rule.name})
    return Witness(rule.name, fires=fires, decides=False, beside=tuple(others))


def _pairs(
    settings: PolicySettings, classes: FrameClasses, rule: Rule
) -> Iterator[tuple[Decision, Decision]]:
    """The decisions of each turn, with the rule and without it."""
    rest = tuple(one for one in settings.policy.rules if one is not rule)
    policy = settings.policy.model_copy(update={"rules": rest})
    without = replace(settings, policy=policy)
    period_ns = settings.unknown_after_ns - 1
    least = classes.of[rule.name].least
    for one, shown, stands in itertools.product(least, _rows(rule), ((False, True), (True,))):
        states = [initial(settings), initial(without)]
        story = _story(settings, classes.clear, one, shown, stands)
        for at, (frame, standstill) in enumerate(story):
            now_ns = period_ns * at
            seen = None if frame is None else frame.at(now_ns)
            facts = replace(QUIET, frame=seen, standstill=standstill)
            states[0], decision = decide(settings, facts, states[0], now_ns)
            states[1], other = decide(without, facts, states[1], now_ns)
            yield decision, other


def _rows(rule: Rule) -> Iterator[list[bool]]:
    """Which of some frames in a row match: just enough, as far apart as allowed, and all."""
    k, of = rule.confirm.k, rule.confirm.of
    yield [True] * k
    yield [True] + [False] * (of - k) + [True] * (k - 1)
    yield [True] * (of + 1)


def _story(
    settings: PolicySettings,
    clear: FrameClass | None,
    least: FrameClass,
    shown: list[bool],
    stands: tuple[bool, ...],
) -> Iterator[tuple[FrameClass | None, bool]]:
    """Frames, each with whether the vehicle stands: a clear road until the stop of the start was
    released, the rule's frames while it moves, and a clear road until every rule's hold is over,
    once for each of `stands`."""
    rules = settings.policy.rules
    longest = max(rule.confirm.of for rule in rules)
    hold_frames = max(rule.hold_ms for rule in rules) * MS // settings.unknown_after_ns
    yield from [(clear, True)] * (longest + 1)
    yield from [(least if match else clear, False) for match in shown]
    for standstill in stands:
        yield from [(clear, standstill)] * (longest + hold_frames + 2)


def _numbers(decision: Decision) -> tuple[object, ...]:
    command = decision.command
    return (
        command.action,
        command.speed_ceiling_mps,
        command.deceleration_limit_mps2,
    )
