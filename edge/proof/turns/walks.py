"""Random walks of the whole policy: every law in every turn, and the factors compared with the
whole.

In: settings and the representative frames. Out: turns of the real `decide` with all rules together,
at any times, with any faults: each is checked against every law, so what holds for one rule alone
is seen to hold beside the others. `parts_of` tells what a turn was for each rule, as the rule's own
machine names it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.laws.turn import Turn
from edge.proof.turns.checker import MS, QUIET, Checker
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.policy import initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action

_TURNS_A_LIFE = 400
_STICKY = 0.9


def walk(
    settings: PolicySettings, classes: FrameClasses, checker: Checker, *, turns: int, seed: int
) -> Iterator[Turn]:
    """So many turns in lives of 400, each from `initial`."""
    dice = random.Random(seed)
    for first in range(0, turns, _TURNS_A_LIFE):
        life = _Life(settings, classes, dice)
        state = initial(settings)
        for _ in range(min(_TURNS_A_LIFE, turns - first)):
            facts, shown = life.next()
            turn = checker.take(settings, facts, state, shown=shown, now_ns=life.now_ns)
            yield turn
            state = turn.after


class _Life:
    """What happens from turn to turn: some of it lasts, and how much goes wrong differs by life."""

    def __init__(
        self, settings: PolicySettings, classes: FrameClasses, dice: random.Random
    ) -> None:
        self.now_ns = 0
        self._settings, self._classes, self._dice = settings, classes, dice
        self._base = classes.distinct()
        self._shown, self._facts = self._base[0], QUIET
        self._calm = 1.0 - 10.0 ** -dice.uniform(0.2, 3.0)

    def next(self) -> tuple[Facts, FrameClass | None]:
        """The next turn's facts, and what its frame shows."""
        self.now_ns += self._passes()
        if self._dice.random() > _STICKY:
            self._shown = self._frame()
        if self._dice.random() > _STICKY:
            self._facts = self._faults()
        if self._dice.random() < 0.2:
            return self._facts, None
        captured_ns = self.now_ns - self._age()
        known = self._is_calm() or self._dice.random() < 0.8
        frame = replace(self._shown.at(captured_ns), known=known)
        return replace(self._facts, frame=frame), self._shown

    def _is_calm(self) -> bool:
        return bool(self._dice.random() < self._calm)

    def _passes(self) -> int:
        """Time to the next turn: mostly a period, sometimes to about a limit."""
        dice, settings = self._dice, self._settings
        limits = (
            settings.unknown_after_ns,
            settings.slow_down_after_ns,
            settings.comfort_stop_after_ns,
            *(rule.hold_ms * MS for rule in settings.policy.rules),
        )
        if not self._is_calm() or dice.random() < 0.01:
            return max(dice.choice(limits) + dice.choice((-1, 0, 1)), 0)
        return dice.choice((0, MS - 1, MS, 20 * MS, 40 * MS, 40 * MS, 40 * MS, 40 * MS))

    def _age(self) -> int:
        """Of a frame as it comes."""
        return 0 if self._is_calm() else self._dice.choice((0, 1, 10 * MS, 100 * MS, -1))

    def _frame(self) -> FrameClass:
        if self._is_calm():
            return self._base[0]
        return self._classes.together(self._dice.choice(self._base), self._dice.choice(self._base))

    def _faults(self) -> Facts:
        dice, step = self._dice, self._settings.commands_a_step
        quiet = self._is_calm()
        return replace(
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
