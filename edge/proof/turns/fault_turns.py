"""Explores every turn of `decide` in which faults count up, recover, or grow with time.

In: settings and a clear road. Counters are explored from every level that they can have, the age of
the newest frame at the points just before and just at each limit. No rule fires here;
arbitration.py combines faults with rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from edge.proof.frames.frame_class import FrameClass
from edge.proof.frames.frame_classes import FrameClasses
from edge.proof.turns.checker import NOW_NS, QUIET, Checker, judged_by, of_one_rule
from edge.runtime.policy.facts import Facts
from edge.runtime.policy.fault_counter import FaultCounter, FaultTime
from edge.runtime.policy.policy import PolicyState, initial
from edge.runtime.policy.settings import PolicySettings

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
        states = self._count(checker, "unknown", self._unknown_letters)
        states += self._count(checker, "late", self._late_letters)
        return states + self._age(checker)

    def _count(
        self,
        checker: Checker,
        name: str,
        letters: Callable[[], Iterator[tuple[FrameClass | None, Facts]]],
    ) -> int:
        """One counter, from every level it reaches."""
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
        return len(seen)

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
