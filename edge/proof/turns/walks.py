"""Random walks of the whole policy: every law in every turn, and the factors compared with the whole.

In: settings and the representative frames. Out: turns of the real `decide` with all rules together, at any
times, with any faults: each is checked against every law, so what holds for one rule alone is seen to
hold beside the others. `parts_of` tells what a turn was for each rule, as the rule's own machine names it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.proof.turns.checker import MS, QUIET, Checker
from edge.proof.turns.frame_classes import FrameClass, FrameClasses
from edge.proof.turns.turn import Turn
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.policy import initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action

_TURNS_A_LIFE = 400
_STICKY = 0.9


@dataclass
class _World:
    """What lasts for some turns."""

    shown: FrameClass
    facts: Facts = QUIET


def walk(
    settings: PolicySettings, classes: FrameClasses, checker: Checker, *, turns: int, seed: int
) -> Iterator[Turn]:
    """So many turns in lives of 400, each from `initial`."""
    dice = random.Random(seed)
    base = classes.distinct()
    for first in range(0, turns, _TURNS_A_LIFE):
        state, now_ns = initial(settings), 0
        world = _World(base[0])
        calm = 1.0 - 10.0 ** -dice.uniform(0.2, 3.0)
        for _ in range(min(_TURNS_A_LIFE, turns - first)):
            now_ns += _passes(settings, dice, calm)
            _change(world, classes, base, settings, dice, calm)
            facts = world.facts
            shown = world.shown if dice.random() < 0.8 else None
            if shown is not None:
                captured_ns = now_ns - _age(dice, calm)
                known = dice.random() < 0.8 + 0.2 * calm
                facts = replace(facts, frame=replace(shown.at(captured_ns), known=known))
            turn = checker.take(settings, facts, state, shown=shown, now_ns=now_ns)
            yield turn
            state = turn.after


def _age(dice: random.Random, calm: float) -> int:
    """Of a frame as it comes."""
    if dice.random() < calm:
        return 0
    return dice.choice((0, 1, 10 * MS, 100 * MS, -1))


def _passes(settings: PolicySettings, dice: random.Random, calm: float) -> int:
    """Time to the next turn: mostly a period, sometimes to about a limit."""
    limits = (
        settings.unknown_after_ns,
        settings.slow_down_after_ns,
        settings.comfort_stop_after_ns,
        *(rule.hold_ms * MS for rule in settings.policy.rules),
    )
    if dice.random() > calm or dice.random() < 0.01:
        return max(dice.choice(limits) + dice.choice((-1, 0, 1)), 0)
    return dice.choice((0, MS - 1, MS, 20 * MS, 40 * MS, 40 * MS, 40 * MS, 40 * MS))


def _change(
    world: _World,
    classes: FrameClasses,
    base: tuple[FrameClass, ...],
    settings: PolicySettings,
    dice: random.Random,
    calm: float,
) -> None:
    """Some of what lasts ends, some begins."""
    if dice.random() > _STICKY:
        one, other = dice.choice(base), dice.choice(base)
        world.shown = base[0] if dice.random() < calm else classes.together(one, other)
    if dice.random() > _STICKY:
        step = settings.commands_a_step
        quiet = dice.random() < calm
        world.facts = replace(
            QUIET,
            camera_gone=not quiet and dice.random() < 0.1,
            inference_hung=not quiet and dice.random() < 0.1,
            late_share=dice.choice((None, 0.0, 0.2, 0.5)),
            unacknowledged_in_a_row=0 if quiet else dice.choice((0, 0, step - 1, step, 3 * step)),
            commands_often_late=not quiet and dice.random() < 0.1,
            standstill=dice.choice((True, True, False, None)),
            operator_request=dice.choice((True, False, None)),
            effective_action=dice.choice((None, *Action)),
            link_up=dice.random() < 0.9,
            ending=not quiet and dice.random() < 0.02,
        )
