"""The laws of the modes: every row of their table, and the situation of every turn.

In: the table, and turns of `turns.arbitration`. Out: broken laws, in words. The table is judged
whole, the situation for every turn with every report of what is applied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.proof.laws.turn import Turn
from edge.runtime.policy.facts import Decision, Facts
from edge.runtime.policy.modes import TRANSITIONS, Situation, next_mode, situation
from firmware_bridge.protocol.messages import Action, Mode, Perception

LEAVES_BY_STOPPED = "stop left by stopped"
SAYS_WHAT_HOLDS = "mode says what holds"

_STOP = Action.COMFORT_STOP


@dataclass(frozen=True)
class ModeBreach:
    """A broken law of the modes."""

    law: str
    text: str


def table_breaches() -> Iterator[ModeBreach]:
    """Every wrong row of the table, and every mode that nothing becomes."""
    for mode, after in itertools.product(Mode, Situation):
        found, must = next_mode(mode, after), declared_mode(mode, after)
        if found is not must:
            left = mode is Mode.SAFE and found is not Mode.SAFE
            law = LEAVES_BY_STOPPED if left else SAYS_WHAT_HOLDS
            words = f"{mode.name} with '{after.value}' becomes {found.name}, must be {must.name}"
            yield ModeBreach(law, words)
    for mode in set(Mode) - {Mode.STARTING}:
        if not any(mode in row.values() for start, row in TRANSITIONS.items() if start != mode):
            yield ModeBreach(SAYS_WHAT_HOLDS, f"no mode ever becomes {mode.name}")


def situation_key(turn: Turn) -> object:
    """Turns of one key differ in nothing that a situation can depend on."""
    decision = turn.decision
    if decision is None:
        return None
    kinds = frozenset((one.kind, one.action) for one in decision.demands)
    return (turn.facts, decision.command, decision.waiting, decision.perception, kinds)


def situation_breach(turn: Turn) -> ModeBreach | None:
    """The turn's situation, with whatever may be applied and the link up or down."""
    if turn.decision is None:
        return None
    for applied, link_up in itertools.product((None, *Action), (True, False)):
        facts = replace(turn.facts, effective_action=applied, link_up=link_up)
        seen = situation(facts, turn.decision)
        right = declared_situation(facts, turn.decision)
        if seen is not right:
            words = f"the situation is '{seen.value}', must be '{right.value}'"
            return ModeBreach(SAYS_WHAT_HOLDS, words)
    return None


def declared_mode(mode: Mode, after: Situation) -> Mode:
    """docs/runtime.md, modes: what the situation is called, but a stop is left by STOPPED only."""
    if after in (Situation.ENDED, Situation.STANDING):
        return Mode.STOPPED
    if after is Situation.STOPPING:
        return Mode.SAFE
    if after is Situation.WAITING:
        return mode if mode in (Mode.STARTING, Mode.STOPPED) else Mode.SAFE
    if mode is Mode.SAFE:
        return Mode.STOPPED
    return Mode.NORMAL if after is Situation.HEALTHY else Mode.DEGRADED


def declared_situation(facts: Facts, decision: Decision) -> Situation:
    """The first that holds of ended, waiting, a stop, impaired, healthy."""
    applied = Action.NONE if facts.effective_action is None else facts.effective_action
    limited = any(demand.kind == "fallback" for demand in decision.demands)
    blind = decision.perception is Perception.UNKNOWN
    rows = (
        (facts.ending, Situation.ENDED),
        (decision.waiting, Situation.WAITING),
        (
            max(decision.command.action, applied) >= _STOP,
            Situation.STANDING if facts.standstill is True else Situation.STOPPING,
        ),
        (limited or blind or not facts.link_up, Situation.IMPAIRED),
        (True, Situation.HEALTHY),
    )
    return next(name for holds, name in rows if holds)
