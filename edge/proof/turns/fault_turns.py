"""Explores every turn of `decide` in which faults count up, recover, or grow with time.

In: settings and a clear road. Counters are explored from every level that they can have, the age of
the newest frame at the points just before and just at each limit. No rule fires here;
arbitration.py combines faults with rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.laws.faults import LATE_RESULTS
from edge.proof.turns.checker import NOW_NS, QUIET, Checker, judged_by, of_one_rule
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.fault_counter import FaultCounter, FaultTime
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action

_LATE_SHARES_OFF = (None, 0.0)


class FaultTurns:
    """The turns of counters and ages, with the mission's first rule silent."""

    def __init__(self, settings: PolicySettings, classes: FrameClasses) -> None:
        self.settings = of_one_rule(settings, 0)
        quiet = classes.clear or classes.of[settings.policy.rules[0].name].unclear
        self._clear = judged_by(quiet, 0)
        self._initial = initial(self.settings)

    def explore(self, checker: Checker) -> int:
        """Takes all turns; returns the number of states."""
        unknown = self._count(checker, "unknown", self._unknown_letters)
        late = self._count(checker, "late", self._late_letters)
        return len(unknown) + len(late) + self._age(checker)

    def too_slow(self, checker: Checker) -> list[str]:
        """Counters that need more bad results in a row than declared, from some level, in words."""
        unseen = replace(self._clear.at(NOW_NS), known=False)
        late = replace(QUIET, late_share=1.0, frame=self._clear.at(NOW_NS))
        most = math.ceil(self.settings.policy.fallbacks.slow_down_after_periods)
        return [
            f"{words} need more than {results} in a row, from some level, until they are answered"
            for name, words, facts, letters, results in (
                (
                    "unknown",
                    "unknown results",
                    replace(QUIET, frame=unseen),
                    self._unknown_letters,
                    most,
                ),
                ("late", "late results", late, self._late_letters, LATE_RESULTS),
            )
            if any(
                not self._answered(checker, name, counter, facts, results)
                for counter in self._count(checker, name, letters)
            )
        ]

    def _answered(
        self, checker: Checker, name: str, counter: FaultCounter, facts: Facts, results: int
    ) -> bool:
        """Whether so many such results in a row make the loop slow down, from this level."""
        fresh = self._at_age(0)
        action = Action.NONE
        for _ in range(results):
            before = _with_counter(fresh, name, counter)
            turn = checker.take(self.settings, facts, before, shown=self._clear)
            counter = getattr(turn.after, name)
            action = Action.NONE if turn.decision is None else turn.decision.command.action
        return action >= Action.SLOW_DOWN

    def _count(
        self,
        checker: Checker,
        name: str,
        letters: Callable[[], Iterator[tuple[FrameClass | None, Facts]]],
    ) -> set[FaultCounter]:
        """One counter, from every level it reaches; returns the levels."""
        first: FaultCounter = getattr(self._initial, name)
        seen, waiting = {first}, [first]
        fresh = self._at_age(0)
        while waiting:
            counter = waiting.pop()
            for shown, facts in letters():
                before = _with_counter(fresh, name, counter)
                turn = checker.take(self.settings, facts, before, shown=shown)
                after: FaultCounter = getattr(turn.after, name)
                if checker.lawful and after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return seen

    def _unknown_letters(self) -> Iterator[tuple[FrameClass | None, Facts]]:
        frame = self._clear.at(NOW_NS)
        yield None, QUIET
        yield self._clear, replace(QUIET, frame=frame)
        yield self._clear, replace(QUIET, frame=replace(frame, known=False))
        yield self._clear, replace(QUIET, frame=self._clear.at(NOW_NS + 1))
        yield self._clear, replace(QUIET, frame=self._clear.at(NOW_NS - 1))

    def _late_letters(self) -> Iterator[tuple[FrameClass | None, Facts]]:
        most = self.settings.policy.fallbacks.late_share_max
        for share in (*_LATE_SHARES_OFF, most, most + 0.02, 1.0):
            yield None, replace(QUIET, late_share=share)
            yield self._clear, replace(QUIET, late_share=share, frame=self._clear.at(NOW_NS))

    def _age(self, checker: Checker) -> int:
        """The newest frame's age at every point, with the time owed at every kind of level."""
        settings = self.settings
        limit = settings.comfort_stop_after_ns - settings.slow_down_after_ns
        levels = sorted({0.0, 1.0, limit / 2.0, float(max(limit - 1, 0)), float(limit)})
        passed = (None, 0, 1, max(limit // 8, 1), limit, 4 * limit, 5 * limit)
        starts = [self._initial] + [self._at_age(age) for age in age_points(settings)]
        taken = 0
        for start in starts:
            for level in levels:
                for since_ns in passed:
                    at_ns = None if since_ns is None else NOW_NS - since_ns
                    stale = FaultTime(limit, level, at_ns, active=level > 0.0)
                    taken += 1
                    for newest_known in (True, False):
                        before = replace(start, stale=stale, newest_known=newest_known)
                        checker.take(settings, QUIET, before)
                    fresh = replace(start, stale=stale)
                    frame = self._clear.at(NOW_NS)
                    checker.take(settings, replace(QUIET, frame=frame), fresh, shown=self._clear)
        return taken

    def _at_age(self, age_ns: int) -> PolicyState:
        """The newest frame perceived and so old; no stop held."""
        known_ns = NOW_NS - age_ns
        return replace(
            self._initial, known_ns=known_ns, newest_ns=known_ns, newest_known=True, held_stop=None
        )


def _with_counter(state: PolicyState, name: str, counter: FaultCounter) -> PolicyState:
    return replace(state, unknown=counter) if name == "unknown" else replace(state, late=counter)


def age_points(settings: PolicySettings) -> tuple[int, ...]:
    """Ages just before and just at each limit, and far beyond the last."""
    limits = (
        settings.unknown_after_ns,
        settings.slow_down_after_ns,
        settings.comfort_stop_after_ns,
    )
    points = {0, 100 * limits[-1]}
    for limit in limits:
        points |= {limit - 1, limit}
    return tuple(sorted(points))
